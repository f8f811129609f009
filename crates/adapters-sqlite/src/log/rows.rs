//! Rows of the log as events.

use std::ops::Range;

use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use highwater_core::error::Error;
use highwater_core::model::{ContentType, EventParts, Interner, Position, RecordedEvent};

use crate::error::{During, corrupt};

pub(super) const READ: &str = "read the log";

/// The columns of a whole event.
pub(super) const COLUMNS: &str =
    "position, \"offset\", type, stream, id, category, sequence, time, data, metadata";

/// A row of [`COLUMNS`], each column asked for once.
pub(super) struct EventRow<'r> {
    pub(super) position: Position,
    event_type: &'r [u8],
    stream: &'r [u8],
    id: &'r [u8],
    category: &'r [u8],
    sequence: u64,
    time: i64,
    content_type: ContentType,
    data: &'r [u8],
    metadata: &'r [u8],
}

impl<'r> EventRow<'r> {
    pub(super) fn of(row: &'r Row<'_>) -> Result<Self, Error> {
        let position = position_of(row)?;
        let text = |index, column| match row.get_ref(index).during(READ)? {
            ValueRef::Text(bytes) => Ok(bytes),
            _ => Err(broken(position, column)),
        };
        let ValueRef::Blob(id) = row.get_ref(4).during(READ)? else { return Err(broken(position, "id")) };
        let (content_type, data) = match row.get_ref(8).during(READ)? {
            ValueRef::Text(data) => (ContentType::Json, data),
            ValueRef::Blob(data) => (ContentType::Binary, data),
            _ => return Err(broken(position, "data")),
        };
        let (ValueRef::Text(metadata) | ValueRef::Blob(metadata)) = row.get_ref(9).during(READ)? else {
            return Err(broken(position, "metadata"));
        };
        Ok(Self {
            position,
            event_type: text(2, "type")?,
            stream: text(3, "stream")?,
            id,
            category: text(5, "category")?,
            sequence: unsigned(row, 6).during(READ)?.ok_or_else(|| broken(position, "sequence"))?,
            time: row.get(7).during(READ)?,
            content_type,
            data,
            metadata,
        })
    }

    /// As `RecordedEvent::size` will say.
    pub(super) fn size(&self) -> usize {
        self.data.len() + self.metadata.len() + self.stream.len() + self.event_type.len()
    }
}

/// Events as they come out of the rows. Their payloads are copied into one buffer, and cut out of it at the
/// end.
#[derive(Debug, Default)]
pub(super) struct Events {
    parts: Vec<(EventParts, Range<usize>, Range<usize>)>,
    payloads: Vec<u8>,
}

impl Events {
    /// With room for what the last batch had.
    pub(super) fn with_room(events: usize, bytes: usize) -> Self {
        Self { parts: Vec::with_capacity(events), payloads: Vec::with_capacity(bytes) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.payloads.len()
    }

    pub(super) fn take(&mut self, row: &EventRow<'_>, names: &mut Interner) -> Result<(), Error> {
        let broken = |column| broken(row.position, column);
        let text = |bytes, column| std::str::from_utf8(bytes).map_err(|_| broken(column));
        let parts = EventParts {
            position: row.position,
            id: Uuid::from_slice(row.id).map_err(|_| broken("id"))?,
            stream: names.stream(text(row.stream, "stream")?),
            category: names.category(text(row.category, "category")?),
            sequence: row.sequence,
            event_type: names.event_type(text(row.event_type, "type")?),
            time_micros: row.time,
            content_type: row.content_type,
            data: Bytes::new(),
            metadata: Bytes::new(),
        };
        let start = self.payloads.len();
        self.payloads.extend_from_slice(row.data);
        let middle = self.payloads.len();
        self.payloads.extend_from_slice(row.metadata);
        self.parts.push((parts, start..middle, middle..self.payloads.len()));
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<RecordedEvent> {
        let payloads = Bytes::from(self.payloads);
        self.parts
            .into_iter()
            .map(|(parts, data, metadata)| {
                RecordedEvent::new(EventParts {
                    data: payloads.slice(data),
                    metadata: payloads.slice(metadata),
                    ..parts
                })
            })
            .collect()
    }
}

/// The position in the first two columns.
pub(super) fn position_of(row: &Row<'_>) -> Result<Position, Error> {
    let halves = (unsigned(row, 0).during(READ)?, unsigned(row, 1).during(READ)?);
    let (Some(commit), Some(prepare)) = halves else {
        return Err(corrupt(READ, "a position is negative"));
    };
    Ok(Position::new(commit, prepare))
}

fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<u64>> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).ok())
}

fn broken(position: Position, column: &'static str) -> Error {
    corrupt(READ, format!("column {column} of the event is not what was written")).with("position", position)
}

//! Rows of the log as events.

use std::ops::Range;

use bytes::Bytes;
use highwater_core::error::Error;
use highwater_core::model::{ContentType, EventParts, Position, RecordedEvent};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use super::interner::Interner;
use crate::error::{During, corrupt};

pub(super) const READ: &str = "read the log";

/// The columns of a whole event, in the order in which [`Events::take`] reads them.
pub(super) const COLUMNS: &str =
    "position, \"offset\", type, stream, id, category, sequence, time, data, metadata";

/// Events as they come out of the rows. Their payloads are copied into one buffer, and cut out of it at the end.
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

    /// Takes a row of [`COLUMNS`].
    pub(super) fn take(&mut self, row: &Row<'_>, position: Position, names: &mut Interner) -> Result<(), Error> {
        let broken = |column| broken(position, column);
        let text = |index, column| match row.get_ref(index).during(READ)? {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| broken(column)),
            _ => Err(broken(column)),
        };
        let ValueRef::Blob(id) = row.get_ref(4).during(READ)? else { return Err(broken("id")) };
        let (content_type, data) = match row.get_ref(8).during(READ)? {
            ValueRef::Text(data) => (ContentType::Json, data),
            ValueRef::Blob(data) => (ContentType::Binary, data),
            _ => return Err(broken("data")),
        };
        let (ValueRef::Text(metadata) | ValueRef::Blob(metadata)) = row.get_ref(9).during(READ)? else {
            return Err(broken("metadata"));
        };
        let parts = EventParts {
            position,
            id: Uuid::from_slice(id).map_err(|_| broken("id"))?,
            stream: names.stream(text(3, "stream")?),
            category: names.category(text(5, "category")?),
            sequence: unsigned(row, 6).during(READ)?.ok_or_else(|| broken("sequence"))?,
            event_type: names.event_type(text(2, "type")?),
            time_micros: row.get(7).during(READ)?,
            content_type,
            data: Bytes::new(),
            metadata: Bytes::new(),
        };
        let start = self.payloads.len();
        self.payloads.extend_from_slice(data);
        let middle = self.payloads.len();
        self.payloads.extend_from_slice(metadata);
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

/// How much the row of [`COLUMNS`] counts, as `RecordedEvent::size` would say.
pub(super) fn size_of(row: &Row<'_>) -> Result<usize, Error> {
    [2, 3, 8, 9].into_iter().try_fold(0, |size, index| {
        Ok(size
            + match row.get_ref(index).during(READ)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
                _ => 0,
            })
    })
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

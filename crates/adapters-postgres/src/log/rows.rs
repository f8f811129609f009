//! Rows of the log as events.

use std::ops::Range;

use bytes::Bytes;
use sqlx::Row;
use sqlx::postgres::{PgRow, PgValueFormat};
use uuid::Uuid;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{ContentType, EventParts, Interner, Position, RecordedEvent};

use super::columns::Time;
use crate::error::During;
use crate::number::{position, to_u64};

pub(super) const READ: &str = "read the log";

/// The columns before the payloads.
macro_rules! head {
    () => {
        "position, \"offset\", sequence, time, id, type, stream, category"
    };
}

/// The columns of a whole event.
pub(super) const COLUMNS: &str = concat!(head!(), ", data, metadata");
/// The same, with the payloads of events of `$5` bytes at most, and whether it has more.
pub(super) const SHARED: &str = concat!(
    head!(),
    ", CASE WHEN size <= $5::bigint THEN data END, CASE WHEN size <= $5::bigint THEN metadata END, \
     (size > $5::bigint)::int::bigint"
);
/// Behind [`COLUMNS`]: how many rows there are at least, with those that were left out for their bytes. Behind those
/// of [`SHARED`]: 1 for a row whose payloads were left out.
const THERE: usize = 10;

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

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.payloads.len()
    }

    /// Takes a row of [`COLUMNS`]; answers where it stands.
    pub(super) fn take(&mut self, row: &PgRow, names: &mut Interner) -> Result<(i64, i64), Error> {
        let (commit, prepare) = (long(row, 0)?, int(row, 1)?);
        let at = position(commit, prepare)?;
        let time = Time::micros(long(row, 3)?).ok_or_else(|| broken(at, "time"))?;
        let id = cell(row, 4)?.ok_or_else(|| broken(at, "id"))?;
        let parts = EventParts {
            position: at,
            id: Uuid::from_slice(id).map_err(|_| broken(at, "id"))?,
            stream: names.stream(text(row, 6, at, "stream")?),
            category: names.category(text(row, 7, at, "category")?),
            sequence: to_u64(long(row, 2)?, "sequence")?,
            event_type: names.event_type(text(row, 5, at, "type")?),
            time_micros: time,
            content_type: ContentType::Json,
            data: Bytes::new(),
            metadata: Bytes::new(),
        };
        let start = self.payloads.len();
        self.payloads.extend_from_slice(cell(row, 8)?.ok_or_else(|| broken(at, "data"))?);
        let middle = self.payloads.len();
        // None is kept as NULL: the empty text is no JSON.
        self.payloads.extend_from_slice(cell(row, 9)?.unwrap_or_default());
        self.parts.push((parts, start..middle, middle..self.payloads.len()));
        Ok((commit, prepare))
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

/// What stands behind the columns.
pub(super) fn there(row: &PgRow) -> Result<u64, Error> {
    to_u64(long(row, THERE)?, "count")
}

/// The bytes of a column, as the server sent them.
fn cell(row: &PgRow, column: usize) -> Result<Option<&[u8]>, Error> {
    let value = row.try_get_raw(column).during(READ)?;
    if value.format() != PgValueFormat::Binary {
        return Err(
            Error::new(ErrorKind::Corrupt, READ).because("the server answered as text, not in binary")
        );
    }
    // The one error that there can be is that it is NULL.
    Ok(value.as_bytes().ok())
}

fn long(row: &PgRow, column: usize) -> Result<i64, Error> {
    match cell(row, column)?.map(<[u8; 8]>::try_from) {
        Some(Ok(bytes)) => Ok(i64::from_be_bytes(bytes)),
        _ => Err(Error::new(ErrorKind::Corrupt, READ).with("column", column).because("it is no bigint")),
    }
}

fn int(row: &PgRow, column: usize) -> Result<i64, Error> {
    match cell(row, column)?.map(<[u8; 4]>::try_from) {
        Some(Ok(bytes)) => Ok(i64::from(i32::from_be_bytes(bytes))),
        _ => Err(Error::new(ErrorKind::Corrupt, READ).with("column", column).because("it is no int")),
    }
}

fn text<'r>(row: &'r PgRow, column: usize, at: Position, name: &'static str) -> Result<&'r str, Error> {
    let bytes = cell(row, column)?.ok_or_else(|| broken(at, name))?;
    std::str::from_utf8(bytes).map_err(|_| broken(at, name))
}

fn broken(position: Position, column: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, READ)
        .with("position", position)
        .with("column", column)
        .because("it is not what was written")
}

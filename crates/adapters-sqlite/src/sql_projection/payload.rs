//! An event's values on their way into SQLite.

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ContentType;
use highwater_core::sql::SqlValue;
use rusqlite::types::{Null, ToSqlOutput};

use super::number::exact_real;

/// A payload as the log's table holds it: JSON as text, anything else as a blob. Bytes that were handed in as
/// JSON and are no UTF-8 are no text.
pub(super) fn payload(content_type: ContentType, bytes: &[u8]) -> ToSqlOutput<'_> {
    match (content_type, std::str::from_utf8(bytes)) {
        (ContentType::Json, Ok(text)) => text.into(),
        _ => bytes.into(),
    }
}

/// The metadata: as a payload, but NULL where there is none, so that a path into it is NULL, too.
pub(super) fn metadata(content_type: ContentType, bytes: &[u8]) -> ToSqlOutput<'_> {
    if bytes.is_empty() { Null.into() } else { payload(content_type, bytes) }
}

/// A number of the log as SQLite can hold it.
pub(super) fn integer(name: &'static str, value: u64) -> Result<i64, Error> {
    i64::try_from(value).map_err(|_| {
        Error::new(ErrorKind::Unstorable, "give an event to SQL")
            .with(name, value)
            .because("SQLite holds whole numbers up to 9223372036854775807")
    })
}

/// A value from within a payload.
pub(super) fn field(value: &SqlValue) -> ToSqlOutput<'_> {
    match value {
        SqlValue::Null => Null.into(),
        SqlValue::Bool(value) => i64::from(*value).into(),
        SqlValue::Integer(value) => (*value).into(),
        SqlValue::Number(text) => exact_real(text).map_or_else(|| text.as_str().into(), Into::into),
        SqlValue::Text(text) | SqlValue::Json(text) => text.as_str().into(),
    }
}

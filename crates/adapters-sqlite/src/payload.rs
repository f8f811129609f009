//! Payloads in columns: JSON is TEXT, so that SQL can read it, everything else is BLOB; both come back byte
//! for byte.

use rusqlite::types::{ToSqlOutput, ValueRef};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ContentType;

/// The value for the log's columns.
///
/// # Errors
/// `Unstorable` when it is declared as JSON and is no UTF-8: SQL could not read it, and would have to guess.
pub(crate) fn in_log(content_type: ContentType, bytes: &[u8]) -> Result<ToSqlOutput<'_>, Error> {
    match content_type {
        ContentType::Binary => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(bytes))),
        ContentType::Json => match std::str::from_utf8(bytes) {
            Ok(_) => Ok(ToSqlOutput::Borrowed(ValueRef::Text(bytes))),
            Err(error) => {
                Err(Error::new(ErrorKind::Unstorable, "store a payload as JSON; declare it as binary")
                    .because(error))
            }
        },
    }
}

/// The stored word, where a payload is BLOB whatever it is.
pub(crate) fn word(content_type: ContentType) -> &'static str {
    match content_type {
        ContentType::Json => "json",
        ContentType::Binary => "binary",
    }
}

/// Reads [`word`].
pub(crate) fn from_word(word: &str) -> Option<ContentType> {
    [ContentType::Json, ContentType::Binary]
        .into_iter()
        .find(|content_type| self::word(*content_type) == word)
}

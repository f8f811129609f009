//! What a payload's bytes are, as a word beside a `bytea` column: it comes back byte for byte, whatever it is
//!

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ContentType;

/// The stored word.
pub(crate) fn word(content_type: ContentType) -> &'static str {
    match content_type {
        ContentType::Json => "json",
        ContentType::Binary => "binary",
    }
}

/// Reads [`word`].
///
/// # Errors
/// `Corrupt` for any other word.
pub(crate) fn from_word(word: &str) -> Result<ContentType, Error> {
    [ContentType::Json, ContentType::Binary]
        .into_iter()
        .find(|content_type| self::word(*content_type) == word)
        .ok_or_else(|| {
            Error::new(ErrorKind::Corrupt, "read a payload").because(format!("`{word}` is no content type"))
        })
}

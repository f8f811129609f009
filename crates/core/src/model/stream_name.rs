//! Names of streams and types: arbitrary UTF-8, up to a length that every backend takes.

use crate::error::{Error, ErrorKind};

/// The longest stream name or event type, in bytes.
pub const MAX_NAME_BYTES: usize = 1024;

/// The category of a stream whose events name none: what stands before the first `-`, or the whole name.
#[must_use]
pub fn category_of(stream: &str) -> &str {
    stream.split_once('-').map_or(stream, |(category, _)| category)
}

/// Refuses a stream name that is empty or longer than [`MAX_NAME_BYTES`].
///
/// # Errors
/// `Unstorable`, naming the length.
pub fn check_stream_name(stream: &str) -> Result<(), Error> {
    check("stream name", stream)
}

/// Refuses an event type that is empty or longer than [`MAX_NAME_BYTES`].
///
/// # Errors
/// `Unstorable`, naming the length.
pub fn check_event_type(event_type: &str) -> Result<(), Error> {
    check("event type", event_type)
}

fn check(what: &'static str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Error::new(
            ErrorKind::Unstorable,
            format!("a {what} has 1 to {MAX_NAME_BYTES} bytes of UTF-8"),
        )
        .with("bytes", name.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_category_stands_before_the_first_dash() {
        assert_eq!(category_of("order-4-2"), "order");
        assert_eq!(category_of("order"), "order");
        assert_eq!(category_of("-4"), "");
    }

    #[test]
    fn x_10_any_utf8_up_to_a_kilobyte() {
        assert!(check_stream_name("\u{0}' -- \u{202e}/é").is_ok());
        assert!(check_stream_name("").is_err());
        assert!(check_event_type(&"x".repeat(1024)).is_ok());
        assert!(check_event_type(&"x".repeat(1025)).is_err());
    }
}

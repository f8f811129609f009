//! What a column of type `json` and one of type `text` take.
//!
//! The server would say the same, but it would not say of which event, and in the caller's transaction its
//! answer would cost the caller the transaction.

use serde_json::value::RawValue;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ContentType;

/// The payload as text that is JSON.
///
/// # Errors
/// `Unstorable` for what the log cannot keep byte for byte.
pub(super) fn json_text<'b>(
    content_type: ContentType,
    bytes: &'b [u8],
    what: &'static str,
) -> Result<&'b str, Error> {
    if content_type != ContentType::Json {
        return Err(
            unstorable(what).because("a PostgreSQL log keeps JSON only: encode the bytes as a JSON string")
        );
    }
    let text = std::str::from_utf8(bytes).map_err(|error| unstorable(what).because(error))?;
    // Looks at the syntax only, as the server does: what no parser takes, such as 1e400, is kept.
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(text),
        Err(error) => Err(unstorable(what).because(format!("it is not JSON: {error}"))),
    }
}

/// A name as a text.
///
/// # Errors
/// `Unstorable` if it has a NUL, which no text of PostgreSQL can.
pub(super) fn name<'n>(name: &'n str, what: &'static str) -> Result<&'n str, Error> {
    if name.contains('\0') {
        return Err(unstorable(what).because("PostgreSQL takes no NUL character in a name"));
    }
    Ok(name)
}

fn unstorable(what: &'static str) -> Error {
    Error::new(ErrorKind::Unstorable, "store an event in PostgreSQL").with("field", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_9_what_the_server_takes_is_taken() {
        for good in [
            " {\n\t} ",
            "1e400000",
            r#""\u0000\ud800""#,
            "null",
            r#"{"b":1,"b":2}"#,
            &format!("{}{}", "[".repeat(300), "]".repeat(300)),
        ] {
            assert_eq!(json_text(ContentType::Json, good.as_bytes(), "data").unwrap(), good);
        }
    }

    #[test]
    fn x_9_what_it_does_not_take_is_unstorable() {
        let bad: [&[u8]; 8] =
            [b"", b"{'a': NaN,}", b"{} {}", b"\"\0\"", b"\"\xff\"", b"01", b"\"\n\"", b"\xef\xbb\xbf{}"];
        for bytes in bad {
            let error = json_text(ContentType::Json, bytes, "data").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unstorable, "{bytes:?}");
        }
        assert!(json_text(ContentType::Binary, b"{}", "data").is_err());
        assert_eq!(name("a\0b", "stream").unwrap_err().kind(), ErrorKind::Unstorable);
    }
}

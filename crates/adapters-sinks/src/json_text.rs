//! JSON that is written as text, so that a payload goes out as it came in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Datelike};
use serde_json::value::RawValue;

/// Appends a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes every byte of a string");
}

/// Appends a JSON string that holds these bytes in base64.
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
    out.push(b'"');
}

/// Whether these bytes are one JSON value with nothing but white space around it. Looks at the syntax only:
/// what no parser takes into a number or a string, such as `1e400`, is JSON all the same.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

/// Whether RFC 3339 can write this time: years 0 to 9999.
pub(crate) fn in_calendar(micros: i64) -> bool {
    DateTime::from_timestamp_micros(micros).is_some_and(|time| (0..=9999).contains(&time.year()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_9_json_is_told_by_its_syntax_alone() {
        for good in [&b" {\n\t} "[..], b"1e400000", br#""\u0000\ud800""#, b"null", br#"{"b":1,"b":2}"#] {
            assert!(is_json(good), "{good:?}");
        }
        for bad in [&b""[..], b"{'a': NaN,}", b"{} {}", b"\"\0\"", b"\"\xff\"", b"01", b"\xef\xbb\xbf{}"] {
            assert!(!is_json(bad), "{bad:?}");
        }
    }

    #[test]
    fn x_5_only_four_digit_years_are_in_the_calendar() {
        assert!(
            in_calendar(0) && in_calendar(-62_167_219_200_000_000) && in_calendar(253_402_300_799_999_999)
        );
        assert!(!in_calendar(-62_167_219_200_000_001) && !in_calendar(253_402_300_800_000_000));
        assert!(!in_calendar(i64::MIN) && !in_calendar(i64::MAX));
    }
}

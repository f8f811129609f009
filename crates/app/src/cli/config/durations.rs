//! Durations and sizes as people write them.

use std::time::Duration;

use bytesize::ByteSize;

const UNIT: &str = "write a number with a unit, such as \"500ms\", \"30s\" or \"2min\"";

/// `500ms`, `30s`, `1m 30s`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim()).map_err(|error| format!("is no duration ({error}): {UNIT}"))
}

/// A duration as it may be written.
pub(crate) fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// `8MiB`, `64KiB`, or a number of bytes.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.trim().parse().map_err(|error| {
        format!("is no size ({error}): write bytes, or a number with a unit, such as \"8MiB\"")
    })?;
    usize::try_from(size.as_u64()).map_err(|_| "is more than this machine can address".to_owned())
}

/// A size as it may be written; exact.
pub(crate) fn show_size(bytes: usize) -> String {
    const UNITS: [(usize, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_go_both_ways() {
        for (text, duration) in [
            ("500ms", Duration::from_millis(500)),
            ("30s", Duration::from_secs(30)),
            ("1m 30s", Duration::from_secs(90)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(parse_duration(text), Ok(duration));
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        for (text, bytes) in [("8MiB", 8 << 20), ("64 KiB", 64 << 10), ("1000", 1000), ("1kB", 1000)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn x_12_what_is_none_is_refused_with_an_example() {
        assert!(parse_duration("30").unwrap_err().contains("30s"));
        assert!(parse_duration("soon").unwrap_err().contains("500ms"));
        assert!(parse_size("much").unwrap_err().contains("8MiB"));
        assert!(parse_size("-1").is_err());
    }
}

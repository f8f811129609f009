//! Events, names and payloads for tests: short builders for the plain case, and lists of everything that has
//! broken a storage somewhere.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use highwater_core::Error;
use highwater_core::model::{
    Append, Appended, ContentType, EventParts, Expected, NewEvent, Position, RecordedEvent, category_of,
};
use highwater_core::ports::AppendEvents;

/// Numbers at which arithmetic goes wrong (X-5): the ends of `u64` and `i64`, and where a double loses the
/// units.
pub const EDGES: [u64; 11] = [
    0,
    1,
    9,
    10,
    (1 << 53) - 1,
    1 << 53,
    (1 << 53) + 1,
    i64::MAX.unsigned_abs() - 1,
    i64::MAX.unsigned_abs(),
    i64::MAX.unsigned_abs() + 1,
    u64::MAX,
];

/// The id of the n-th event of these fixtures; the same in every run.
#[must_use]
pub fn id(n: u64) -> Uuid {
    Uuid::from_u128((0x4857_0000_0000_4000_8000_u128 << 48) | u128::from(n))
}

/// The payload `{"n":n}`.
#[must_use]
pub fn json_n(n: u64) -> String {
    format!(r#"{{"n":{n}}}"#)
}

/// The n-th event as a log would return it: at position `n:0`, sequence `n`, payload `{"n":n}`.
#[must_use]
pub fn event(n: u64, event_type: &str, stream: &str) -> RecordedEvent {
    event_with(n, event_type, stream, json_n(n))
}

/// As [`event`], with this payload.
#[must_use]
pub fn event_with(n: u64, event_type: &str, stream: &str, data: impl Into<Bytes>) -> RecordedEvent {
    RecordedEvent::new(EventParts {
        position: Position::new(n, 0),
        id: id(n),
        stream: stream.into(),
        category: category_of(stream).into(),
        sequence: n,
        event_type: event_type.into(),
        time_micros: 1_700_000_000_000_000,
        content_type: ContentType::Json,
        data: data.into(),
        metadata: Bytes::from_static(b"{}"),
    })
}

/// The n-th event before its append: id [`id`]`(n)`, payload `{"n":n}`.
#[must_use]
pub fn new_event(n: u64, event_type: &str) -> NewEvent {
    NewEvent::json(event_type, json_n(n)).with_id(id(n))
}

/// An append of these events, wherever the stream is.
#[must_use]
pub fn append_to(stream: &str, events: Vec<NewEvent>) -> Append {
    Append { stream: stream.into(), category: None, expected: Expected::Any, events }
}

/// Appends the events `0..n`; see [`append_range`].
///
/// # Errors
/// What the log answers.
pub async fn append_n(log: &dyn AppendEvents, n: u64) -> Result<Vec<Appended>, Error> {
    append_range(log, 0..n).await
}

/// Appends the events of this range, each in an append of its own, up to 1,000 in one call. Event `n` has the
/// type `Counted` or, where `n` is odd, `Tallied`, and goes to the stream `counter-{n % 4}`.
///
/// # Errors
/// What the log answers.
pub async fn append_range(log: &dyn AppendEvents, range: Range<u64>) -> Result<Vec<Appended>, Error> {
    let mut done = Vec::new();
    let mut call = Vec::new();
    let last = range.end;
    for n in range {
        let event_type = if n % 2 == 0 { "Counted" } else { "Tallied" };
        call.push(append_to(&format!("counter-{}", n % 4), vec![new_event(n, event_type)]));
        if call.len() == 1000 || n + 1 == last {
            done.append(&mut log.append(&call).await?);
            call.clear();
        }
    }
    Ok(done)
}

/// Thirty names of streams, types and keys that are legal and unpleasant (X-10). Some differ only in case, in
/// normalization, or in what a pattern language would read into them.
#[must_use]
pub fn hostile_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "a",
        "A",
        " ",
        " a ",
        "a\0b",
        "\0",
        "a\nb\r\n",
        "\t\u{7f}\u{1b}[31m",
        "it's",
        "\"quoted\"",
        "`tick`",
        "'; DROP TABLE events; --",
        "$$ $1 :name ?1 @x",
        "a/b\\c/../d",
        "%",
        "_",
        "a%",
        "a*",
        "?[a-z]{1,2}^",
        "-",
        "-leading",
        "$all",
        "$ce-a",
        "prod:eu:{slot}",
        "\u{e9}",
        "e\u{301}",
        "\u{202e}rtl\u{feff}",
        "日本語-飛行",
        "😀👩\u{200d}🚀",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    names.push("é".repeat(512)); // 1,024 bytes
    names
}

/// A payload that is legal and unpleasant.
#[derive(Debug, Clone)]
pub struct NastyPayload {
    /// What is unpleasant about it.
    pub name: &'static str,
    /// How it is declared.
    pub content_type: ContentType,
    /// The bytes.
    pub data: Bytes,
}

/// Payloads that must come back byte for byte (X-9): JSON that parsers disagree about, text that is no JSON,
/// and bytes that are no text.
#[must_use]
pub fn nasty_payloads() -> Vec<NastyPayload> {
    let json = |name, text: &str| NastyPayload {
        name,
        content_type: ContentType::Json,
        data: Bytes::copy_from_slice(text.as_bytes()),
    };
    let binary = |name, bytes: Vec<u8>| NastyPayload {
        name,
        content_type: ContentType::Binary,
        data: Bytes::from(bytes),
    };
    vec![
        json("empty object with spaces", " {\n\t} "),
        json("keys in odd order, and twice", r#"{"b":1,"a":2,"b":3}"#),
        json("a number beyond f64", r#"{"n":1e400,"m":123456789012345678901234567890.000}"#),
        json("an escaped NUL", r#"{"a":"\u0000"}"#),
        json("a lone surrogate", r#"{"a":"\ud800"}"#),
        json("escapes that could be shorter", r#"{"\u0061":"\/\u00e9"}"#),
        json("a bare string", "\"é😀\""),
        json("deep nesting", &format!("{}{}", "[".repeat(300), "]".repeat(300))),
        json("not JSON at all", "{'a': NaN,}"),
        json("nothing", ""),
        binary("every byte", (0..=255).collect()),
        binary("a NUL", vec![0]),
        binary("broken UTF-8", vec![0xff, 0xfe, 0xc3, 0x28]),
        binary("no bytes", Vec::new()),
        binary("a quarter of a megabyte", (0..=255_u8).cycle().take(1 << 18).collect()),
    ]
}

/// A list of events at consecutive positions from `1:0`, all of one type and stream.
#[must_use]
pub fn events(count: u64, event_type: &str, stream: &str) -> Vec<RecordedEvent> {
    let (event_type, stream): (Arc<str>, Arc<str>) = (event_type.into(), stream.into());
    (1..=count).map(|n| event(n, &event_type, &stream)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use highwater_core::model::{check_event_type, check_stream_name};

    use super::*;

    #[test]
    fn x_10_the_thirty_hostile_names_are_legal_and_different() {
        let names = hostile_names();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 30);
        for name in &names {
            assert!(check_stream_name(name).is_ok() && check_event_type(name).is_ok(), "{name:?}");
        }
        assert!(names.iter().any(|name| name.len() == 1024));
        assert!(names.iter().any(|name| name.contains('\0')));
    }

    #[test]
    fn ids_differ_and_repeat() {
        assert_eq!(id(7), id(7));
        assert_eq!((0..1000).map(id).collect::<BTreeSet<_>>().len(), 1000);
    }
}

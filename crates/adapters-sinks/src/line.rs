//! One event to one line of JSON: the form that `highwater import` reads and `highwater export` writes.

use highwater_core::model::{ContentType, RecordedEvent};

use crate::json_text::{base64, in_calendar, is_json, string};

/// Appends the event's line, with its line end, to `out` (here in two lines):
///
/// ```json
/// {"id":"…","stream":"case-7","stream_type":"case","sequence":0,"type":"Opened",
///  "time":"2013-01-01T10:17:00Z","data":{…},"metadata":{…}}
/// ```
///
/// * The keys stand in this order, without blanks: a shell script finds the id at the eighth byte.
/// * `stream_type` is the category, `sequence` the revision in the stream, from 0.
/// * `data` and `metadata` are the bytes as they were appended, whatever JSON they are. A payload that is no
///   JSON on one line travels as `data_text` (a JSON string that holds the text), opaque bytes as
///   `data_base64`; the same for `metadata`, which is left out where there is none.
/// * A time outside the years 0 to 9999 travels as `time_micros`, microseconds since 1970.
///
/// There is exactly one line end in it, at its end.
pub fn write_line(out: &mut Vec<u8>, event: &RecordedEvent) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(event.id().hyphenated().encode_lower(&mut [0; 36]).as_bytes());
    out.extend_from_slice(b"\",\"stream\":");
    string(out, event.stream());
    out.extend_from_slice(b",\"stream_type\":");
    string(out, event.category());
    out.extend_from_slice(b",\"sequence\":");
    out.extend_from_slice(event.sequence().to_string().as_bytes());
    out.extend_from_slice(b",\"type\":");
    string(out, event.event_type());
    if in_calendar(event.time_micros()) {
        out.extend_from_slice(b",\"time\":\"");
        out.extend_from_slice(event.time_rfc3339().as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(b",\"time_micros\":");
        out.extend_from_slice(event.time_micros().to_string().as_bytes());
    }
    match event.content_type() {
        ContentType::Binary => {
            name(out, "data", "_base64");
            base64(out, event.data());
        }
        ContentType::Json => payload(out, "data", event.data()),
    }
    if !event.metadata().is_empty() {
        payload(out, "metadata", event.metadata());
    }
    out.extend_from_slice(b"}\n");
}

/// The payload as it is where it is JSON on one line; else in a form that brings every byte back.
fn payload(out: &mut Vec<u8>, key: &str, bytes: &[u8]) {
    let blank_around = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    let verbatim = !bytes.contains(&b'\n')
        && !blank_around(bytes.first())
        && !blank_around(bytes.last())
        && is_json(bytes);
    if verbatim {
        name(out, key, "");
        out.extend_from_slice(bytes);
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        name(out, key, "_text");
        string(out, text);
    } else {
        name(out, key, "_base64");
        base64(out, bytes);
    }
}

fn name(out: &mut Vec<u8>, key: &str, suffix: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use highwater_core::model::EventParts;
    use highwater_testkit::fixtures::{event_with, hostile_names, nasty_payloads};
    use serde_json::Value;

    use super::*;

    fn line(event: &RecordedEvent) -> String {
        let mut out = Vec::new();
        write_line(&mut out, event);
        let text = String::from_utf8(out).expect("a line is UTF-8");
        let line = text.strip_suffix('\n').expect("a line ends");
        assert!(!line.contains('\n'), "one line: {line}");
        line.to_owned()
    }

    fn changed(change: impl FnOnce(&mut EventParts)) -> RecordedEvent {
        let mut parts = event_with(7, "Opened", "case-7", r#"{"a": 1}"#).parts().clone();
        change(&mut parts);
        RecordedEvent::new(parts)
    }

    #[test]
    fn the_keys_stand_in_the_order_of_an_export() {
        assert_eq!(
            line(&changed(|_| ())),
            concat!(
                r#"{"id":"48570000-0000-4000-8000-000000000007","stream":"case-7","stream_type":"case","#,
                r#""sequence":7,"type":"Opened","time":"2023-11-14T22:13:20Z","data":{"a": 1},"metadata":{}}"#
            )
        );
    }

    #[test]
    fn x_9_every_payload_is_in_a_form_that_brings_every_byte_back() {
        let data = |bytes: &'static [u8], content_type| {
            line(&changed(|parts| {
                parts.data = Bytes::from_static(bytes);
                parts.content_type = content_type;
                parts.metadata = Bytes::new();
            }))
        };
        assert!(data(b" 1", ContentType::Json).ends_with(r#""data_text":" 1"}"#));
        assert!(data(b"{\r\n}", ContentType::Json).ends_with(r#""data_text":"{\r\n}"}"#));
        assert!(data(b"not json", ContentType::Json).ends_with(r#""data_text":"not json"}"#));
        assert!(data(b"null", ContentType::Json).ends_with(r#""data":null}"#));
        assert!(data(b"\xff", ContentType::Json).ends_with(r#""data_base64":"/w=="}"#));
        assert!(data(b"{}", ContentType::Binary).ends_with(r#""data_base64":"e30="}"#));
        assert!(line(&changed(|parts| parts.time_micros = i64::MIN)).contains(r#","time_micros":-9223372"#));
    }

    #[test]
    fn x_10_hostile_names_and_payloads_are_one_line_each() {
        for name in hostile_names() {
            let event = event_with(1, &name, &name, "{}");
            let read: Value = serde_json::from_str(&line(&event)).unwrap();
            assert_eq!((&read["stream"], &read["type"]), (&name.as_str().into(), &name.as_str().into()));
            assert_eq!(read["stream_type"], event.category());
        }
        for nasty in nasty_payloads() {
            let written = line(&changed(|parts| {
                parts.data = nasty.data.clone();
                parts.content_type = nasty.content_type;
            }));
            assert!(is_json(written.as_bytes()), "{}", nasty.name);
        }
    }
}

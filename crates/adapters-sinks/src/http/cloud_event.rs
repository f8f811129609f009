//! One event as a CloudEvent in JSON (structured mode).
//!
//! The text is written, not built from values: the payload is spliced in as the bytes that were appended, so
//! a number that no double holds, a key that stands there twice and an escape that could be shorter all reach
//! the receiver. Names go through as they are, too. CloudEvents forbids control characters in strings and we
//! allow them in names; a receiver that insists refuses such an event, and that is better than two streams
//! that are folded into one by a replacement.

use highwater_core::model::{ContentType, RecordedEvent};

use super::lineage::Lineage;
use super::source::Source;
use crate::json_text::{base64, in_calendar, is_json, string};

/// Writes events as CloudEvents.
#[derive(Debug, Clone)]
pub(super) struct CloudEvents {
    pub(super) source: Source,
    pub(super) metadata: bool,
}

impl CloudEvents {
    /// Appends the event as one JSON object.
    pub(super) fn write(&self, out: &mut Vec<u8>, event: &RecordedEvent) {
        out.extend_from_slice(br#"{"specversion":"1.0","id":""#);
        out.extend_from_slice(event.id().hyphenated().encode_lower(&mut [0; 36]).as_bytes());
        out.extend_from_slice(br#"","source":""#);
        self.source.write(out, event);
        out.push(b'"');
        attribute(out, "type", event.event_type());
        attribute(out, "subject", event.stream());
        if in_calendar(event.time_micros()) {
            attribute(out, "time", &event.time_rfc3339());
        } else {
            attribute(out, "timemicros", &event.time_micros().to_string());
        }
        // The sequence extension wants a text that sorts: u64 has up to 20 digits.
        attribute(out, "sequence", &format!("{:020}", event.sequence()));
        attribute(out, "position", &event.position().to_string());
        if !event.category().is_empty() {
            attribute(out, "category", event.category());
        }
        if self.metadata && !event.metadata().is_empty() {
            write_metadata(out, event.metadata());
        }
        write_data(out, event);
        out.push(b'}');
    }
}

fn attribute(out: &mut Vec<u8>, name: &str, text: &str) {
    key(out, name);
    string(out, text);
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// An attribute of a CloudEvent is never an object, so the metadata travels as the text that it is.
fn write_metadata(out: &mut Vec<u8>, metadata: &[u8]) {
    let lineage = Lineage::of(metadata);
    if let Some(id) = &lineage.correlation {
        attribute(out, "correlationid", id);
    }
    if let Some(id) = &lineage.causation {
        attribute(out, "causationid", id);
    }
    match std::str::from_utf8(metadata) {
        Ok(text) if !text.contains(char::is_control) => attribute(out, "metadata", text),
        _ => {
            key(out, "metadatabase64");
            base64(out, metadata);
        }
    }
}

fn write_data(out: &mut Vec<u8>, event: &RecordedEvent) {
    let declared = match event.content_type() {
        ContentType::Json => "application/json",
        ContentType::Binary => "application/octet-stream",
    };
    attribute(out, "datacontenttype", declared);
    if event.content_type() == ContentType::Json && is_json(event.data()) {
        key(out, "data");
        out.extend_from_slice(event.data());
    } else {
        key(out, "data_base64");
        base64(out, event.data());
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use highwater_core::model::EventParts;
    use highwater_testkit::fixtures::event_with;

    use super::*;

    fn written(metadata: bool, change: impl FnOnce(&mut EventParts)) -> String {
        let mut parts = event_with(7, "Opened", "case-7", r#" {"a": 1e400} "#).parts().clone();
        change(&mut parts);
        let mut out = Vec::new();
        let source = Source::parse("/streams/{stream}").unwrap();
        CloudEvents { source, metadata }.write(&mut out, &RecordedEvent::new(parts));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn x_9_the_payload_is_spliced_in_as_it_was_appended() {
        assert_eq!(
            written(true, |parts| parts.metadata = Bytes::from_static(br#"{"correlation_id":"c"}"#)),
            concat!(
                r#"{"specversion":"1.0","id":"48570000-0000-4000-8000-000000000007","#,
                r#""source":"/streams/case-7","type":"Opened","subject":"case-7","#,
                r#""time":"2023-11-14T22:13:20Z","sequence":"00000000000000000007","position":"7:0","#,
                r#""category":"case","correlationid":"c","metadata":"{\"correlation_id\":\"c\"}","#,
                r#""datacontenttype":"application/json","data": {"a": 1e400} }"#
            )
        );
    }

    #[test]
    fn x_9_what_is_no_json_travels_in_base64_under_the_type_that_it_was_declared_as() {
        let data = |content_type, bytes: &'static [u8]| {
            written(true, |parts| {
                parts.content_type = content_type;
                parts.data = Bytes::from_static(bytes);
            })
        };
        let json = data(ContentType::Json, b"no json");
        assert!(
            json.ends_with(r#""datacontenttype":"application/json","data_base64":"bm8ganNvbg=="}"#),
            "{json}"
        );
        let binary = data(ContentType::Binary, b"{}");
        assert!(binary.ends_with(r#""datacontenttype":"application/octet-stream","data_base64":"e30="}"#));
        assert!(data(ContentType::Json, b"").ends_with(r#""data_base64":""}"#));
    }

    #[test]
    fn x_5_the_sequence_sorts_as_text_and_a_time_without_a_calendar_is_a_number() {
        let greatest = written(true, |parts| {
            parts.sequence = u64::MAX;
            parts.time_micros = i64::MAX;
        });
        assert!(greatest.contains(r#""sequence":"18446744073709551615""#));
        assert!(greatest.contains(r#""timemicros":"9223372036854775807""#) && !greatest.contains("\"time\""));
    }

    #[test]
    fn metadata_is_left_out_on_request_and_never_bent() {
        assert!(!written(false, |_| ()).contains("metadata"));
        assert!(!written(true, |parts| parts.metadata = Bytes::new()).contains("metadata"));
        let pretty = written(true, |parts| parts.metadata = Bytes::from_static(b"{\n}"));
        assert!(pretty.contains(r#""metadatabase64":"ewp9""#), "{pretty}");
        let broken = written(true, |parts| parts.metadata = Bytes::from_static(b"\xff"));
        assert!(broken.contains(r#""metadatabase64":"/w==""#), "{broken}");
    }

    #[test]
    fn an_empty_category_is_no_attribute() {
        assert!(!written(true, |parts| parts.category = "".into()).contains("category"));
    }
}

//! One line: from text to an append, with an error that says what is wrong with it.
//!
//! The payloads are never parsed into values: they stay the text they are, as slices of the buffer in which
//! the line arrived.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::DateTime;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use highwater_core::model::{
    Append, ContentType, Expected, NewEvent, category_of, check_event_type, check_stream_name,
};

use super::names::Names;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineError(pub(crate) String);

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys of a line. Every key is optional here, so that a missing one is reported in our words.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    stream: Option<Text<'a>>,
    stream_type: Option<Text<'a>>,
    sequence: Option<u64>,
    #[serde(rename = "type")]
    event_type: Option<Text<'a>>,
    time: Option<Text<'a>>,
    time_micros: Option<i64>,
    #[serde(default, borrow, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    data_text: Option<Text<'a>>,
    data_base64: Option<Text<'a>>,
    #[serde(default, borrow, deserialize_with = "present")]
    metadata: Option<&'a RawValue>,
    metadata_text: Option<Text<'a>>,
    metadata_base64: Option<Text<'a>>,
}

/// A string that is borrowed from the line unless it has escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

/// A `null` that is written is a payload; only a key that is not there is none.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some).map_err(D::Error::custom)
}

/// Reads one line (without its line end).
pub(crate) fn parse_line(line: &Bytes, names: &mut Names) -> Result<Append, LineError> {
    let parsed: Line<'_> = serde_json::from_slice(line).map_err(|error| LineError(json_problem(&error)))?;
    let id = parsed.id.ok_or_else(|| missing("id", "a UUID; it makes importing a file twice harmless"))?;
    let stream = parsed.stream.ok_or_else(|| missing("stream", "the name of the event's stream"))?;
    let event_type = parsed.event_type.ok_or_else(|| missing("type", "the event's type"))?;
    let time_micros = match (&parsed.time, parsed.time_micros) {
        (Some(time), None) => parse_time(&time.0)?,
        (None, Some(micros)) => micros,
        (None, None) => return Err(missing("time", "when it happened, such as \"2013-01-01T10:17:00Z\"")),
        (Some(_), Some(_)) => return Err(both("time", "time_micros")),
    };
    check_stream_name(&stream.0).map_err(|error| LineError(error.to_string()))?;
    check_event_type(&event_type.0).map_err(|error| LineError(error.to_string()))?;
    let id = Uuid::try_parse(&id.0).map_err(|_| LineError(format!("`id` is no UUID: {:?}", id.0)))?;
    let (data, content_type) = payload("data", line, parsed.data, parsed.data_text, parsed.data_base64)?
        .ok_or_else(|| missing("data", "the event's payload: any JSON"))?;
    let metadata = payload("metadata", line, parsed.metadata, parsed.metadata_text, parsed.metadata_base64)?
        .map_or_else(Bytes::new, |(metadata, _)| metadata);
    // A stream whose name begins with `-` has the empty category by rule: that is not one to be stored.
    let category =
        parsed.stream_type.filter(|given| !(given.0.is_empty() && category_of(&stream.0).is_empty()));
    Ok(Append {
        stream: names.shared(&stream.0),
        category: category.map(|category| names.shared(&category.0)),
        expected: parsed.sequence.map_or(Expected::Any, Expected::Next),
        events: vec![NewEvent {
            id,
            event_type: names.shared(&event_type.0),
            time_micros: Some(time_micros),
            content_type,
            data,
            metadata,
        }],
    })
}

/// The one of the three forms that is there.
fn payload(
    key: &'static str,
    line: &Bytes,
    json: Option<&RawValue>,
    text: Option<Text<'_>>,
    base64: Option<Text<'_>>,
) -> Result<Option<(Bytes, ContentType)>, LineError> {
    match (json, text, base64) {
        (None, None, None) => Ok(None),
        (Some(json), None, None) => Ok(Some((line.slice_ref(json.get().as_bytes()), ContentType::Json))),
        (None, Some(text), None) => Ok(Some((Bytes::from(text.0.into_owned()), ContentType::Json))),
        (None, None, Some(base64)) => BASE64
            .decode(base64.0.as_bytes())
            .map(|bytes| Some((Bytes::from(bytes), ContentType::Binary)))
            .map_err(|error| LineError(format!("`{key}_base64` is no base64: {error}"))),
        _ => Err(LineError(format!("give one of `{key}`, `{key}_text` and `{key}_base64`, not several"))),
    }
}

/// RFC 3339 as microseconds since 1970, in UTC; what microseconds cannot hold is refused, not rounded.
fn parse_time(text: &str) -> Result<i64, LineError> {
    let time = DateTime::parse_from_rfc3339(text).map_err(|error| {
        LineError(format!("`time` is not RFC 3339, such as \"2013-01-01T10:17:00Z\": {text:?} ({error})"))
    })?;
    let nanos = time.timestamp_subsec_nanos();
    if nanos >= 1_000_000_000 {
        return Err(LineError(format!("`time` is a leap second, which cannot be kept: {text:?}")));
    }
    if nanos % 1_000 != 0 {
        return Err(LineError(format!("`time` is finer than microseconds, which would be lost: {text:?}")));
    }
    Ok(time.timestamp_micros())
}

fn missing(key: &str, what: &str) -> LineError {
    LineError(format!("`{key}` is missing ({what})"))
}

fn both(one: &str, other: &str) -> LineError {
    LineError(format!("give `{one}` or `{other}`, not both"))
}

/// serde_json's text without its line, which is always 1; the column stays.
fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) if error.column() > 0 => format!("column {}: {what}", error.column()),
        Some(what) => what.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"1cc59684-65db-5b97-8570-efd3beb72116","stream":"case-1","stream_type":"aircraft","sequence":3,"type":"Landed","time":"2013-01-01T10:17:00Z","data":{"a": 1},"metadata":null}"#;

    fn parse(line: &str) -> Result<Append, LineError> {
        parse_line(&Bytes::copy_from_slice(line.as_bytes()), &mut Names::default())
    }

    fn problem(line: &str) -> String {
        parse(line).expect_err("the line is bad").0
    }

    fn with(key: &str, value: &str) -> String {
        let mut line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(GOOD).unwrap();
        line.remove(key);
        let mut text = serde_json::to_string(&line).unwrap();
        text.pop();
        format!("{text},{value}}}")
    }

    #[test]
    fn a_good_line_keeps_its_payload_as_written() {
        let append = parse(GOOD).unwrap();
        assert_eq!(&*append.stream, "case-1");
        assert_eq!(append.category.as_deref(), Some("aircraft"));
        assert_eq!(append.expected, Expected::Next(3));
        let event = &append.events[0];
        assert_eq!(event.time_micros, Some(1_357_035_420_000_000));
        assert_eq!(&event.data[..], br#"{"a": 1}"#);
        assert_eq!(&event.metadata[..], b"null", "a written null is metadata");
        assert_eq!(event.content_type, ContentType::Json);
    }

    #[test]
    fn what_may_be_left_out() {
        let line = r#"{"id":"1cc59684-65db-5b97-8570-efd3beb72116","stream":"a","type":"T","time":"2013-01-01T12:17:00+02:00","data":1}"#;
        let append = parse(line).unwrap();
        assert_eq!(append.expected, Expected::Any);
        assert_eq!(append.category, None);
        assert_eq!(append.events[0].time_micros, Some(1_357_035_420_000_000));
        assert!(append.events[0].metadata.is_empty());
    }

    #[test]
    fn x_12_each_problem_is_named() {
        assert!(problem("{").contains("column"), "{}", problem("{"));
        assert!(problem("[]").contains("invalid"), "{}", problem("[]"));
        assert!(problem(&with("id", r#""x":1"#)).contains("unknown field `x`"));
        assert!(problem(&with("", r#""type":"again""#)).contains("duplicate field `type`"));
        assert!(problem(&with("id", r#""id":"12""#)).contains("no UUID"));
        for key in ["id", "stream", "type", "time", "data"] {
            let line = with(key, r#""sequence":null"#).replacen(r#""sequence":3,"#, "", 1);
            assert!(problem(&line).contains(&format!("`{key}` is missing")), "{}", problem(&line));
        }
        assert!(problem(&with("sequence", r#""sequence":-1"#)).contains("-1"));
        assert!(problem(&with("sequence", r#""sequence":1.5"#)).contains("1.5"));
        assert!(problem(&with("stream", r#""stream":"""#)).contains("stream name"));
        assert!(problem(&with("time", r#""time":"yesterday""#)).contains("RFC 3339"));
        assert!(problem(&with("time", r#""time":"2013-01-01T10:17:00.0000001Z""#)).contains("finer"));
        assert!(problem(&with("time", r#""time":"2016-12-31T23:59:60Z""#)).contains("leap second"));
        assert!(problem(&with("", r#""time_micros":1"#)).contains("not both"));
        assert!(problem(&with("", r#""data_text":"1""#)).contains("not several"));
        assert!(problem(&with("data", r#""data_base64":"%""#)).contains("no base64"));
        assert!(problem(&with("stream", r#""stream":"\ud800""#)).contains("column"));
    }

    #[test]
    fn bytes_and_odd_text_have_forms_of_their_own() {
        let binary = parse(&with("data", r#""data_base64":"AP8=""#)).unwrap();
        assert_eq!(&binary.events[0].data[..], [0, 255]);
        assert_eq!(binary.events[0].content_type, ContentType::Binary);
        let text = parse(&with("data", r#""data_text":"{\n}""#)).unwrap();
        assert_eq!(&text.events[0].data[..], b"{\n}");
        assert_eq!(text.events[0].content_type, ContentType::Json);
    }
}

//! Events on their way into the server, as arrays.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{ContentType, RecordedEvent};

/// The deepest nesting that the server's JSON reader is trusted with: it takes some thousands, and says so by an
/// error that would be the whole slice's.
const DEEPEST: usize = 500;
/// The first moment that a `timestamptz` holds, in 4714 BC, in microseconds since 1970. It ends behind `i64::MAX`.
const EARLIEST: i64 = -210_866_803_200_000_000;

/// The arrays, an element an event.
#[derive(Debug, Default)]
pub(super) struct Slice<'e> {
    pub(super) numbers: Vec<i32>,
    pub(super) positions: Vec<Option<i64>>,
    pub(super) offsets: Vec<Option<i64>>,
    pub(super) ids: Vec<Uuid>,
    pub(super) streams: Vec<&'e str>,
    pub(super) categories: Vec<&'e str>,
    pub(super) sequences: Vec<Option<i64>>,
    pub(super) types: Vec<&'e str>,
    pub(super) times: Vec<Option<DateTime<Utc>>>,
    pub(super) data: Vec<Option<&'e str>>,
    pub(super) metadata: Vec<Option<&'e str>>,
    pub(super) raw_data: Vec<Option<&'e [u8]>>,
    pub(super) raw_metadata: Vec<Option<&'e [u8]>>,
    pub(super) far: Vec<Option<String>>,
}

impl<'e> Slice<'e> {
    /// The events, each with its index in the slice. What no column can hold goes beside it.
    ///
    /// # Errors
    /// The index of an event whose name holds a NUL, which no text of the server's does.
    pub(super) fn of(
        events: impl Iterator<Item = (usize, &'e RecordedEvent)>,
    ) -> Result<Self, (usize, Error)> {
        let mut slice = Self::default();
        for (number, (index, event)) in (0..).zip(events) {
            for (what, name) in
                [("stream", event.stream()), ("category", event.category()), ("type", event.event_type())]
            {
                if name.contains('\0') {
                    let error = Error::new(ErrorKind::Unstorable, "give an event to SQL")
                        .with(what, name.escape_debug())
                        .because("PostgreSQL has no text with the character U+0000");
                    return Err((index, error));
                }
            }
            slice.push(number, event);
        }
        Ok(slice)
    }

    fn push(&mut self, number: i32, event: &'e RecordedEvent) {
        let halves = [event.position().commit(), event.position().prepare(), event.sequence()];
        let fitting = halves.map(|half| i64::try_from(half).ok());
        let time = Some(event.time_micros())
            .filter(|micros| *micros >= EARLIEST)
            .and_then(DateTime::from_timestamp_micros);
        let far = fitting.contains(&None) || time.is_none();
        self.far.push(far.then(|| {
            let [position, offset, sequence] = halves;
            format!("{position}|{offset}|{sequence}|{}", event.time_rfc3339())
        }));
        let [position, offset, sequence] = fitting;
        self.numbers.push(number);
        self.positions.push(position);
        self.offsets.push(offset);
        self.ids.push(event.id());
        self.streams.push(event.stream());
        self.categories.push(event.category());
        self.sequences.push(sequence);
        self.types.push(event.event_type());
        self.times.push(time);
        let (data, raw) = payload(event.content_type(), event.data());
        self.data.push(data);
        self.raw_data.push(raw);
        let (metadata, raw) = match event.metadata() {
            [] => (None, None),
            bytes => payload(event.content_type(), bytes),
        };
        self.metadata.push(metadata);
        self.raw_metadata.push(raw);
    }
}

/// A payload as JSON, or as the bytes that it is.
fn payload(content_type: ContentType, bytes: &[u8]) -> (Option<&str>, Option<&[u8]>) {
    let text = std::str::from_utf8(bytes).ok().filter(|text| {
        content_type == ContentType::Json
            && is_shallow(bytes)
            && serde_json::from_str::<&RawValue>(text).is_ok()
    });
    match text {
        Some(text) => (Some(text), None),
        None => (None, Some(bytes)),
    }
}

/// No more brackets are open anywhere than [`DEEPEST`]; those in strings count, too, which does no harm.
fn is_shallow(bytes: &[u8]) -> bool {
    let mut depth = 0_usize;
    for byte in bytes {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth > DEEPEST {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_6_what_is_no_json_travels_as_bytes() {
        let json = |bytes: &'static [u8]| payload(ContentType::Json, bytes).0.is_some();
        for good in [r#"{"a":"\u0000"}"#, r#""\ud800""#, "1e400000", " [1] ", "null"] {
            assert!(json(good.as_bytes()), "{good}");
        }
        for bad in ["", "{", "no", "{} {}", "{'a':1}", "01", "\"\u{1}\"", "{\"a\":1}\0"] {
            assert!(!json(bad.as_bytes()), "{bad:?}");
        }
        assert!(!json(b"\"\xff\""));
        assert!(payload(ContentType::Binary, b"{}").0.is_none());
        let deep = "[".repeat(501) + &"]".repeat(501);
        assert!(payload(ContentType::Json, deep.as_bytes()).0.is_none());
    }
}

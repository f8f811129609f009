//! An event as the log recorded it. Its payload is bytes: decoding happens where a failure has a policy.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;

use crate::model::Position;

/// What the payload's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// UTF-8 text that was handed in as JSON; kept as written, not necessarily valid.
    Json,
    /// Opaque bytes.
    Binary,
}

/// All that an event is made of; adapters fill it in.
#[derive(Debug, Clone)]
pub struct EventParts {
    /// The place in the log.
    pub position: Position,
    /// The event's id, unique in the log.
    pub id: Uuid,
    /// The stream that it belongs to.
    pub stream: Arc<str>,
    /// The aggregate type of the stream.
    pub category: Arc<str>,
    /// The revision in the stream, from 0.
    pub sequence: u64,
    /// The event's type.
    pub event_type: Arc<str>,
    /// When it happened: microseconds since 1970-01-01T00:00:00Z. Informational; never an order.
    pub time_micros: i64,
    /// What `data` and `metadata` are.
    pub content_type: ContentType,
    /// The payload, byte for byte.
    pub data: Bytes,
    /// The metadata, byte for byte; empty where there is none.
    pub metadata: Bytes,
}

/// One recorded event. Immutable and cheap to clone: the names are shared, the payloads are slices of the buffer
/// in which they arrived. Keeping one alive keeps its whole batch alive; [`RecordedEvent::detached`] copies it
/// out.
#[derive(Clone)]
pub struct RecordedEvent(EventParts);

impl RecordedEvent {
    /// An event of these parts.
    #[must_use]
    pub fn new(parts: EventParts) -> Self {
        Self(parts)
    }

    /// The place in the log.
    #[must_use]
    pub fn position(&self) -> Position {
        self.0.position
    }

    /// The event's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.0.stream
    }

    /// The stream's name, shared.
    #[must_use]
    pub fn shared_stream(&self) -> &Arc<str> {
        &self.0.stream
    }

    /// The aggregate type: given with the event, else what stands before the first `-` of the stream's name.
    #[must_use]
    pub fn category(&self) -> &str {
        &self.0.category
    }

    /// The revision in the stream, from 0.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// The event's type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.0.event_type
    }

    /// When it happened: microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn time_micros(&self) -> i64 {
        self.0.time_micros
    }

    /// When it happened, as RFC 3339 in UTC with as many decimals as it needs: `2013-01-01T10:17:00Z`.
    #[must_use]
    pub fn time_rfc3339(&self) -> String {
        rfc3339(self.0.time_micros)
    }

    /// What the payload's bytes are.
    #[must_use]
    pub fn content_type(&self) -> ContentType {
        self.0.content_type
    }

    /// The payload, byte for byte as it was appended.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.0.data
    }

    /// The metadata, byte for byte as it was appended.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        &self.0.metadata
    }

    /// How much the event counts against a limit of bytes: payloads and names.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.data.len() + self.0.metadata.len() + self.0.stream.len() + self.0.event_type.len()
    }

    /// Decodes the payload; the result may borrow from the event.
    ///
    /// # Errors
    /// When the payload is not the JSON that `T` needs. With `?` this is a permanent failure of the event.
    pub fn json<'e, T: Deserialize<'e>>(&'e self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0.data)
    }

    /// Decodes the metadata; as [`RecordedEvent::json`].
    ///
    /// # Errors
    /// When the metadata is not the JSON that `T` needs.
    pub fn metadata_json<'e, T: Deserialize<'e>>(&'e self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0.metadata)
    }

    /// A copy that shares no buffer with the batch it came in: for what outlives the batch.
    #[must_use]
    pub fn detached(&self) -> Self {
        let mut parts = self.0.clone();
        parts.data = Bytes::copy_from_slice(&parts.data);
        parts.metadata = Bytes::copy_from_slice(&parts.metadata);
        Self(parts)
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &EventParts {
        &self.0
    }
}

/// The payload is left out: it may be large, and it may be somebody's data.
impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedEvent")
            .field("position", &self.0.position)
            .field("type", &self.0.event_type)
            .field("stream", &self.0.stream)
            .field("sequence", &self.0.sequence)
            .field("id", &self.0.id)
            .field("data_bytes", &self.0.data.len())
            .finish_non_exhaustive()
    }
}

/// Microseconds since 1970 as RFC 3339 in UTC; a number outside the calendar is printed as it is.
#[must_use]
pub fn rfc3339(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).map_or_else(
        || format!("{micros}us"),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_as_many_decimals_as_it_needs() {
        assert_eq!(rfc3339(1_357_035_420_000_000), "2013-01-01T10:17:00Z");
        assert_eq!(rfc3339(1_357_035_420_120_000), "2013-01-01T10:17:00.120Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(rfc3339(i64::MAX), format!("{}us", i64::MAX));
    }
}

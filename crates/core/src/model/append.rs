//! What is appended to a log, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::model::{ContentType, Position};

/// An event before it has a place in the log.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Unique in the log; appending the same id with the same content again is a success that changes nothing.
    pub id: Uuid,
    /// The event's type: 1 to 1,024 bytes of UTF-8.
    pub event_type: Arc<str>,
    /// When it happened, in microseconds since 1970; `None` takes the time of the append.
    pub time_micros: Option<i64>,
    /// What `data` and `metadata` are.
    pub content_type: ContentType,
    /// The payload; comes back byte for byte.
    pub data: Bytes,
    /// The metadata; comes back byte for byte.
    pub metadata: Bytes,
}

impl NewEvent {
    /// A JSON event of `event_type` with a new random id and the time of its append.
    ///
    /// ```
    /// use highwater_core::model::NewEvent;
    ///
    /// let landed = NewEvent::json("FlightLanded", r#"{"dest":"ATL"}"#);
    /// assert_eq!(&*landed.event_type, "FlightLanded");
    /// ```
    pub fn json(event_type: &str, data: impl Into<Bytes>) -> Self {
        Self {
            id: Uuid::new_v4(),
            event_type: event_type.into(),
            time_micros: None,
            content_type: ContentType::Json,
            data: data.into(),
            metadata: Bytes::from_static(b"{}"),
        }
    }

    /// The same event under this id.
    #[must_use]
    pub fn with_id(mut self, id: Uuid) -> Self {
        self.id = id;
        self
    }
}

/// Where the stream must be for an append to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anywhere.
    Any,
    /// The first event of this append gets this sequence: 0 means that the stream does not exist yet.
    Next(u64),
}

/// One append call: the events of one stream that become visible together.
#[derive(Debug, Clone)]
pub struct Append {
    /// The stream: 1 to 1,024 bytes of UTF-8.
    pub stream: Arc<str>,
    /// The aggregate type; `None` takes what stands before the first `-` of the stream's name.
    pub category: Option<Arc<str>>,
    /// Where the stream must be.
    pub expected: Expected,
    /// What is appended; at least one event.
    pub events: Vec<NewEvent>,
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The place of its last event.
    pub last: Position,
    /// The sequence that the next event of the stream gets.
    pub next_sequence: u64,
    /// The events were there already, with the same content; nothing was written.
    pub duplicate: bool,
}

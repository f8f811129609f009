//! An event that is not applied: what happened to it, and, where it waits for somebody, its payload.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::model::{Position, ProjectionKey, RecordedEvent};
use crate::policy::Class;

/// Where a failed event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailedState {
    /// It will be tried again, in order: the projection waits for it.
    Retrying,
    /// It was given up and set aside with its payload (a dead letter).
    Parked,
    /// It was given up and noted; its payload is in the log only.
    Recorded,
    /// It waits behind a parked event of its stream, with its payload.
    Held,
}

impl FailedState {
    /// The stored text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::Parked => "parked",
            Self::Recorded => "recorded",
            Self::Held => "held",
        }
    }
}

impl fmt::Display for FailedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FailedState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Retrying, Self::Parked, Self::Recorded, Self::Held]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                format!("`{text}` is no state of a failed event (retrying, parked, recorded, held)")
            })
    }
}

/// The attempt row of an event that is not applied (E-18). Deleted by the transaction that later succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedEvent {
    /// The projection that could not apply it.
    pub key: ProjectionKey,
    /// The generation of the read model in which it failed.
    pub generation: u64,
    /// The event's place.
    pub position: Position,
    /// The event's id.
    pub id: Uuid,
    /// Its stream.
    pub stream: Arc<str>,
    /// Its revision in the stream.
    pub sequence: u64,
    /// Its type.
    pub event_type: Arc<str>,
    /// Where it stands.
    pub state: FailedState,
    /// The class of the last failure; a held event has the class of what it waits for.
    pub class: Class,
    /// The backend's code, where it gave one (an SQLSTATE, an SQLite code).
    pub code: Option<String>,
    /// The last failure and its causes, in one line.
    pub message: String,
    /// How many attempts failed; 0 for a held event.
    pub attempts: u32,
    /// The first failure: microseconds since 1970.
    pub first_failed_micros: i64,
    /// The last failure: microseconds since 1970.
    pub last_failed_micros: i64,
    /// When it is tried again: microseconds since 1970; `None` where nobody will without being asked.
    pub next_attempt_micros: Option<i64>,
    /// An operator has asked for another try.
    pub replay_requested: bool,
}

/// The payload kept with a parked or held event, in the same transaction as its row. Bytes, never parsed.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The row.
    pub failed: FailedEvent,
    /// The whole event, detached from the batch in which it came.
    pub event: RecordedEvent,
}

//! The state row of a projection: how far its read model got, moved in the read model's own transaction.

use std::sync::Arc;

use uuid::Uuid;

use crate::model::{Position, ProjectionKey, RecordedEvent};

/// The last event that moved a state: read again at start, to see that the log is still the same one (E-7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEvent {
    /// Its place.
    pub position: Position,
    /// Its stream.
    pub stream: Arc<str>,
    /// Its category.
    pub category: Arc<str>,
    /// Its revision in the stream.
    pub sequence: u64,
    /// Its id.
    pub id: Uuid,
    /// When it happened: microseconds since 1970.
    pub time_micros: i64,
}

impl From<&RecordedEvent> for LastEvent {
    fn from(event: &RecordedEvent) -> Self {
        let parts = event.parts();
        Self {
            position: parts.position,
            stream: parts.stream.clone(),
            category: parts.category.clone(),
            sequence: parts.sequence,
            id: parts.id,
            time_micros: parts.time_micros,
        }
    }
}

impl LastEvent {
    /// Whether `event` is this very event.
    #[must_use]
    pub fn is(&self, event: &RecordedEvent) -> bool {
        *self == Self::from(event)
    }
}

/// How far a projection got, and who moves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionState {
    /// Whose state it is.
    pub key: ProjectionKey,
    /// Raised by 1 at each rebuild; from 1.
    pub generation: u64,
    /// The last settled event that the filter lets through; `None` before the first.
    pub last: Option<LastEvent>,
    /// The scanned bound: everything up to here was looked at and is settled, matching or not. Never below
    /// `last`.
    pub scanned: Option<Position>,
    /// The filter's fingerprint (E-6).
    pub filter_fingerprint: String,
    /// The fingerprint of the projection's SQL; empty for projections in Rust (E-6).
    pub sql_fingerprint: String,
    /// Raised by 1 at each change of owner; an update under an older epoch has no effect (E-12).
    pub epoch: u64,
    /// An operator has paused the projection.
    pub paused: bool,
    /// How many owners in a row died without having moved the state; see [`ProjectionState::claimed`].
    pub crashes: u32,
    /// The owner stopped in order; written at a graceful stop, cleared by the next claim.
    pub stopped_cleanly: bool,
    /// Why the last owner could not go on; written when it leaves, cleared by the next claim. It is what another
    /// process sees of a faulted runner.
    pub fault: Option<String>,
    /// The scanned bound at the last claim.
    pub claimed_at: Option<Position>,
    /// When the row was written: microseconds since 1970. Informational.
    pub updated_at_micros: i64,
}

impl ProjectionState {
    /// A state that has seen nothing; it resumes behind `start`.
    #[must_use]
    pub fn new(
        key: ProjectionKey,
        start: Option<Position>,
        filter_fingerprint: String,
        sql_fingerprint: String,
    ) -> Self {
        Self {
            key,
            generation: 1,
            last: None,
            scanned: start,
            filter_fingerprint,
            sql_fingerprint,
            epoch: 0,
            paused: false,
            crashes: 0,
            stopped_cleanly: true,
            fault: None,
            claimed_at: start,
            updated_at_micros: 0,
        }
    }

    /// Where the next batch begins: behind this position.
    #[must_use]
    pub fn resume_after(&self) -> Option<Position> {
        self.scanned
    }

    /// The state under a new owner: the epoch rises, and an owner that died is counted.
    ///
    /// Counting at the claim costs nothing while events flow: no mark has to be written before each batch. An
    /// owner that died having moved the state counts as the first at its new place; one that died where it began
    /// adds to the count.
    #[must_use]
    pub fn claimed(&self) -> Self {
        let crashes = match (self.stopped_cleanly, self.scanned == self.claimed_at) {
            (true, _) => 0,
            (false, true) => self.crashes.saturating_add(1),
            (false, false) => 1,
        };
        Self {
            epoch: self.epoch + 1,
            crashes,
            stopped_cleanly: false,
            fault: None,
            claimed_at: self.scanned,
            ..self.clone()
        }
    }

    /// The state after a rebuild that begins behind `start`: a new generation that has seen nothing.
    #[must_use]
    pub fn rebuilt(&self, start: Option<Position>) -> Self {
        Self {
            generation: self.generation + 1,
            last: None,
            scanned: start,
            claimed_at: start,
            crashes: 0,
            fault: None,
            ..self.clone()
        }
    }

    /// The state after an operator has set it to another position of the log, `last` being the last event there or
    /// before that the filter lets through. The read model is the same, so the generation is, too; the epoch rises,
    /// so that nobody who read the state before can move it.
    #[must_use]
    pub fn rewound(&self, to: Option<Position>, last: Option<LastEvent>) -> Self {
        Self {
            last,
            scanned: to,
            claimed_at: to,
            epoch: self.epoch + 1,
            crashes: 0,
            stopped_cleanly: true,
            fault: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProjectionName;

    fn state() -> ProjectionState {
        let key = ProjectionKey { name: ProjectionName::new("p").unwrap(), version: 1, partition: 0 };
        ProjectionState::new(key, None, String::new(), String::new())
    }

    #[test]
    fn e_12_each_claim_raises_the_epoch() {
        assert_eq!(state().claimed().epoch, 1);
        assert_eq!(state().claimed().claimed().epoch, 2);
    }

    #[test]
    fn e_12_a_rewound_state_is_another_epochs_and_nobodys_crash() {
        let died = ProjectionState { scanned: Some(Position::new(9, 0)), ..state().claimed().claimed() };
        let back = died.rewound(Some(Position::new(4, 0)), None);
        assert_eq!((back.epoch, back.generation, back.scanned), (3, 1, Some(Position::new(4, 0))));
        assert_eq!(back.claimed().crashes, 0);
    }

    #[test]
    fn an_owner_that_died_is_counted_and_a_clean_stop_is_not() {
        let first = state().claimed();
        assert_eq!(first.crashes, 0);
        let again = first.claimed();
        assert_eq!(again.crashes, 1, "died where it began");
        assert_eq!(again.claimed().crashes, 2);
        let moved = ProjectionState { scanned: Some(Position::new(9, 0)), ..again.clone() };
        assert_eq!(moved.claimed().crashes, 1, "died somewhere else");
        assert_eq!(ProjectionState { stopped_cleanly: true, ..again }.claimed().crashes, 0);
    }
}

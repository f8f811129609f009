//! An observer that remembers.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::watch;

use highwater_core::ErrorKind;
use highwater_core::model::{FailedEvent, Position, ProjectionName};
use highwater_core::ports::{Observer, Seen};

use crate::sync::lock;

/// Which kind of thing was seen: the variants of [`Seen`], without their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the variant of `Seen` of the same name")]
pub enum Kind {
    StandingBy,
    Started,
    Committed,
    EventFailed,
    EventRecovered,
    WholeBatchOnly,
    Retrying,
    Stalled,
    Healed,
    CaughtUp,
    Paused,
    Resumed,
    LostOwnership,
    OutcomeUnknown,
    Faulted,
    CheckpointEventAbsent,
    Stopped,
    Heartbeat,
    /// A variant that this crate does not know.
    Other,
}

/// An owned copy of [`Seen`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the variant of `Seen` of the same name")]
pub enum Saw {
    StandingBy,
    Started { epoch: u64, after: Option<Position> },
    Committed { applied: u64, failed: u64, duplicates: u64, scanned: Option<Position>, took: Duration },
    EventFailed(Box<FailedEvent>),
    EventRecovered { position: Position },
    WholeBatchOnly { events: u64 },
    Retrying { kind: ErrorKind, message: String, after: Duration, attempt: u32 },
    Stalled { reason: String },
    Healed,
    CaughtUp { scanned: Option<Position> },
    Paused,
    Resumed,
    LostOwnership,
    OutcomeUnknown,
    Faulted { reason: String },
    CheckpointEventAbsent { position: Position },
    Stopped,
    Heartbeat,
    Other(String),
}

impl Saw {
    /// Of which kind it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::StandingBy => Kind::StandingBy,
            Self::Started { .. } => Kind::Started,
            Self::Committed { .. } => Kind::Committed,
            Self::EventFailed(_) => Kind::EventFailed,
            Self::EventRecovered { .. } => Kind::EventRecovered,
            Self::WholeBatchOnly { .. } => Kind::WholeBatchOnly,
            Self::Retrying { .. } => Kind::Retrying,
            Self::Stalled { .. } => Kind::Stalled,
            Self::Healed => Kind::Healed,
            Self::CaughtUp { .. } => Kind::CaughtUp,
            Self::Paused => Kind::Paused,
            Self::Resumed => Kind::Resumed,
            Self::LostOwnership => Kind::LostOwnership,
            Self::OutcomeUnknown => Kind::OutcomeUnknown,
            Self::Faulted { .. } => Kind::Faulted,
            Self::CheckpointEventAbsent { .. } => Kind::CheckpointEventAbsent,
            Self::Stopped => Kind::Stopped,
            Self::Heartbeat => Kind::Heartbeat,
            Self::Other(_) => Kind::Other,
        }
    }
}

impl From<&Seen<'_>> for Saw {
    fn from(seen: &Seen<'_>) -> Self {
        match *seen {
            Seen::StandingBy => Self::StandingBy,
            Seen::Started { epoch, after } => Self::Started { epoch, after },
            Seen::Committed { applied, failed, duplicates, scanned, took } => {
                Self::Committed { applied, failed, duplicates, scanned, took }
            }
            Seen::EventFailed(failed) => Self::EventFailed(Box::new(failed.clone())),
            Seen::EventRecovered { position } => Self::EventRecovered { position },
            Seen::WholeBatchOnly { events } => Self::WholeBatchOnly { events },
            Seen::Retrying { error, after, attempt } => {
                Self::Retrying { kind: error.kind(), message: error.chain(), after, attempt }
            }
            Seen::Stalled { reason } => Self::Stalled { reason: reason.to_owned() },
            Seen::Healed => Self::Healed,
            Seen::CaughtUp { scanned } => Self::CaughtUp { scanned },
            Seen::Paused => Self::Paused,
            Seen::Resumed => Self::Resumed,
            Seen::LostOwnership => Self::LostOwnership,
            Seen::OutcomeUnknown => Self::OutcomeUnknown,
            Seen::Faulted { reason } => Self::Faulted { reason: reason.to_owned() },
            Seen::CheckpointEventAbsent { position } => Self::CheckpointEventAbsent { position },
            Seen::Stopped => Self::Stopped,
            Seen::Heartbeat => Self::Heartbeat,
            ref other => Self::Other(format!("{other:?}")),
        }
    }
}

/// Remembers everything that it sees, and lets a test wait for more.
#[derive(Debug)]
pub struct RecordingObserver {
    seen: Mutex<Vec<(ProjectionName, Saw)>>,
    count: watch::Sender<usize>,
}

impl RecordingObserver {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { seen: Mutex::new(Vec::new()), count: watch::Sender::new(0) }
    }

    /// All that was seen, in order.
    #[must_use]
    pub fn all(&self) -> Vec<(ProjectionName, Saw)> {
        lock(&self.seen).clone()
    }

    /// What was seen of one projection, in order.
    #[must_use]
    pub fn of(&self, projection: &str) -> Vec<Saw> {
        lock(&self.seen)
            .iter()
            .filter(|(name, _)| name.as_str() == projection)
            .map(|(_, saw)| saw.clone())
            .collect()
    }

    /// How often this kind was seen, of all projections together.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        lock(&self.seen).iter().filter(|(_, saw)| saw.kind() == kind).count()
    }

    /// Waits until this kind has been seen, and answers the first of its kind; at once if it was seen
    /// already. Without an end of its own: put a time-out round it.
    pub async fn wait_for(&self, kind: Kind) -> Saw {
        self.wait_for_nth(kind, 1).await
    }

    /// Waits until this kind has been seen `n` times (at least 1), and answers the n-th.
    pub async fn wait_for_nth(&self, kind: Kind, n: usize) -> Saw {
        self.wait_until(|seen| {
            seen.iter()
                .filter(|(_, saw)| saw.kind() == kind)
                .nth(n.saturating_sub(1))
                .map(|(_, saw)| saw.clone())
        })
        .await
    }

    /// Waits until `found` finds what it looks for in all that was seen.
    pub async fn wait_until<T>(&self, mut found: impl FnMut(&[(ProjectionName, Saw)]) -> Option<T>) -> T {
        let mut count = self.count.subscribe();
        loop {
            count.borrow_and_update();
            if let Some(answer) = found(&lock(&self.seen)) {
                return answer;
            }
            count.changed().await.expect("the sender is a field of self");
        }
    }
}

impl Default for RecordingObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for RecordingObserver {
    fn seen(&self, projection: &ProjectionName, what: &Seen<'_>) {
        let mut seen = lock(&self.seen);
        seen.push((projection.clone(), Saw::from(what)));
        self.count.send_replace(seen.len());
    }
}

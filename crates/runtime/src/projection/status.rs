//! What a runner is doing, for whoever asks.

use std::sync::Arc;

use highwater_core::model::{Position, ProjectionName, ProjectionPart};
use tokio::sync::watch;

/// What a runner is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It is being started.
    Starting,
    /// Another instance owns the projection; this one waits to take over.
    StandingBy,
    /// It applies batch after batch.
    CatchingUp,
    /// It has applied all there is and waits for more.
    Live,
    /// It waits for the next attempt at an event that failed.
    RetryingEvent,
    /// It waits for its surroundings to heal; the position is kept.
    Stalled {
        /// What is wrong.
        reason: String,
    },
    /// An operator has paused it.
    Paused,
    /// It has ended, until somebody mends what the reason names.
    Faulted {
        /// What is wrong.
        reason: String,
    },
    /// It has stopped in order.
    Stopped,
}

impl Phase {
    /// One word for tables and log lines.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::StandingBy => "standing-by",
            Self::CatchingUp => "catching-up",
            Self::Live => "live",
            Self::RetryingEvent => "retrying-event",
            Self::Stalled { .. } => "stalled",
            Self::Paused => "paused",
            Self::Faulted { .. } => "faulted",
            Self::Stopped => "stopped",
        }
    }
}

/// A runner's state and counters; the counters are of this run and count what was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionStatus {
    /// The projection.
    pub name: ProjectionName,
    /// The partition; 0 where the projection is not divided.
    pub partition: u32,
    /// What it is doing.
    pub phase: Phase,
    /// Everything up to here is settled.
    pub scanned: Option<Position>,
    /// Under which epoch it runs; 0 before it owned the projection.
    pub epoch: u64,
    /// No event that an operator wants tried again was waiting at the last batch.
    pub replays_done: bool,
    /// Events applied.
    pub applied: u64,
    /// Events set aside: parked, held or recorded.
    pub failed: u64,
    /// Failed events that were applied after all.
    pub recovered: u64,
    /// Events dropped as processed before.
    pub duplicates: u64,
    /// Batches committed.
    pub batches: u64,
    /// Batches that failed as a whole while each of their events passed alone.
    pub whole_batch_only: u64,
    /// The last trouble, kept after it healed.
    pub last_error: Option<String>,
}

/// How a runner ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// It was asked to stop.
    Stopped,
    /// It cannot go on.
    Faulted {
        /// Why.
        reason: String,
    },
}

/// A runner's status, written by the runner alone.
#[derive(Debug, Clone)]
pub struct StatusCell(Arc<watch::Sender<ProjectionStatus>>);

impl StatusCell {
    /// The status of a runner that has not begun.
    #[must_use]
    pub fn new(part: impl Into<ProjectionPart>) -> Self {
        let ProjectionPart { name, partition } = part.into();
        Self(Arc::new(watch::Sender::new(ProjectionStatus {
            name,
            partition,
            phase: Phase::Starting,
            scanned: None,
            epoch: 0,
            replays_done: false,
            applied: 0,
            failed: 0,
            recovered: 0,
            duplicates: 0,
            batches: 0,
            whole_batch_only: 0,
            last_error: None,
        })))
    }

    /// The present status.
    #[must_use]
    pub fn get(&self) -> ProjectionStatus {
        self.0.borrow().clone()
    }

    /// Follows the status.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<ProjectionStatus> {
        self.0.subscribe()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut ProjectionStatus)) {
        self.0.send_modify(change);
    }

    pub(crate) fn phase(&self, phase: Phase) {
        self.0.send_if_modified(|status| {
            let changed = status.phase != phase;
            status.phase = phase;
            changed
        });
    }
}

//! What happened, for logs, metrics and tests.

use std::time::Duration;

use crate::error::Error;
use crate::model::{FailedEvent, Position, ProjectionName};

/// One thing that happened to a projection. Reported after the fact, and only what was confirmed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// Another instance owns it; this one waits.
    StandingBy,
    /// It runs under this epoch, behind this position.
    Started {
        /// The epoch.
        epoch: u64,
        /// Where it resumes.
        after: Option<Position>,
    },
    /// A batch was committed.
    Committed {
        /// Events applied.
        applied: u64,
        /// Events set aside: parked, held or recorded.
        failed: u64,
        /// Events dropped because they were processed before.
        duplicates: u64,
        /// The scanned bound now.
        scanned: Option<Position>,
        /// How long the transaction took.
        took: Duration,
    },
    /// An event failed; the row as it was committed.
    EventFailed(&'a FailedEvent),
    /// A failed event was applied after all.
    EventRecovered {
        /// Its place.
        position: Position,
    },
    /// A batch failed as a whole while each of its events passes alone.
    WholeBatchOnly {
        /// How many events it had.
        events: u64,
    },
    /// A batch failed for a passing reason and will be tried again.
    Retrying {
        /// Why.
        error: &'a Error,
        /// When.
        after: Duration,
        /// How often in a row.
        attempt: u32,
    },
    /// It waits for something to heal; the position is kept.
    Stalled {
        /// Why.
        reason: &'a str,
    },
    /// What it waited for has healed.
    Healed,
    /// The last batch reached the end of the log.
    CaughtUp {
        /// The scanned bound.
        scanned: Option<Position>,
    },
    /// An operator paused it.
    Paused,
    /// An operator resumed it.
    Resumed,
    /// Another instance has taken over.
    LostOwnership,
    /// The answer to a commit was lost; the state is read again.
    OutcomeUnknown,
    /// It has stopped for good, until somebody mends what the reason names.
    Faulted {
        /// The reason.
        reason: &'a str,
    },
    /// A stored checkpoint's event is no longer in a log that may drop events.
    CheckpointEventAbsent {
        /// Where it was.
        position: Position,
    },
    /// It stopped in order.
    Stopped,
    /// The loop is alive (E-25).
    Heartbeat,
}

/// Sees what happens. Called from the loops: it must not block.
///
/// # Laws
/// 1. `seen` returns at once and does not panic.
/// 2. It is called for what was confirmed, in the order in which it happened for one projection.
pub trait Observer: Send + Sync {
    /// Something happened to `projection`.
    fn seen(&self, projection: &ProjectionName, what: &Seen<'_>);
}

/// Looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn seen(&self, _projection: &ProjectionName, _what: &Seen<'_>) {}
}

//! What a batch is made of, and how it ended.

use std::sync::Arc;

use highwater_core::Error;
use highwater_core::model::{FailedEvent, Position, ProjectionState, RecordedEvent};
use highwater_core::policy::Segments;
use highwater_core::ports::EventRange;

use super::definition::ProjectionDefinition;
use super::isolate::Halted;
use crate::environment::Environment;
use crate::flow::source::Piece;

/// What a batch is made of.
#[derive(Debug, Clone)]
pub enum Work {
    /// Events that were read.
    Events(Piece),
    /// The extent of a range whose events stay in the database, and its last event.
    Range {
        /// Behind which position it was read.
        after: Option<Position>,
        /// Its extent.
        range: EventRange,
        /// Its last event; `None` if the filter lets nothing through.
        last: Option<RecordedEvent>,
    },
    /// A failed event that an operator wants tried again, with its payload where it was read from the log.
    Replay {
        /// Its row.
        failed: Box<FailedEvent>,
        /// The event; `None` takes the payload that was kept with it.
        event: Option<RecordedEvent>,
    },
}

/// All that one batch needs; owned, since the store may run it on a thread of its own.
#[derive(Debug)]
pub struct Batch<Tx> {
    /// The projection.
    pub definition: Arc<ProjectionDefinition<Tx>>,
    /// Time, chance, observation.
    pub environment: Environment,
    /// Under which epoch this instance owns the projection.
    pub epoch: u64,
    /// What to apply.
    pub work: Work,
    /// How it is cut while failures are about.
    pub segments: Segments,
    /// The attempt at the first event was written down before it was made.
    pub attempt_recorded: bool,
    /// See `Isolation::failed_first`.
    pub failed_first: Option<u64>,
}

/// How a batch ended.
#[derive(Debug)]
pub enum BatchOutcome {
    /// The state moved, or a failure was recorded; it is durable.
    Committed(Box<Committed>),
    /// There was nothing to do, and nothing was written (E-27).
    Idle,
    /// Another transaction has the state; come back later.
    Busy,
    /// An operator has paused the projection.
    Paused,
    /// An operator wants this failed event tried again.
    ReplayWanted(Box<FailedEvent>),
    /// The event at the head is tried again at this wall-clock time, not before.
    RetryAt {
        /// Microseconds since 1970.
        micros: i64,
    },
    /// The state is not where the batch was read from: read again behind it.
    Moved(Box<ProjectionState>),
    /// A range failed: read its events, so that the culprit can be found.
    RangeFailed,
    /// Another instance has taken over (E-12).
    LostOwnership,
    /// The answer to the commit was lost: read the state again (E-10).
    Unknown,
    /// Nothing was committed.
    Failed(Error),
}

/// What was committed.
#[derive(Debug)]
pub struct Committed {
    /// The state now.
    pub state: ProjectionState,
    /// Events applied.
    pub applied: u64,
    /// Events dropped as processed before.
    pub duplicates: u64,
    /// Rows of events that failed.
    pub failed: Vec<FailedEvent>,
    /// A failed event that was applied after all.
    pub recovered: Option<FailedEvent>,
    /// Whether, and why, it ended before its last event.
    pub halted: Halted,
    /// The batch failed as a whole while each of its events passed alone.
    pub whole_only: bool,
    /// Some slice of it failed.
    pub had_failures: bool,
    /// The segments after it.
    pub segments: Segments,
    /// Everything that the log had when it was read is settled.
    pub caught_up: bool,
}

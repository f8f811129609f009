//! What happened to an at-least-once runner, for logs, metrics and tests.

use std::time::Duration;

use crate::error::Error;
use crate::model::{Position, RecordedEvent};
use crate::policy::Decided;
use crate::ports::{HandlerLetter, NoObserver};

/// A failed attempt of a handler at one event.
#[derive(Debug, Clone, Copy)]
pub struct HandlerAttempt<'a> {
    /// The event.
    pub event: &'a RecordedEvent,
    /// What was decided about the failure.
    pub decided: &'a Decided,
    /// The reason and its causes in one line.
    pub message: &'a str,
    /// How many attempts have counted, this one included where it counts.
    pub attempts: u32,
    /// In which time it is tried again; `None` where it is not, or not by a timer.
    pub again_in: Option<Duration>,
}

/// What a runner has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandlerTotals {
    /// Events that the handler took.
    pub processed: u64,
    /// Failed executions.
    pub errors: u64,
    /// Events that went to the dead letters.
    pub dead_lettered: u64,
    /// Events that were left out.
    pub skipped: u64,
    /// Events dropped because they were processed before.
    pub duplicates: u64,
}

/// One thing that happened to a group's runner. Reported after the fact, and only what was confirmed.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandlerSeen<'a> {
    /// A runner of this group is running in this process already; a second one was refused. Expected now and
    /// then.
    AlreadyRunning,
    /// Another process owns the group; this one waits.
    StandingBy {
        /// Whose it is.
        owner: &'a str,
    },
    /// It runs under this epoch, behind this position.
    Started {
        /// The epoch.
        epoch: u64,
        /// How often an operator has reset the checkpoint.
        generation: u64,
        /// Where it resumes.
        after: Option<Position>,
    },
    /// Events were settled, or dropped as duplicates: the totals since the last time.
    Settled(HandlerTotals),
    /// A checkpoint is stored.
    Flushed {
        /// Where.
        position: Position,
    },
    /// Another `progress_every` events were handled.
    Progress {
        /// The totals since the start.
        totals: HandlerTotals,
        /// Everything up to here is settled.
        position: Option<Position>,
        /// Events handled a second, since the progress was told last.
        per_second: u64,
    },
    /// The handler failed at an event.
    AttemptFailed(HandlerAttempt<'a>),
    /// The handler failed at one of several events, and nobody knows which: they are given to it again, one
    /// by one.
    CallFailed {
        /// How many events.
        events: usize,
        /// The reason and its causes in one line.
        message: &'a str,
    },
    /// An event was handled that had failed before.
    EventRecovered {
        /// The event.
        event: &'a RecordedEvent,
        /// How many attempts had failed, the passing ones included.
        failed: u32,
    },
    /// An event went to the dead letters; the letter is durable.
    DeadLettered(&'a HandlerLetter),
    /// An event was left out, by the policy or by the handler's word.
    Skipped(&'a HandlerLetter),
    /// The dead letters did not take a letter; it is tried again, and its event is not settled.
    LetterFailed {
        /// The letter.
        letter: &'a HandlerLetter,
        /// Why.
        error: &'a Error,
        /// When.
        after: Duration,
        /// How often in a row.
        attempt: u32,
    },
    /// The log or the checkpoint store failed for a passing reason and will be asked again.
    Retrying {
        /// Why.
        error: &'a Error,
        /// When.
        after: Duration,
        /// How often in a row.
        attempt: u32,
    },
    /// The handler's circuit breaker has opened: nothing is begun until a probe.
    BreakerOpened {
        /// Until then.
        probe_in: Duration,
    },
    /// It has closed again.
    BreakerClosed,
    /// It waits for something to heal; the position is kept.
    Stalled {
        /// Why.
        reason: &'a str,
    },
    /// What it waited for has healed.
    Healed,
    /// Everything in the log is settled.
    CaughtUp {
        /// Up to here.
        position: Option<Position>,
    },
    /// It was paused.
    Paused,
    /// It goes on.
    Resumed,
    /// Another one has claimed the group, or an operator has reset it; it stands by and claims again.
    LostOwnership,
    /// An operator has moved the checkpoint forward; it goes on from there.
    CheckpointMoved,
    /// It was asked to stop.
    StopRequested,
    /// It has ended in order: stopped, or caught up where it was to end then.
    Completed {
        /// The totals since the start.
        totals: HandlerTotals,
        /// The stored checkpoint.
        position: Option<Position>,
        /// How long it ran.
        took: Duration,
        /// Events handled a second, over the whole run.
        per_second: u64,
    },
    /// It has stopped for good, until somebody mends what the reason names.
    Faulted {
        /// The reason.
        reason: &'a str,
    },
    /// The loop is alive.
    Heartbeat,
}

/// Sees what happens to at-least-once runners. Called from the loops: it must not block.
///
/// # Laws
/// 1. `seen` returns at once and does not panic.
/// 2. It is called for what was confirmed, in the order in which it happened for one group.
pub trait HandlerObserver: Send + Sync {
    /// Something happened to `group`.
    fn seen(&self, group: &str, what: &HandlerSeen<'_>);
}

impl HandlerObserver for NoObserver {
    fn seen(&self, _group: &str, _what: &HandlerSeen<'_>) {}
}

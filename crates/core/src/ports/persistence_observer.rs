//! What happened to a persistence worker, for logs, metrics, alerts and tests.

use std::time::Duration;

use crate::breaker::BreakerChange;
use crate::error::Error;
use crate::ports::NoObserver;

/// One thing that happened to the worker of one target. Reported after the fact, and only what was confirmed
///
#[derive(Debug)]
#[non_exhaustive]
pub enum PersistenceSeen<'a> {
    /// The worker runs.
    Started,
    /// A call of the target came back with an answer for each key.
    Flushed {
        /// Keys that are written.
        flushed: usize,
        /// Keys that the target refused.
        failed: usize,
        /// How long the call took.
        took: Duration,
        /// Keys that are dirty now.
        pending: usize,
    },
    /// The target refused a key; it stays dirty.
    KeyFailed {
        /// The key.
        key: &'a str,
        /// Why.
        error: &'a Error,
        /// How often in a row, this time counted.
        attempts: u32,
    },
    /// A call failed as a whole: its keys stay dirty.
    CallFailed {
        /// How many keys it had.
        keys: usize,
        /// Why.
        error: &'a Error,
        /// How long it took.
        took: Duration,
    },
    /// A call took too long, and its outcome is unknown: its keys stay dirty, and are next tried in halves.
    CallTimedOut {
        /// How many keys it had.
        keys: usize,
        /// How long it was waited for.
        after: Duration,
    },
    /// The circuit breaker changed its state.
    BreakerChanged(BreakerChange),
    /// 80 % of the places for dirty keys are taken; once each time that the number rises to it.
    NearlyFull {
        /// Keys that are dirty.
        pending: usize,
        /// How many there may be.
        max_pending: usize,
    },
    /// A new key found no place.
    Refused {
        /// How many there may be.
        max_pending: usize,
    },
    /// Other settings hold from now on.
    Reconfigured,
    /// The worker's task panicked. Nothing that is dirty is lost; it is started again.
    WorkerPanicked {
        /// What the panic said.
        reason: &'a str,
    },
    /// The worker has stopped.
    Stopped {
        /// Keys that were written since the stop was asked for.
        flushed: u64,
        /// Keys that are still dirty, oldest first.
        residue: &'a [String],
    },
}

/// Sees what happens to persistence workers. Never called under a lock of theirs.
///
/// # Laws
/// 1. `seen` returns at once and does not panic.
/// 2. What happens to one target is told in order, except [`PersistenceSeen::NearlyFull`],
///    [`PersistenceSeen::Refused`], [`PersistenceSeen::Reconfigured`] and a reset of the breaker by hand,
///    which come from the task that caused them.
pub trait PersistenceObserver: Send + Sync {
    /// Something happened to the worker of `target`.
    fn seen(&self, target: &str, what: &PersistenceSeen<'_>);
}

impl PersistenceObserver for NoObserver {
    fn seen(&self, _target: &str, _what: &PersistenceSeen<'_>) {}
}

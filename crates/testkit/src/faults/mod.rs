//! Faults at numbered points.
//!
//! A guarantee such as "exactly once, wherever the process dies" has as many cases as there are calls between
//! the runner and the world. So every call of a wrapped port has two points, one before it and one after it,
//! and a [`FaultPlan`] decides at each. The way to test all of them:
//!
//! 1. run the scenario over [`Faulty`] ports with a plan without faults, and take [`FaultPlan::points`];
//! 2. for each `n` below that, run it with [`FaultPlan::crash_at`]`(n)` until [`FaultPlan::wait_crashed`],
//!    drop the runner, and start another one over the same storage without faults;
//! 3. compare the read model.
//!
//! After a crash no call succeeds any more, and what was not committed is gone. A crash *after* `unit.commit`
//! is the lost answer: the commit has happened, and the caller gets `OutcomeUnknown`.

mod checkpoints;
mod control;
mod dead_letters;
mod log;
mod plan;
mod store;

pub use plan::FaultPlan;
pub use store::FaultyUnit;

/// A port with faults: implements every port that `P` implements, of those that can be wrapped (`EventLog`,
/// `AppendEvents`, `ReadModelStore`, `ProjectionControl`, `CheckpointStore`, `OwnedCheckpoints`, `DeadLetters`).
#[derive(Debug, Clone)]
pub struct Faulty<P> {
    inner: P,
    plan: FaultPlan,
}

impl<P> Faulty<P> {
    /// Wraps `inner`. Ports that share a plan share its numbering.
    pub fn new(inner: P, plan: &FaultPlan) -> Self {
        Self { inner, plan: plan.clone() }
    }

    /// The port without faults.
    pub fn inner(&self) -> &P {
        &self.inner
    }
}

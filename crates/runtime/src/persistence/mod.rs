//! Writes what is dirty: many marks, few calls.
//!
//! Whoever has something to be made durable marks its key; the worker of the target writes the present value
//! of each dirty key, batch after batch, one call at a time. So the cost follows the keys and not the marks,
//! a target that is slow or away slows nobody down, and what could not be written stays dirty, with its age.
//!
//! In the order in which a key travels:
//!
//! * [`Persistence`]: the handle: mark, wait, force, ask, stop.
//! * `queue`: which keys are dirty, in which order they are tried, what a failure does to them. Pure.
//! * `ticker`: when a pass over the dirty keys begins. Pure.
//! * `state`: the decisions of the worker, on top of these. Pure.
//! * `worker`: the task that acts on them, with the target and the circuit breaker
//!   ([`SharedBreaker`](highwater_core::breaker::SharedBreaker)).
//! * [`ForceReport`], [`PersistenceStats`], [`ShutdownReport`]: what it tells.
//!
//! A target fails in three ways, and they are kept apart:
//!
//! | the target | its keys | the breaker |
//! |---|---|---|
//! | refuses a key | that key rests, longer each time; the others are written | a success: it answered |
//! | fails as a whole, or panics | are next tried in halves, behind all others that are due | a failure |
//! | does not answer in time | the same: one key that hangs the call is found by halving | a failure |
//!
//! After a failed call the worker pauses, longer each time, so that a short outage does not open the breaker.

mod flight;
mod force;
mod forcing;
mod handle;
mod queue;
mod shared;
mod shutdown;
mod state;
mod stats;
mod ticker;
mod worker;

pub use force::{ForceReport, KeyFailure};
pub use handle::Persistence;
pub use shutdown::ShutdownReport;
pub use stats::{PersistenceStats, ResponseTimes};

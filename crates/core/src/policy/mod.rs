//! Decisions: what a failure does, how long to wait, how large a batch is.
//!
//! All of it is pure: time and chance come in as arguments, so each decision is a plain unit test, and the
//! loops that act on it have nothing left to decide.
//!
//! * [`Class`], [`Classifier`]: what kind of trouble a failure is, found from its type.
//! * [`OnFailure`], [`decide`], [`is_outage`]: what happens to the event, and to the runner.
//! * [`Backoff`], [`jittered`], [`next`]: when the loop goes on.
//! * [`BatchSize`], [`Segments`]: how much is done at once, and how much is redone when it fails.
//! * [`Spread`], [`share`]: how many partitions an instance keeps.

mod backoff;
mod batch_size;
mod class;
mod classify;
mod core_errors;
mod failure;
mod message_patterns;
mod outage;
mod schedule;
mod segments;
mod spread;

pub use backoff::{Backoff, jittered};
pub use batch_size::BatchSize;
pub use class::Class;
pub use classify::{Classifier, ClassifyError, Decided};
pub use failure::{Action, OnFailure, decide};
pub use message_patterns::MessagePatterns;
pub use outage::{DIFFERENT_EVENTS, is_outage};
pub use schedule::{Ended, Next, next};
pub use segments::Segments;
pub use spread::{Spread, share};

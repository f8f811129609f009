//! The transactional projection handler: exactly once in the read model (spec E).
//!
//! One transaction a batch: lock, state, drop what is processed, apply, record failures, move the state once,
//! commit. `handler` is a runner's life, `owner` its loop, [`batch`] the one place that commits or rolls back, [`isolate`] finds the
//! event that cannot be applied and leaves the others alone. A partition is a runner like any other; what the
//! runners of one projection share in an instance is [`Spreading`].
//!
//! ```text
//! claim ─> start ─> ┌─> source ─> batch: lock ─> dedup ─> apply/isolate ─> dead letter ─> checkpoint ─> commit ┐
//!  stand by         └──────────────── at once while behind · on a hint or the poll timer when live ───────────┘
//! ```

mod aftermath;
pub mod batch;
mod definition;
mod handler;
pub mod isolate;
mod lost_attempt;
mod owner;
mod read_model_tables;
mod rebuild;
mod replay;
mod rewind;
mod runner;
mod spreading;
mod stand_by;
mod start;
mod status;
mod trouble;
pub mod work;

pub use definition::{ProjectionDefinition, StartOptions};
pub use handler::run;
pub use rebuild::rebuild;
pub use rewind::{RewindTo, Rewound, rewind};
pub use runner::Runner;
pub use spreading::Spreading;
pub use status::{Phase, ProjectionStatus, RunEnd, StatusCell};

//! The catch-up runner: a handler takes the events of a log, each at least once (spec B).
//!
//! There is no transaction that a handler shares with its checkpoint. So the order of things is the
//! guarantee: an event is handled, then it is settled, and only the end of the longest settled prefix is ever
//! stored. A crash makes at most `checkpoint_batch_size` events be handled again, and what was done above
//! that prefix.
//!
//! ```text
//! claim ─> begin ─> ┌─> intake ─> dedup ─> lanes ─> handler ─> judge ─> dead letter ─> low water ─> board ┐
//!  stand by         └───────────── each lane for itself; nothing begun while the checkpoint is full ──────┘
//!                                                    one persistence worker a store  <────────────────────┘
//! ```
//!
//! `life` is a run from claim to report, `owner` its loop, `dispatch` what is begun, `settle` and `judge`
//! what the end of a turn means, `suspects` the outage rule. [`CheckpointBoard`] is where runners leave their
//! marks and a persistence worker takes them off.

mod checkpoints;
mod dispatch;
mod intake;
mod judge;
mod lanes;
mod letters;
mod life;
mod other_side;
mod owner;
mod progress;
mod renewal;
mod report;
mod runner;
mod runners;
mod seat;
mod settle;
mod stand_by;
mod status;
mod suspects;
mod tell;
mod turn;
mod writer;

pub use checkpoints::{CheckpointBoard, Held, Standing};
pub use life::run;
pub use report::{CatchUpEnd, CatchUpReport};
pub use runner::CatchUpRunner;
pub use runners::{CatchUpHandle, CatchUpRunners};
pub use status::{CatchUpStatus, CatchUpStatusCell};
pub use writer::CheckpointWriter;

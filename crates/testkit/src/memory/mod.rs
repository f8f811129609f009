//! An adapter of every port that keeps everything in memory, under the same contract suites as the real ones.
//!
//! Every type is a handle to shared state: a clone sees the same storage. A test that "restarts" drops its
//! runner and builds a new one over a clone; a test with two processes gives each a clone. What real backends
//! do to a program, these can be told to do: fail for a while, drop old events, end a claim, refuse a key.
//!
//! Waiting and time-outs go by tokio's time, so paused time works.

mod checkpoints;
mod consumer;
mod dead_letters;
mod log;
mod log_reader;
mod store;
mod store_control;
mod store_data;
mod store_unit;
mod subscriptions;
mod target;
mod test_table;
mod tx;

pub use checkpoints::MemoryCheckpoints;
pub use consumer::MemoryConsumer;
pub use dead_letters::MemoryDeadLetters;
pub use log::MemoryLog;
pub use store::{MemoryLease, MemoryStore};
pub use store_data::{Tables, TxCounts};
pub use store_unit::MemoryUnit;
pub use subscriptions::{GroupCounts, MemorySubscriptions};
pub use target::MemoryTarget;
pub use test_table::MemoryTable;
pub use tx::MemoryTx;

use highwater_core::{Error, ErrorKind};

/// What every call answers during a simulated outage.
fn cut_off(operation: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, operation).because("the test has cut the storage off")
}

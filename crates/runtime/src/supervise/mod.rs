//! Many runners in one process: start, watch, stop.
//!
//! Runners are independent: one that faults, stalls or panics never delays another (E-22). Every task's end
//! surfaces: a runner that panicked is started again, with a backoff.

mod supervisor;

pub use supervisor::{Finished, Supervisor};

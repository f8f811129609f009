//! The loops of Highwater.
//!
//! The core decides, this crate acts: it drives the ports with tokio and contains every rule of delivery, once,
//! for all adapters. In the order in which an event travels:
//!
//! * [`flow`]: the stages that every runner shares: source, dedup, apply, dead letter, checkpoint.
//! * [`projection`]: the transactional projection handler: exactly once in the read model.
//! * [`supervise`]: many runners in one process: start, watch, stop.
//! * [`telemetry`]: what happened, as log lines.
//!
//! [`Environment`] carries time, chance and observation into all of them.

#![warn(missing_docs)]

mod clock;
mod environment;
pub mod flow;
pub mod projection;
pub mod supervise;
pub mod telemetry;

pub use clock::{FastJitter, TokioClock};
pub use environment::Environment;

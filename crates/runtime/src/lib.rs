//! The loops of Highwater.
//!
//! The core decides, this crate acts: it drives the ports with tokio and contains every rule of delivery, once,
//! for all adapters. In the order in which an event travels:
//!
//! * [`flow`]: the stages that every runner shares: source, dedup, apply, dead letter, checkpoint.
//! * [`projection`]: the transactional projection handler: exactly once in the read model.
//! * [`catch_up`]: the catch-up runner: a handler takes each event at least once.
//! * [`persistence`]: the persistence worker: many marks, few writes, a circuit breaker.
//! * [`supervise`]: many runners in one process: start, watch, stop.
//! * [`telemetry`]: what happened, as log lines.
//!
//! [`Environment`] carries time, chance and observation into all of them.

#![warn(missing_docs)]

pub mod catch_up;
mod clock;
mod environment;
pub mod flow;
pub mod persistence;
pub mod projection;
pub mod supervise;
pub mod telemetry;

pub use clock::{FastJitter, TokioClock};
pub use environment::Environment;

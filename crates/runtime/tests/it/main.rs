//! The loops of the runtime over scripted and in-memory ports.
#![allow(clippy::unwrap_used)]

mod batch;
mod catch_up;
mod crashes;
mod failures;
mod log_lines;
mod ownership;
mod partitions;
mod persistence;
mod rewind;
mod running;
mod spreading;
mod supervise;
mod tables;
mod world;

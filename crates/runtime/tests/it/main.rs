//! The loops of the runtime over scripted and in-memory ports.
#![allow(clippy::unwrap_used)]

mod batch;
mod crashes;
mod failures;
mod ownership;
mod running;
mod supervise;
mod world;

//! The persistence worker (C-1 … C-14), over a scripted target on virtual time.

mod breaker;
mod failures;
mod forcing;
mod marking;
mod running;
mod stopping;
mod telemetry;
mod world;

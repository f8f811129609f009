//! The catch-up runner (B-1 … B-14), over ports in memory, a handler that does what it is told, and virtual
//! time.

mod breaker;
mod crashes;
mod failures;
mod flushing;
mod lanes;
mod letters;
mod outages;
mod ownership;
mod properties;
mod running;
mod starting;
mod stopping;
mod telemetry;
mod world;

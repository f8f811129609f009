//! What tests of Highwater are made of, and tests of adapters that others write.
//!
//! Delivery guarantees are easy to state and easy to break, and most of what breaks them does not happen on a
//! good day: a process dies between two calls, an answer is lost, a clock steps back. So the means to make a
//! bad day on purpose live in one place:
//!
//! * [`contract`]: **one suite a port**, one function a law. An adapter expands the suite over its own
//!   fixture, and is right when every law passes.
//! * [`memory`]: an adapter of every port that keeps everything in memory. A test "restarts" by building a
//!   new runner over a clone of the same store.
//! * [`faults`]: wraps a port and makes its calls fail, hang or crash at a numbered point.
//! * [`time`]: a clock that a test drives, and scripted chance.
//! * [`observer`]: remembers what was seen, and waits for it.
//! * [`fixtures`]: events, hostile names and nasty payloads.

#![warn(missing_docs)]

pub mod contract;
pub mod faults;
pub mod fixtures;
pub mod memory;
pub mod observer;
mod sync;
pub mod time;

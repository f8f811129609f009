//! Handlers out of the box: events go out of the log without a line of Rust.
//!
//! Most subscriptions end at the same few places: a service that takes HTTP, a program that somebody else
//! wrote, a pipe. What is hard about them is not the sending but telling what an answer means for the event,
//! and that is written down here once.
//!
//! * [`HttpSink`] (feature `http`): each event, or a batch of them, as CloudEvents to an HTTP receiver.
//! * [`ExecSink`] (feature `exec`): each event as a line to a program that runs beside and acknowledges it.
//! * [`StdoutSink`]: each event as a line on standard output.
//! * [`write_line`]: the form of such a line, the same that import and export have.
//!
//! All of them are at least once: an event that was sent just before a crash, a stop or a time-out is sent
//! again. Each attempt carries the event's id, and that is what the other side tells a repetition by. Events
//! go out one after the other, the next one only when the one before was taken.

#![warn(missing_docs)]

#[cfg(feature = "exec")]
mod exec;
#[cfg(feature = "http")]
mod http;
#[cfg(any(feature = "exec", feature = "http"))]
mod invalid;
mod json_text;
mod line;
mod stdout;

#[cfg(feature = "exec")]
pub use exec::{ExecSettings, ExecSink};
#[cfg(feature = "http")]
pub use http::{HttpBatch, HttpSettings, HttpSink};
pub use line::write_line;
pub use stdout::StdoutSink;

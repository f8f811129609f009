//! Events to a program that runs beside: lines in, lines out.
//!
//! A program in any language can be a handler if all it needs are its standard streams. It is started once
//! and kept running, since starting costs more than an event, and it acknowledges each event, since a line in
//! a pipe has reached nobody yet.
//!
//! * `settings`: which program, how long.
//! * `sink`: one event, one answer.
//! * `answer`: what a line of the program means.
//! * `process`, `group`: a running program, and how each of its ways to end is met.
//! * `lines`, `stderr`: its output, in bounded pieces.

mod answer;
mod fault;
mod group;
mod lines;
mod process;
mod settings;
mod sink;
mod stderr;

pub use settings::ExecSettings;
pub use sink::ExecSink;

//! The event log: one table, read by position.
//!
//! SQLite has one writer at a time, and a reader sees the commits up to one of them. So a position that is
//! drawn inside the write transaction has no gaps that could fill later: what a reader has passed, it has
//! seen.

mod append;
mod duplicate;
mod event_log;
mod extent;
mod reader;
mod rows;
mod scan;

pub use event_log::SqliteLog;
pub(crate) use event_log::head_of;

//! The event log.
//!
//! Writers neither wait for readers nor for each other, so events become visible in another order than their
//! positions have. Nothing is passed over all the same: a reader serves what follows without a gap on what is
//! settled, and at a gap it finds out how far everything is decided ([`horizon`]). The rules behind that are
//! in the comments of `migrations/0001_log.sql`, where the writing half of them is.

mod append;
mod check;
mod columns;
mod holder;
mod horizon;
mod json_text;
mod ledger;
mod pg_log;
mod piece;
mod quiet;
mod reader;
mod refused;
mod rows;

pub use holder::Holder;
pub use pg_log::PgLog;

//! The embedded default of Highwater: event log, read models, checkpoints and dead letters in a SQLite file.
//!
//! A file is enough for the full guarantee, with no server to install: a projection's state moves in the
//! transaction that changes its read model. Log and read models may share one file; then SQL projections read
//! their events where they stand.
//!
//! * [`SqliteLog`]: the event log and its writing side.
//! * [`SqliteStore`], [`SqliteUnit`], [`SqliteTx`]: read models, and the transaction that a projection writes
//!   with.
//! * [`sql_projection`]: projections that a user writes in SQL.
//! * [`SqliteCheckpoints`], [`SqliteDeadLetters`]: for runners that are not transactional.
//! * [`SqliteClassifier`]: what a driver error means for an event.
//!
//! Files are opened with a write-ahead log. Our own tables begin with `highwater_`; everything else in the
//! file is the user's. The file must lie on a local file system: locks on network shares cannot be trusted.

#![warn(missing_docs)]

mod cancel;
mod checkpoints;
mod classify;
mod database;
mod dead_letters;
mod error;
mod fault;
mod file;
mod filter_sql;
mod location;
mod log;
mod migrations;
mod number;
mod open;
mod options;
mod payload;
mod prefix;
pub mod sql_projection;
mod stopwatch;
mod store;
mod turn;
mod watch;

pub use rusqlite;

pub use checkpoints::SqliteCheckpoints;
pub use classify::SqliteClassifier;
pub use dead_letters::SqliteDeadLetters;
pub use location::path_from_url;
pub use log::SqliteLog;
pub use options::{SqliteOptions, Synchronous};
pub use store::{SqliteLease, SqliteStore, SqliteTx, SqliteUnit};

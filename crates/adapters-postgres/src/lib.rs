//! Highwater on PostgreSQL 15 and later: event log, read models, ownership, checkpoints and dead letters.
//!
//! * [`Database`]: a pool of connections and one control connection; everything else is made from it, so that
//!   one process holds one of each for a database, however many projections it runs.
//! * [`PgLog`]: the event log, gap-safe without making writers wait, and its writing side.
//! * [`PgStore`], [`PgUnit`]: read models, and the transaction that a projection writes with.
//! * [`sql_projection`]: projections that a user writes in SQL; they run inside the server.
//! * [`PgCheckpoints`], [`PgDeadLetters`]: for runners that are not transactional.
//! * [`PgClassifier`]: what a driver error means for an event.
//!
//! Our own tables and functions live in a schema of their own, `highwater` unless another one is chosen;
//! nothing else in the database is touched.

#![warn(missing_docs)]

mod checkpoints;
mod classify;
mod columns;
mod control;
mod database;
mod dead_letters;
mod error;
mod fault;
mod filter_sql;
mod log;
mod migrations;
mod number;
mod options;
mod payload;
mod reach;
mod schema;
pub mod sql_projection;
mod stale_plans;
mod stopwatch;
mod store;
mod text;

pub use sqlx;
pub use sqlx::PgConnection;

pub use checkpoints::PgCheckpoints;
pub use classify::PgClassifier;
#[doc(hidden)]
pub use control::Control;
pub use control::PgLease;
pub use database::Database;
pub use dead_letters::PgDeadLetters;
pub use log::{Holder, PgLog};
pub use options::{Ownership, PgOptions};
pub use store::{PgStore, PgUnit};

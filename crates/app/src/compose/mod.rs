//! Puts backends together by their URLs: the only place that names concrete adapters.

mod adapter;
mod address;
mod backends;
#[cfg(feature = "sinks")]
mod handler;
mod open;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;
mod verify;

use highwater_core::model::ProjectionName;

pub use highwater_core::sql::{NotApplied, SqlText};

pub use self::address::{Address, Ownership};
pub use self::backends::{Backends, open, open_with_checkpoints};
#[cfg(feature = "sinks")]
pub use self::handler::{HandlerSpec, HandlerSpecs, OpenSink, SinkSpec};
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStage;
#[cfg(feature = "redis")]
pub use self::redis::migrate_older_checkpoints;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStage;
pub use self::verify::{VerifiedTable, VerifyReport};

/// Who creates, updates and mends our own tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Migrate {
    /// Whoever opens the database.
    #[default]
    Auto,
    /// Only [`Backends::migrate`]: a database that is not up to date is refused.
    Manual,
    /// As [`Migrate::Manual`], for somebody who only looks: what is wrong with a log, and keeps nobody from reading
    /// it, is said in a log line instead of being an error.
    ReadOnly,
}

/// What an operator allows at this start, by projection.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Go on although the filter or the SQL has changed at the same version (E-6).
    pub accept: Vec<ProjectionName>,
    /// Go on although the stored checkpoint does not belong to this log (E-7); handlers as well.
    pub trust: Vec<ProjectionName>,
}

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// The read model's generation now.
    pub generation: u64,
}

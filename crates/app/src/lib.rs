//! **Highwater** runs projections for event-sourced systems: it reads an append-only event log, applies every
//! event to a read model, and remembers how far it got. It never loses an event, never applies one twice, keeps
//! going when one event is bad, and waits when a backend is down.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use highwater::sqlite::SqliteTx;
//! use highwater::{Failure, Highwater, Projection, RecordedEvent};
//!
//! #[derive(serde::Deserialize)]
//! struct Landed { dest: String, arr_delay_minutes: i64 }
//!
//! struct Delays;
//!
//! impl Projection<SqliteTx> for Delays {
//!     async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
//!         let landed: Landed = event.json()?; // does not decode: parked, the projection goes on
//!         tx.prepare_cached("INSERT INTO delays VALUES (?1, ?2)")?
//!             .execute((landed.dest, landed.arr_delay_minutes))?;
//!         Ok(())
//!     }
//!
//!     async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
//!         tx.execute_batch("CREATE TABLE delays (dest TEXT, minutes INTEGER)")?;
//!         Ok(())
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let highwater = Highwater::builder()
//!     .sqlite("flights.db")
//!     .projection("delays", Delays, |p| p.types(["FlightLanded"]))
//!     .start()
//!     .await?;
//! highwater.wait_for_head("delays", Duration::from_secs(5)).await?; // read your own writes
//! let report = highwater.run_until(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
//! println!("{report:?}"); // drained, committed
//! # Ok(()) }
//! ```
//!
//! The argument list says which guarantee you get: a [`Projection`] is given the batch's transaction, and its
//! read model moves in it, together with the position: **exactly once**. It needs `panic = "unwind"`, the default:
//! a panic is caught and counts as a failure of its event.
//!
//! Where no transaction can be shared (a mailer, a search index, another service) there are handlers, **at least
//! once**, beside the projections of the same builder: `.handler("mails", |event: RecordedEvent| async move { … },
//! |h| h.types(["OrderPlaced"]).lanes(4))`. See [`Handler`].
//!
//! Adapters are Cargo features: `sqlite` (embedded), `postgres`, `redis` (checkpoints of
//! handlers), `sinks` (handlers out of the box: HTTP, a command,
//! standard output), `cli` (the binary); all are on by default. A library user takes `default-features = false, features = ["sqlite"]`.

#![warn(missing_docs)]

mod builder;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod compose;
mod handlers;
mod highwater;
mod parts;
mod plan;
mod report;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod spec;
mod stage;
pub mod wait;

pub use highwater_core::model::{
    Append, Appended, ContentType, DeadLetter, Expected, FailedEvent, FailedState, Filter, NewEvent, Pattern,
    Position, ProjectionName, ProjectionState, RecordedEvent,
};
pub use highwater_core::policy::{Class, ClassifyError, Decided, OnFailure};
pub use highwater_core::ports::{
    AppendEvents, CheckpointStore, DeadLetters, EventLog, Handler, HandlerLetter, HandlerObserver,
    HandlerSeen, HandlerTotals, Observer, OwnedCheckpoints, PersistenceObserver, Projection,
    ProjectionControl, Seen,
};
pub use highwater_core::settings::{
    CatchUpSettings, OnPermanent, PersistenceSettings, ProjectionSettings, SavepointMode, StartFrom,
    Violation,
};
pub use highwater_core::{Error, ErrorKind, Failure, OrVerdict, Retry, Verdict};
pub use highwater_runtime::catch_up::{CatchUpHandle, CatchUpStatus};
pub use highwater_runtime::persistence::{ForceReport, KeyFailure, Persistence, PersistenceStats};
pub use highwater_runtime::projection::{Phase, ProjectionStatus, RewindTo, Rewound};
pub use highwater_runtime::telemetry::{HandlerLog, LogObserver, PersistenceLog};
pub use highwater_runtime::{Environment, FastJitter, TokioClock};

pub use crate::builder::{Builder, ProjectionOptions, StartError};
#[cfg(feature = "postgres")]
pub use crate::compose::PostgresStage;
#[cfg(feature = "sqlite")]
pub use crate::compose::SqliteStage;
pub use crate::handlers::{CheckpointControl, HandlerOptions, HandlerReport, HandlerStores};
pub use crate::highwater::{Highwater, StatusWatch};
pub use crate::report::{Outcome, PartitionReport, ProjectionReport, Report};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use crate::spec::ProjectionSpec;
pub use crate::stage::{ChooseAStoreFirst, Close, NoStore, Opened, Stage};
pub use crate::wait::Waited;

/// The ports and everything that they speak of, for adapters of one's own.
pub use highwater_core as core;

/// PostgreSQL: event log, read models, ownership, checkpoints and dead letters in one database.
#[cfg(feature = "postgres")]
pub use highwater_postgres as postgres;

/// Redis: checkpoints of handlers, and their dead letters.
#[cfg(feature = "redis")]
pub use highwater_redis as redis;

/// Handlers out of the box: events to an HTTP receiver, to a command, to standard output.
#[cfg(feature = "sinks")]
pub use highwater_sinks as sinks;

/// The embedded default: event log, read models, checkpoints and dead letters in one SQLite file.
#[cfg(feature = "sqlite")]
pub use highwater_sqlite as sqlite;

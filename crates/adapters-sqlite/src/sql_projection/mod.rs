//! Projections in SQL, on SQLite (F).
//!
//! A user without Rust writes what to create (`schema`), what to do with a batch (`apply`, over the relation
//! `events`) and what to do with one event (`on`, with parameters). All of it is read and checked before the
//! first event, in the user's own lines and columns; after that the cost of an event is SQLite's. So texts
//! are scanned once, statements stay prepared, a payload is opened once and only where SQL asks for something
//! in it, and where the log is in the same database `apply` reads it there, and the events never leave it.
//!
//! [`SqlProjection`] is the projection; [`check_sample`] tries it on a sample at several batch sizes;
//! [`verify`] computes its read model again and compares.

mod bounds;
mod cell;
mod columns;
mod compare;
mod ddl;
mod events_view;
mod number;
mod on_event;
mod payload;
mod port;
mod projection;
mod sample;
mod scratch;
mod script;
mod tables;
#[cfg(test)]
mod tests;
mod verify;

pub use highwater_core::sql::{
    CutDifference, NotApplied, RowDifference, SampleFailure, SampleReport, SqlProblem, SqlProjectionDef,
    SqlText, TableDifference, VerifyReport,
};

pub use projection::SqlProjection;
pub use sample::check_sample;
pub use verify::verify;

//! Projections in SQL, on PostgreSQL (F).
//!
//! A user without Rust writes what to create (`schema`), what to do with a batch (`apply`, over the relation
//! `events`) and what to do with one event (`on`, with parameters). All of it is read before the first event, and
//! checked by the server, in the user's own lines and columns.
//!
//! After that a slice of events costs one round trip, whatever is in it. Where the log is in the same database and
//! schema, the events never leave it: `events` is a view over the slice's range of the log, and `on` is a function,
//! generated once a session, that loops over the same range. Where the log is elsewhere the events travel as
//! arrays into a temp table first. See `0004_sql_projections.sql` for the server's side.
//!
//! [`SqlProjection`] is the projection; [`check_sample`] tries it on a sample at several batch sizes;
//! [`verify`] computes its read model again and compares.

mod bounds;
mod call;
mod check;
mod columns;
mod compare;
mod ddl;
mod on_function;
mod port;
mod projection;
mod raised;
mod read_model;
mod run_error;
mod sample;
mod scratch;
mod scratch_ddl;
mod slice;
mod source;
mod table_name;
mod texts;
mod verify;

pub use highwater_core::sql::{
    CutDifference, NotApplied, RowDifference, SampleFailure, SampleReport, SqlProblem, SqlProjectionDef,
    SqlText, TableDifference, VerifyReport,
};

pub use projection::SqlProjection;
pub use raised::Raised;
pub use sample::check_sample;
pub use verify::verify;

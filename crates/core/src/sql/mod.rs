//! The text side of SQL projections: what can be decided about a user's SQL and an event's JSON without a
//! database.
//!
//! A user's SQL names its inputs (`:stream`, `:data.customer.id`), and no database takes such names as they
//! stand: SQLite has no paths, PostgreSQL no names. So the text is scanned once, at load, by a lexer that
//! knows where a `:` means something else; each statement is rendered with the placeholders of its database;
//! and a position that the database reports is mapped back to the text that the user wrote. The values come
//! from the payload by one pass over its bytes, so a payload costs only what the SQL asks of it, and a
//! payload that no path touches is never read.
//!
//! [`ScannedSql`] is the beginning for SQL, [`PathSet`] for payloads, [`fingerprint`] tells a changed text.
//! [`SqlProjectionDef`] is a whole projection as its user wrote it, [`SqlScript`] one of its texts, read;
//! [`SqlProblem`] is what is wrong with one, in the user's own lines and columns.

mod body;
mod definition;
mod fingerprint;
mod json_path;
mod json_trie;
mod json_walk;
mod lexer;
mod line_column;
mod parameter;
mod problem;
#[cfg(test)]
mod properties;
mod render;
mod report;
mod scan;
mod scan_error;
mod script;
mod splitter;
mod statement;
mod upsert;
mod value;

pub use definition::{SqlProjectionDef, SqlText};
pub use fingerprint::fingerprint;
pub use json_path::{JsonPathError, PathSet};
pub use line_column::line_column;
pub use parameter::{MAX_SEGMENTS, Parameter, Root, Segment};
pub use problem::{Origin, SqlProblem, SqlProblems};
pub use render::Rendered;
pub use report::{
    CutDifference, NotApplied, RowDifference, SampleFailure, SampleReport, TableDifference, VerifyReport,
};
pub use scan::{Dialect, ScannedSql};
pub use scan_error::{ScanError, ScanErrorKind, Unterminated};
pub use script::SqlScript;
pub use statement::{Statement, StatementKind};
pub use value::SqlValue;

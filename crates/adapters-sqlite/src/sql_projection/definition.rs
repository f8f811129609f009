//! What a projection in SQL is written as, and what can be wrong with it.

use std::fmt;

use highwater_core::model::{Filter, ProjectionName};
use highwater_core::sql::{ScanError, ScannedSql};

/// A piece of SQL and where it stands, for error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlText {
    /// The SQL.
    pub text: String,
    /// Where it stands, as a person would say it: `airport_delays.sql`, or
    /// ``highwater.toml [[projection]] `airport_delays` apply``.
    pub origin: String,
    /// The line of the origin on which the text begins, from 1: 1 for a whole file.
    pub first_line: usize,
}

impl SqlText {
    /// A text that begins on the first line of its origin.
    pub fn new(text: impl Into<String>, origin: impl Into<String>) -> Self {
        Self { text: text.into(), origin: origin.into(), first_line: 1 }
    }
}

/// A projection in SQL, as the user wrote it.
#[derive(Debug, Clone)]
pub struct SqlProjectionDef {
    /// Its name.
    pub name: ProjectionName,
    /// The DDL of the read model; may be absent where the tables are made by somebody else.
    pub schema: Option<SqlText>,
    /// Run once per batch, over the relation `events`.
    pub apply: Option<SqlText>,
    /// Run once per event of a type, with parameters. An event whose type stands here goes here only (F-4).
    pub on: Vec<(String, SqlText)>,
    /// The types and streams as they are written; [`super::SqlProjection::filter`] is what comes of them.
    pub filter: Filter,
    /// The tables that a rebuild empties; `None` = those that `schema` creates.
    pub tables: Option<Vec<String>>,
    /// The log is in the read model's database, so `apply` can read it where it stands.
    pub log_in_store: bool,
}

/// Something that is wrong with a projection in SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlProblem {
    /// The projection.
    pub projection: ProjectionName,
    /// The text, as [`SqlText::origin`] names it; `None` where no one text is to blame.
    pub origin: Option<String>,
    /// Where in the origin: line and column, from 1; the column counts characters. Part of the message, too.
    pub place: Option<(usize, usize)>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for SqlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projection `{}`", self.projection)?;
        if let Some(origin) = &self.origin {
            write!(f, ", {origin}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for SqlProblem {}

/// Several problems as the cause of one error.
#[derive(Debug)]
pub(super) struct SqlProblems(pub(super) Vec<SqlProblem>);

impl fmt::Display for SqlProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "; " })?;
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlProblems {}

/// Whose text it is and where it stands: what turns a byte offset into a place that a person can go to.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) projection: ProjectionName,
    pub(super) name: String,
    pub(super) first_line: usize,
}

impl Origin {
    pub(super) fn of(projection: &ProjectionName, text: &SqlText) -> Self {
        Self { projection: projection.clone(), name: text.origin.clone(), first_line: text.first_line.max(1) }
    }

    /// A problem at a byte offset of `sql`; `fault` says what, `advice` what to do, if there is something.
    pub(super) fn problem(
        &self,
        sql: &ScannedSql,
        offset: usize,
        fault: &str,
        advice: Option<&str>,
    ) -> SqlProblem {
        let (line, column) = sql.line_column(offset);
        let line = self.line(line);
        let advice = advice.map(|advice| format!(": {advice}")).unwrap_or_default();
        self.problem_at(line, column, format!("{fault} at line {line}, column {column}{advice}"))
    }

    /// A problem that the scanner found.
    pub(super) fn scan_problem(&self, error: ScanError) -> SqlProblem {
        let moved = ScanError { line: self.line(error.line), ..error };
        self.problem_at(moved.line, moved.column, moved.to_string())
    }

    fn problem_at(&self, line: usize, column: usize, message: String) -> SqlProblem {
        SqlProblem {
            projection: self.projection.clone(),
            origin: Some(self.name.clone()),
            place: Some((line, column)),
            message,
        }
    }

    /// The origin's line for a line of the text.
    pub(super) fn line(&self, line: usize) -> usize {
        self.first_line - 1 + line
    }
}

//! What can be wrong with a projection in SQL, where a person can find it.

use std::fmt;

use super::{ScanError, ScannedSql, SqlText};
use crate::model::ProjectionName;

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

impl SqlProblem {
    /// A problem of a whole text, or of the whole projection.
    pub fn whole(projection: &ProjectionName, origin: Option<&str>, message: impl Into<String>) -> Self {
        let origin = origin.map(ToOwned::to_owned);
        Self { projection: projection.clone(), origin, place: None, message: message.into() }
    }
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
pub struct SqlProblems(pub Vec<SqlProblem>);

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
pub struct Origin {
    /// The projection.
    pub projection: ProjectionName,
    /// The text, as [`SqlText::origin`] names it.
    pub name: String,
    /// The line on which the text begins, from 1.
    pub first_line: usize,
}

impl Origin {
    /// The origin of a projection's text.
    #[must_use]
    pub fn of(projection: &ProjectionName, text: &SqlText) -> Self {
        Self { projection: projection.clone(), name: text.origin.clone(), first_line: text.first_line.max(1) }
    }

    /// A problem at a byte offset of `sql`; `fault` says what, `advice` what to do, if there is something.
    #[must_use]
    pub fn problem(&self, sql: &ScannedSql, offset: usize, fault: &str, advice: Option<&str>) -> SqlProblem {
        let (line, column) = sql.line_column(offset);
        let line = self.line(line);
        let advice = advice.map(|advice| format!(": {advice}")).unwrap_or_default();
        self.problem_at(line, column, format!("{fault} at line {line}, column {column}{advice}"))
    }

    /// A problem that the scanner found.
    #[must_use]
    pub fn scan_problem(&self, error: ScanError) -> SqlProblem {
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
    #[must_use]
    pub fn line(&self, line: usize) -> usize {
        self.first_line - 1 + line
    }
}

//! One of a projection's texts, read: its statements, and the way back to what the user wrote.

use super::{Dialect, Origin, ScannedSql, SqlProblem, SqlText, Statement};
use crate::error::Error;
use crate::model::ProjectionName;

/// A text whose statements are known and permitted.
#[derive(Debug, Clone)]
pub struct SqlScript {
    origin: Origin,
    scanned: ScannedSql,
}

impl SqlScript {
    /// Reads a text that may have parameters (`on`) or may not (`schema`, `apply`).
    ///
    /// # Errors
    /// All that is wrong: what cannot be read, no statement at all, statements that reach for the transaction
    /// (E-9), parameters where there is no event.
    pub fn read(
        projection: &ProjectionName,
        text: &SqlText,
        dialect: Dialect,
        parameters: bool,
    ) -> Result<Self, Vec<SqlProblem>> {
        let origin = Origin::of(projection, text);
        let scanned =
            ScannedSql::scan(&text.text, dialect).map_err(|error| vec![origin.scan_problem(error)])?;
        let mut problems = Vec::new();
        if scanned.statements().is_empty() {
            let advice = Some("write one, or remove the entry");
            problems.push(origin.problem(&scanned, 0, "no statement", advice));
        }
        problems.extend(scanned.refuse_control().err().map(|error| origin.scan_problem(error)));
        if !parameters {
            problems.extend(scanned.refuse_parameters().err().map(|error| origin.scan_problem(error)));
        }
        if problems.is_empty() { Ok(Self { origin, scanned }) } else { Err(problems) }
    }

    /// Whose it is, and where it stands.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The statements, in order.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        self.scanned.statements()
    }

    /// A problem at a byte offset of the text; `fault` says what, `advice` what to do, if there is something.
    #[must_use]
    pub fn problem(&self, offset: usize, fault: &str, advice: Option<&str>) -> SqlProblem {
        self.origin.problem(&self.scanned, offset, fault, advice)
    }

    /// Names the statement of this number in an error.
    ///
    /// # Panics
    /// If there is no such statement.
    #[must_use]
    pub fn at(&self, statement: usize, error: Error) -> Error {
        let (line, _) = self.scanned.line_column(self.statements()[statement].range().start);
        error
            .with("projection", &self.origin.projection)
            .with("in", &self.origin.name)
            .with("line", self.origin.line(line))
    }
}

//! One of a projection's texts: read, rendered for SQLite, run, and blamed.

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ProjectionName;
use highwater_core::sql::{Dialect, Rendered, SqlProblem, SqlScript, SqlText, Statement, StatementKind};
use rusqlite::{CachedStatement, Connection, ErrorCode};

use crate::error::sqlite_error;
use crate::fault::{Fault, code_of, fault_of};

const WHERE_TRUE: &str =
    "write `WHERE true` before ON CONFLICT: without it SQLite reads ON as the condition of a join";
const INCOMPLETE: &str = "incomplete input";
const RUN: &str = "run SQL";
const ROLLED_BACK: &str = "the statement rolled the transaction back (OR ROLLBACK, ON CONFLICT ROLLBACK or \
     RAISE(ROLLBACK)), which is the runner's: write ABORT instead";
const OWNED: &str = "the transaction, the connection and the tables named highwater_... are the runner's";

/// A text whose statements are known; each has its parameters numbered `?1`, `?2` … by their values.
#[derive(Debug)]
pub(super) struct Script {
    read: SqlScript,
    rendered: Vec<Rendered>,
}

impl Script {
    /// Reads a text that may have parameters (`on`) or may not (`schema`, `apply`).
    pub(super) fn read(
        projection: &ProjectionName,
        text: &SqlText,
        parameters: bool,
    ) -> Result<Self, Vec<SqlProblem>> {
        let read = SqlScript::read(projection, text, Dialect::Sqlite, parameters)?;
        let numbered = |statement: &Statement| statement.render(|number| format!("?{}", number + 1));
        let rendered = read.statements().iter().map(numbered).collect();
        Ok(Self { read, rendered })
    }

    pub(super) fn statements(&self) -> &[Statement] {
        self.read.statements()
    }

    /// Prepares a statement through the connection's cache.
    pub(super) fn prepare<'c>(
        &self,
        conn: &'c Connection,
        index: usize,
    ) -> Result<CachedStatement<'c>, Error> {
        conn.prepare_cached(self.rendered[index].sql()).map_err(|error| self.prepare_error(index, error))
    }

    /// Runs a prepared statement of this script to its end; rows that it returns are passed over.
    pub(super) fn step(
        &self,
        conn: &Connection,
        index: usize,
        statement: &mut rusqlite::Statement<'_>,
    ) -> Result<(), Error> {
        let in_transaction = !conn.is_autocommit();
        drain(statement).map_err(|error| {
            let ended = in_transaction && conn.is_autocommit();
            self.run_error(conn, index, error, ended)
        })
    }

    /// Prepares and runs a statement that has no parameters.
    pub(super) fn run(&self, conn: &Connection, index: usize) -> Result<(), Error> {
        let mut statement = self.prepare(conn, index)?;
        self.step(conn, index, &mut statement)
    }

    /// Runs all statements in order; they have no parameters.
    pub(super) fn run_all(&self, conn: &Connection) -> Result<(), Error> {
        (0..self.rendered.len()).try_for_each(|index| self.run(conn, index))
    }

    /// Prepares all statements and collects what SQLite has against them. What stands behind a statement that
    /// changes the schema can only be judged when that one has run.
    pub(super) fn check(&self, conn: &Connection, problems: &mut Vec<SqlProblem>) -> Result<(), Error> {
        for (index, statement) in self.statements().iter().enumerate() {
            if let Err(error) = conn.prepare_cached(self.rendered[index].sql()) {
                match fault_of(&error) {
                    Some(Fault::Schema | Fault::Denied) => problems.push(self.problem(index, &error)),
                    _ => return Err(self.prepare_error(index, error)),
                }
            }
            if statement.kind() == StatementKind::Ddl {
                break;
            }
        }
        Ok(())
    }

    fn prepare_error(&self, index: usize, error: rusqlite::Error) -> Error {
        let problem = self.problem(index, &error);
        let kind = sqlite_error("prepare SQL", error).kind();
        Error::new(kind, "prepare SQL").because(problem)
    }

    /// What SQLite has against a statement, where it stands in the user's text.
    fn problem(&self, index: usize, error: &rusqlite::Error) -> SqlProblem {
        let statement = &self.statements()[index];
        let (text, offset) = match error {
            rusqlite::Error::SqlInputError { msg, offset, .. } => {
                let offset = usize::try_from(*offset).unwrap_or(0);
                (msg.clone(), self.rendered[index].original_offset(offset))
            }
            // SQLite names no place for what is missing; it is missing at the end.
            other => match other.to_string() {
                text if text == INCOMPLETE => (text, statement.range().end),
                text => (text, statement.range().start),
            },
        };
        let advice = match fault_of(error) {
            Some(Fault::Denied) => Some(OWNED),
            _ if statement.needs_where_true_hint() && text.contains("near \"DO\"") => Some(WHERE_TRUE),
            _ => None,
        };
        self.read.problem(offset, &text, advice)
    }

    fn run_error(&self, conn: &Connection, index: usize, cause: rusqlite::Error, ended: bool) -> Error {
        let kind = match fault_of(&cause) {
            Some(Fault::Constraint) if ended => {
                return self
                    .read
                    .at(index, Error::new(ErrorKind::TransactionEnded, RUN))
                    .because(ROLLED_BACK);
            }
            // SQLite's generic code stands for a value that a function cannot take, and for a table that has
            // gone since the statement was prepared. Only the second one shows when it is prepared again.
            Some(Fault::Value | Fault::Schema) if cause.sqlite_error_code() == Some(ErrorCode::Unknown) => {
                match conn.prepare(self.rendered[index].sql()) {
                    Ok(_) => ErrorKind::Decode,
                    Err(again) => return self.prepare_error(index, again),
                }
            }
            _ => return self.read.at(index, sqlite_error(RUN, cause)),
        };
        let error = self.read.at(index, Error::new(kind, RUN));
        code_of(&cause).into_iter().fold(error, Error::code).because(cause)
    }
}

fn drain(statement: &mut rusqlite::Statement<'_>) -> rusqlite::Result<()> {
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

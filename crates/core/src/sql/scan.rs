//! A user's SQL, cut into statements.

#[cfg(test)]
mod tests;

use super::{ScanError, ScanErrorKind, Statement, StatementKind, line_column, splitter};

/// Whose SQL it is. The dialects quote, comment and use brackets differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite: identifiers in backticks and `[...]`, triggers with a body.
    Sqlite,
    /// PostgreSQL: `E'...'`, dollar quotes, nested comments, casts, array slices, routines with a body.
    Postgres,
}

/// SQL that has been read: its statements with their parameters.
///
/// # What is a parameter
/// `:id :stream :category :sequence :position :offset :type :time :data :metadata`, and below `:data` and
/// `:metadata` a path: `:data.customer.id`, `:data."a b"` (a quote in it doubled), `:data.lines.0`. Strings,
/// quoted identifiers, comments, dollar quotes, `::`, `:=` and the bounds of array slices are passed over; in
/// a slice a known name is still a parameter (`tags[1:data.n]`; write `tags[1: id]` for a column `id`). Any
/// other `:name` is an error, and so is a placeholder of the database's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedSql {
    text: String,
    dialect: Dialect,
    statements: Vec<Statement>,
}

impl ScannedSql {
    /// Reads `text`. Statements end at a `;` outside of brackets, trigger bodies and routine bodies; empty
    /// ones are dropped.
    ///
    /// # Errors
    /// The first thing that cannot be read, with its line and column. What is no SQL but can be read is left
    /// to the database.
    pub fn scan(text: &str, dialect: Dialect) -> Result<Self, ScanError> {
        let statements = splitter::split(text, dialect)?;
        Ok(Self { text: text.to_owned(), dialect, statements })
    }

    /// The text that was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whose SQL it is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The line and the column of a byte offset of the text, from 1.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        line_column(&self.text, offset)
    }

    /// Checks that no statement reaches for the transaction or the connection.
    ///
    /// # Errors
    /// The first one of [`StatementKind::Control`].
    pub fn refuse_control(&self) -> Result<(), ScanError> {
        match self.statements.iter().find(|statement| statement.kind() == StatementKind::Control) {
            None => Ok(()),
            Some(statement) => {
                let kind = ScanErrorKind::Refused { keyword: statement.first_keyword().to_owned() };
                Err(ScanError::new(kind, &self.text, statement.range().start))
            }
        }
    }

    /// Checks that the SQL does without parameters, as `schema` and `apply` must: they do not run for one
    /// event.
    ///
    /// # Errors
    /// The first parameter.
    pub fn refuse_parameters(&self) -> Result<(), ScanError> {
        match self.statements.iter().flat_map(Statement::parameters).next() {
            None => Ok(()),
            Some(parameter) => {
                let kind = ScanErrorKind::ParameterWithoutEvent { parameter: parameter.to_string() };
                Err(ScanError::new(kind, &self.text, parameter.range.start))
            }
        }
    }
}

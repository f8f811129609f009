//! A row, read column by column in the order of the select list.

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};

use highwater_core::error::{BoxError, Error, ErrorKind};
use highwater_core::model::Position;

use crate::error::During;
use crate::number::parse_u64;
use crate::text::unescaped;

/// What is left of a row.
pub(crate) struct Columns<'r> {
    row: &'r PgRow,
    next: usize,
    operation: &'static str,
}

impl<'r> Columns<'r> {
    /// From the column `first` on.
    pub(crate) fn from(row: &'r PgRow, first: usize, operation: &'static str) -> Self {
        Self { row, next: first, operation }
    }

    /// The next column.
    ///
    /// # Errors
    /// `Corrupt` if it is not of this type; so for all methods.
    pub(crate) fn take<T: Decode<'r, Postgres> + Type<Postgres>>(&mut self) -> Result<T, Error> {
        let value = self.row.try_get(self.next).during(self.operation)?;
        self.next += 1;
        Ok(value)
    }

    /// Leaves columns out.
    pub(crate) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// Whether the next column is NULL; it stays the next.
    pub(crate) fn is_null(&self) -> Result<bool, Error> {
        let text: Option<String> = self.row.try_get(self.next).during(self.operation)?;
        Ok(text.is_none())
    }

    /// An escaped text.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        unescaped(self.take()?)
    }

    /// An escaped text or NULL.
    pub(crate) fn maybe_text(&mut self) -> Result<Option<String>, Error> {
        self.take::<Option<String>>()?.map(unescaped).transpose()
    }

    /// A `numeric(20, 0)` that was selected as text.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Error> {
        parse_u64(&self.take::<String>()?, "column")
    }

    /// A `bigint` that holds a `u32`.
    pub(crate) fn small(&mut self) -> Result<u32, Error> {
        let number: i64 = self.take()?;
        u32::try_from(number).map_err(|error| self.corrupt(error).with("number", number))
    }

    /// Two `numeric(20, 0)` that were selected as text.
    pub(crate) fn position(&mut self) -> Result<Position, Error> {
        Ok(Position::new(self.unsigned()?, self.unsigned()?))
    }

    /// As [`Columns::position`], `None` where the first is NULL.
    pub(crate) fn maybe_position(&mut self) -> Result<Option<Position>, Error> {
        if self.is_null()? {
            self.next += 2;
            return Ok(None);
        }
        self.position().map(Some)
    }

    /// The error for a value that nobody of ours has written.
    pub(crate) fn corrupt(&self, cause: impl Into<BoxError>) -> Error {
        Error::new(ErrorKind::Corrupt, self.operation).because(cause)
    }
}

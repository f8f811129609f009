//! What trying a projection in SQL, or computing its read model again, shows.
//!
//! The same for every store, so that a command prints one thing whatever the store is.

use std::fmt;

use crate::model::Position;

/// What differs in one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableDifference {
    /// Only one side has the table.
    Missing {
        /// The table.
        table: String,
        /// It is the expected one that has it.
        expected: bool,
    },
    /// The tables are not of one make.
    Columns {
        /// The table.
        table: String,
        /// The compared columns that are expected.
        expected: Vec<String>,
        /// Those that were found.
        found: Vec<String>,
    },
    /// Rows differ.
    Rows {
        /// The table.
        table: String,
        /// How many rows only one side has, or have other values.
        rows: u64,
        /// The first few, in the order of the primary key or of all values.
        examples: Vec<RowDifference>,
    },
}

/// A row that is not the same on both sides; `None` where a side does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDifference {
    /// The row as it is expected: `origin 'ATL', departures 3`.
    pub expected: Option<String>,
    /// The row as it was found.
    pub found: Option<String>,
}

impl TableDifference {
    /// How many differing rows of a table are kept as examples.
    pub const EXAMPLES: usize = 5;

    /// The table.
    #[must_use]
    pub fn table(&self) -> &str {
        match self {
            Self::Missing { table, .. } | Self::Columns { table, .. } | Self::Rows { table, .. } => table,
        }
    }
}

impl fmt::Display for TableDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { table, expected: true } => write!(f, "table `{table}` is missing"),
            Self::Missing { table, expected: false } => {
                write!(f, "table `{table}` is there and should not be")
            }
            Self::Columns { table, expected, found } => {
                let (expected, found) = (expected.join(", "), found.join(", "));
                write!(f, "table `{table}` has the columns {found}, and should have {expected}")
            }
            Self::Rows { table, rows, examples } => {
                write!(f, "table `{table}`: rows that differ: {rows}")?;
                examples.iter().try_for_each(|row| write!(f, "; {row}"))
            }
        }
    }
}

impl fmt::Display for RowDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side =
            |row: &Option<String>| row.as_ref().map_or_else(|| "no row".to_owned(), |row| format!("({row})"));
        write!(f, "expected {}, found {}", side(&self.expected), side(&self.found))
    }
}

/// What a verification found (E-26).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many events were applied.
    pub events: u64,
    /// Events that cannot be applied, each run alone.
    pub not_applied: Vec<NotApplied>,
    /// The tables that were compared.
    pub tables: Vec<String>,
    /// `table.column` of what was left out of itself: identities, and defaults computed at the insert.
    pub left_out: Vec<String>,
    /// What differs; the recomputed read model is the expected side. Empty = it is as it should be.
    pub differences: Vec<TableDifference>,
}

/// An event that the projection cannot apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotApplied {
    /// Its place.
    pub position: Position,
    /// Why.
    pub message: String,
}

/// What a run over a sample showed (F-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleReport {
    /// How many of the sample's events the projection is for.
    pub events: usize,
    /// Those that it cannot apply, each run alone; the comparison is made without them.
    pub failed: Vec<SampleFailure>,
    /// The tables that were compared.
    pub tables: Vec<String>,
    /// `table.column` of what was not compared: identities and defaults that are computed at the insert.
    pub left_out: Vec<String>,
    /// The cuts that gave something else than event by event. Empty = F-1 holds for the sample.
    pub cuts: Vec<CutDifference>,
}

/// An event of a sample that the projection cannot apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleFailure {
    /// The event.
    pub position: Position,
    /// Its type.
    pub event_type: String,
    /// Why.
    pub message: String,
}

/// What another cut gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutDifference {
    /// Events in a batch.
    pub batch: usize,
    /// The batch could not be applied, although each of its events can be.
    pub error: Option<String>,
    /// What its tables hold, against what they hold event by event (the expected side).
    pub differences: Vec<TableDifference>,
}

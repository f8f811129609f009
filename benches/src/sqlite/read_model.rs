//! The two read models of the benchmark: their SQL, in the product's words and in a plain loop's, and what
//! must come out of them.

use std::path::Path;

use anyhow::{Context, bail};
use rusqlite::{Connection, OpenFlags};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadModel {
    /// A balance an account, of which there are as many as streams: for what works event by event.
    Balance,
    /// Sales an item, of which there are few: for what aggregates before it writes.
    Sales,
}

/// A row: key, how many events, their sum.
type Row = (String, i64, i64);

/// What must come out.
pub(crate) type Rows = Vec<Row>;

pub(crate) const BALANCE_SCHEMA: &str = "CREATE TABLE balance (account TEXT PRIMARY KEY, \
     events INTEGER NOT NULL, cents INTEGER NOT NULL CHECK (cents >= 0))";
pub(crate) const SALES_SCHEMA: &str = "CREATE TABLE sales (item TEXT PRIMARY KEY, \
     events INTEGER NOT NULL, cents INTEGER NOT NULL CHECK (cents >= 0))";

/// The statement of an event, with positional parameters.
pub(crate) const UPSERT: &str = "INSERT INTO balance (account, events, cents) VALUES (?1, 1, ?2) \
     ON CONFLICT (account) DO UPDATE SET events = balance.events + 1, cents = balance.cents + excluded.cents";
/// The same in a projection's SQL.
pub(crate) const ON_SOLD: &str = "INSERT INTO balance (account, events, cents) \
     VALUES (:data.account, 1, :data.cents) \
     ON CONFLICT (account) DO UPDATE SET events = balance.events + 1, cents = balance.cents + excluded.cents";

/// The statement of a batch over the log, between two places in it.
pub(crate) const AGGREGATE: &str = "INSERT INTO sales (item, events, cents) \
     SELECT data->>'item', count(*), sum(data->>'cents') FROM highwater_event \
     WHERE (position, \"offset\") > (?1, ?2) AND (position, \"offset\") <= (?3, ?4) GROUP BY 1 \
     ON CONFLICT (item) \
     DO UPDATE SET events = sales.events + excluded.events, cents = sales.cents + excluded.cents";
/// The same in a projection's SQL.
pub(crate) const APPLY: &str = "INSERT INTO sales (item, events, cents) \
     SELECT data->>'item', count(*), sum(data->>'cents') FROM events WHERE true GROUP BY 1 \
     ON CONFLICT (item) \
     DO UPDATE SET events = sales.events + excluded.events, cents = sales.cents + excluded.cents";

impl ReadModel {
    const fn table(self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::Sales => "sales",
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Balance => "account",
            Self::Sales => "item",
        }
    }

    /// The statement that creates its table.
    pub(crate) const fn schema(self) -> &'static str {
        match self {
            Self::Balance => BALANCE_SCHEMA,
            Self::Sales => SALES_SCHEMA,
        }
    }

    /// What the first `events` of a log make of it, by one statement that owes nothing to any contestant.
    /// Events that the read model refuses are left out.
    pub(crate) fn expected(self, log: &Path, events: u32) -> anyhow::Result<Rows> {
        let key = self.key();
        let sql = format!(
            "SELECT data->>'{key}', count(*), sum(data->>'cents') \
             FROM (SELECT data FROM highwater_event ORDER BY position, \"offset\" LIMIT {events}) \
             WHERE CASE WHEN json_valid(data) THEN data->>'cents' >= 0 ELSE false END GROUP BY 1 ORDER BY 1"
        );
        rows(log, &sql).context("compute what must come out")
    }

    /// Compares the read model in `database` with what must come out.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) fn check(self, database: &Path, expected: &Rows) -> anyhow::Result<()> {
        let (table, key) = (self.table(), self.key());
        let found = rows(database, &format!("SELECT {key}, events, cents FROM {table} ORDER BY 1"))
            .context("read the read model")?;
        if found == *expected {
            return Ok(());
        }
        let at = found.iter().zip(expected).position(|(found, expected)| found != expected);
        let at = at.unwrap_or(found.len().min(expected.len()));
        bail!(
            "{table} has {} rows instead of {}; the first that differs is {:?} instead of {:?}",
            found.len(),
            expected.len(),
            found.get(at),
            expected.get(at)
        );
    }
}

fn rows(database: &Path, sql: &str) -> anyhow::Result<Rows> {
    let conn = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

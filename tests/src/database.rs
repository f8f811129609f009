//! The database as anybody else sees it: through a connection that is not Highwater's.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// What the figures of a run are read from, whatever the database.
pub trait Tables {
    /// The first column as text.
    fn texts(&self, sql: &str) -> Vec<String>;

    /// The first column by its second, a number.
    ///
    /// # Panics
    /// When a key comes twice.
    fn counts(&self, sql: &str) -> BTreeMap<String, u64>;

    /// One number, 0 for NULL.
    fn number(&self, sql: &str) -> i64;
}

/// A connection of the test's own.
pub struct Database(Connection);

impl Database {
    /// Opens a database that exists, for reading.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens a database that exists, for tampering with it.
    #[must_use]
    pub fn write(path: &Path) -> Self {
        Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn open(path: &Path, mode: OpenFlags) -> Self {
        let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
        connection.busy_timeout(Duration::from_secs(10)).expect("a time-out can be set");
        Self(connection)
    }

    /// Runs statements.
    pub fn run(&self, sql: &str) {
        self.0.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// One number; `None` where the table is not there yet.
    #[must_use]
    pub fn try_number(&self, sql: &str) -> Option<i64> {
        match self.0.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)) {
            Ok(number) => Some(number.unwrap_or(0)),
            Err(error) if error.to_string().contains("no such table") => None,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// One number, 0 for NULL.
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        self.try_number(sql).unwrap_or_else(|| panic!("{sql}: no such table"))
    }

    /// The first column as text.
    #[must_use]
    pub fn texts(&self, sql: &str) -> Vec<String> {
        self.rows(sql, |row| row.get(0))
    }

    /// The first column by its second, a number.
    #[must_use]
    pub fn counts(&self, sql: &str) -> BTreeMap<String, u64> {
        let rows = self.rows(sql, |row| {
            let count = row.get::<_, i64>(1)?;
            Ok((row.get::<_, String>(0)?, u64::try_from(count).unwrap_or_else(|_| panic!("{sql}: {count}"))))
        });
        let (count, map) = (rows.len(), rows.into_iter().collect::<BTreeMap<_, _>>());
        assert_eq!(map.len(), count, "{sql}: a key came twice");
        map
    }

    /// All rows.
    pub fn rows<T>(&self, sql: &str, read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        let mut statement = self.0.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = statement.query_map([], read).and_then(Iterator::collect);
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Whether another connection is inside a write transaction: then there can be no second one.
    #[must_use]
    pub fn is_being_written(&self) -> bool {
        self.0.busy_timeout(Duration::ZERO).expect("a time-out can be set");
        let begun = self.0.execute_batch("BEGIN IMMEDIATE");
        if begun.is_ok() {
            self.run("ROLLBACK");
        }
        self.0.busy_timeout(Duration::from_secs(10)).expect("a time-out can be set");
        match begun {
            Ok(()) => false,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => true,
            Err(error) => panic!("cannot ask for the write lock: {error}"),
        }
    }

    /// A connection that holds the write lock until it is dropped.
    #[must_use]
    pub fn lock(path: &Path) -> Self {
        let this = Self::write(path);
        this.run("BEGIN IMMEDIATE");
        this
    }
}

impl Tables for Database {
    fn texts(&self, sql: &str) -> Vec<String> {
        Self::texts(self, sql)
    }

    fn counts(&self, sql: &str) -> BTreeMap<String, u64> {
        Self::counts(self, sql)
    }

    fn number(&self, sql: &str) -> i64 {
        Self::number(self, sql)
    }
}

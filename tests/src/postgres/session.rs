//! The database as anybody else sees it: through a connection that is not Highwater's.

use std::collections::BTreeMap;

use highwater_postgres::PgConnection;
use highwater_postgres::sqlx::postgres::PgRow;
use highwater_postgres::sqlx::{self, AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tokio::sync::Mutex;

use crate::database::Tables;

use super::wait::wait_for;

/// What a query fails with where the table is not there.
const NO_SUCH_TABLE: &str = "42P01";

/// A connection of the test's own. Dropping it ends its transaction, if it is in one.
pub struct Session(Mutex<PgConnection>);

impl Session {
    /// Connects.
    ///
    /// # Panics
    /// When that is not possible.
    #[must_use]
    pub fn open(url: &str) -> Self {
        Self::try_open(url).unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
    }

    /// Connects, if a server takes it.
    ///
    /// # Errors
    /// The driver's.
    pub fn try_open(url: &str) -> sqlx::Result<Self> {
        wait_for(PgConnection::connect(url)).map(|connection| Self(Mutex::new(connection)))
    }

    /// Runs statements.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Runs statements that may fail.
    ///
    /// # Errors
    /// The driver's.
    pub fn try_run(&self, sql: &str) -> sqlx::Result<()> {
        wait_for(async {
            let mut connection = self.0.lock().await;
            connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(|_| ())
        })
    }

    /// All rows.
    ///
    /// # Errors
    /// The driver's.
    pub fn try_rows(&self, sql: &str) -> sqlx::Result<Vec<PgRow>> {
        wait_for(async {
            let mut connection = self.0.lock().await;
            connection.fetch_all(sqlx::query(AssertSqlSafe(sql.to_owned()))).await
        })
    }

    /// All rows.
    #[track_caller]
    #[must_use]
    pub fn rows(&self, sql: &str) -> Vec<PgRow> {
        self.try_rows(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// One number (`bigint` or `int`), 0 for NULL or no row; `None` where the table is not there yet.
    #[track_caller]
    #[must_use]
    pub fn try_number(&self, sql: &str) -> Option<i64> {
        match self.try_rows(sql) {
            Ok(rows) => Some(rows.first().map_or(0, |row| number(sql, row, 0))),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_SUCH_TABLE) => None,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// One number, 0 for NULL.
    #[track_caller]
    #[must_use]
    pub fn number(&self, sql: &str) -> i64 {
        self.try_number(sql).unwrap_or_else(|| panic!("{sql}: no such table"))
    }

    /// The process that serves this connection.
    #[must_use]
    pub fn pid(&self) -> i64 {
        self.number("SELECT pg_backend_pid()")
    }
}

impl Tables for Session {
    fn texts(&self, sql: &str) -> Vec<String> {
        self.rows(sql).iter().map(|row| text(sql, row)).collect()
    }

    fn counts(&self, sql: &str) -> BTreeMap<String, u64> {
        let rows = self.rows(sql);
        let count = |row| {
            let count = number(sql, row, 1);
            u64::try_from(count).unwrap_or_else(|_| panic!("{sql}: {count}"))
        };
        let map: BTreeMap<_, _> = rows.iter().map(|row| (text(sql, row), count(row))).collect();
        assert_eq!(map.len(), rows.len(), "{sql}: a key came twice");
        map
    }

    fn number(&self, sql: &str) -> i64 {
        Self::number(self, sql)
    }
}

fn text(sql: &str, row: &PgRow) -> String {
    row.try_get(0).unwrap_or_else(|error| panic!("{sql}: {error}: cast it to text"))
}

fn number(sql: &str, row: &PgRow, column: usize) -> i64 {
    let long = row.try_get::<Option<i64>, _>(column);
    let short = || row.try_get::<Option<i32>, _>(column).map(|number| number.map(i64::from));
    let number =
        long.or_else(|_| short()).unwrap_or_else(|error| panic!("{sql}: {error}: cast it to bigint"));
    number.unwrap_or(0)
}

//! Our own tables, and how a file gets them.
//!
//! Each step is a numbered file, applied in one transaction together with the number that says so, in a table
//! of our own: the user's tables and `PRAGMA user_version` are never touched. A step that was released is
//! never changed; what comes later is a new step.

use highwater_core::error::{Error, ErrorKind};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::error::During;

const MIGRATE: &str = "bring the database up to date";
const STEPS: &[&str] = &[
    include_str!("0001_initial.sql"),
    include_str!("0002_read_model_tables.sql"),
    include_str!("0003_checkpoint_keys.sql"),
];

/// The version of the tables that this program works with.
pub(crate) fn latest() -> i64 {
    i64::try_from(STEPS.len()).expect("there are few steps")
}

/// Makes sure that the file has the tables of this version; creates them where `apply` permits it.
///
/// # Errors
/// `Unsupported` if a newer version has written the file; `Invalid` if it needs a step that may not be
/// applied.
pub(crate) fn ensure(conn: &Connection, apply: bool) -> Result<(), Error> {
    loop {
        let version = version(conn)?;
        if version == latest() {
            return Ok(());
        }
        let versions =
            |kind| Error::new(kind, "open the database").with("schema", version).with("ours", latest());
        if version > latest() {
            return Err(versions(ErrorKind::Unsupported).because(format!(
                "a newer version of highwater has written its tables: they are of version {version}, this \
                 program knows up to {}; use the newer program, or another file",
                latest()
            )));
        }
        if !apply {
            return Err(versions(ErrorKind::Invalid).because(format!(
                "its tables are of version {version}, this program needs {}; migrate it first \
                 (`highwater migrate`)",
                latest()
            )));
        }
        step(conn)?;
    }
}

/// The version of the tables in the file; 0 where there are none.
fn version(conn: &Connection) -> Result<i64, Error> {
    let read = || -> rusqlite::Result<i64> {
        let there: bool = conn.query_row(
            "SELECT EXISTS (SELECT 1 FROM main.sqlite_schema
                 WHERE type = 'table' AND name = 'highwater_meta')",
            [],
            |row| row.get(0),
        )?;
        if !there {
            return Ok(0);
        }
        let version = conn
            .query_row("SELECT value FROM highwater_meta WHERE key = 'schema_version'", [], |row| row.get(0))
            .optional()?;
        Ok(version.unwrap_or(0))
    };
    read().during("read the version of the database")
}

/// Applies the next step; the version is read again under the write lock, since another process may be as
/// far.
fn step(conn: &Connection) -> Result<(), Error> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).during(MIGRATE)?;
    let next = version(&tx)?;
    if let Some(sql) = usize::try_from(next).ok().and_then(|next| STEPS.get(next)) {
        tx.execute_batch(
            "CREATE TABLE IF NOT EXISTS highwater_meta
                 (key TEXT NOT NULL PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        )
        .and_then(|()| tx.execute_batch(sql))
        .and_then(|()| {
            tx.execute(
                "INSERT INTO highwater_meta (key, value) VALUES ('schema_version', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [next + 1],
            )
        })
        .during(MIGRATE)
        .map_err(|error| error.with("step", next + 1))?;
    }
    tx.commit().during(MIGRATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_its_tables_once_and_keeps_the_users() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE users (x); PRAGMA user_version = 7").unwrap();
        assert_eq!(ensure(&conn, false).unwrap_err().kind(), ErrorKind::Invalid);
        ensure(&conn, true).unwrap();
        ensure(&conn, false).unwrap();
        assert_eq!(version(&conn).unwrap(), latest());
        let user_version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(user_version, 7);
        conn.execute_batch("SELECT x FROM users; SELECT position FROM highwater_event").unwrap();
    }

    #[test]
    fn a_file_of_the_first_version_is_brought_up_to_date_and_keeps_its_events() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE highwater_meta (key TEXT NOT NULL PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        )
        .and_then(|()| conn.execute_batch(STEPS[0]))
        .and_then(|()| conn.execute_batch("INSERT INTO highwater_meta VALUES ('schema_version', 1)"))
        .and_then(|()| {
            conn.execute_batch(
                "INSERT INTO highwater_event VALUES (1, 0, x'00', 's', 's', 0, 'T', 0, '{}', '{}');
                 INSERT INTO highwater_checkpoint VALUES ('key', zeroblob(8), zeroblob(8), 0)",
            )
        })
        .unwrap();
        assert_eq!(ensure(&conn, false).unwrap_err().kind(), ErrorKind::Invalid);
        ensure(&conn, true).unwrap();
        assert_eq!(version(&conn).unwrap(), latest());
        let events: i64 =
            conn.query_row("SELECT count(*) FROM highwater_event", [], |row| row.get(0)).unwrap();
        assert_eq!(events, 1);
        conn.execute_batch("SELECT projection FROM highwater_read_model_table").unwrap();
        let stored = "SELECT key FROM highwater_checkpoint_key WHERE stored AND owner IS NULL";
        let known: String = conn.query_row(stored, [], |row| row.get(0)).unwrap();
        assert_eq!(known, "key", "a checkpoint that is lost later on is told from one that never was");
    }

    #[test]
    fn a_step_that_fails_leaves_nothing() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE highwater_letter (x)").unwrap();
        assert_eq!(ensure(&conn, true).unwrap_err().kind(), ErrorKind::Schema);
        assert_eq!(version(&conn).unwrap(), 0);
        let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
        let tables: i64 = conn.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }
}

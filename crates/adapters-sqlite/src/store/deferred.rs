//! Deferred foreign keys, before the savepoint is released (E-19).
//!
//! SQLite looks at a deferred foreign key when the transaction commits: too late to know which event broke
//! it. So where a schema has such keys, the tables that declare them are checked at each release. SQLite
//! counts open violations, but tells the count to nobody; the check reads the child tables, so it costs as
//! much as they are large. Schemas without such keys pay one look at the schema's number.

use rusqlite::Connection;

use highwater_core::error::{Error, ErrorKind};

use crate::error::During;

const CHECK: &str = "check deferred foreign keys";

/// The tables with deferred foreign keys, as of a version of the schema.
#[derive(Debug, Default)]
pub(super) struct DeferredKeys {
    schema: Option<i64>,
    tables: Vec<String>,
    /// Violations that stood there before the runner came, for instance from an import with checks off.
    standing: i64,
}

impl DeferredKeys {
    /// Notes what is there before a projection works.
    pub(super) fn note(&mut self, conn: &Connection) -> Result<(), Error> {
        if self.refresh(conn).during(CHECK)? {
            self.standing = self.violations(conn).during(CHECK)?;
        }
        Ok(())
    }

    /// Fails with `Constraint` if there are violations that were not there before.
    pub(super) fn check(&mut self, conn: &Connection) -> Result<(), Error> {
        if self.refresh(conn).during(CHECK)? {
            self.standing = 0;
        }
        if self.tables.is_empty() || self.violations(conn).during(CHECK)? <= self.standing {
            return Ok(());
        }
        let (table, parent) = self.first(conn).during(CHECK)?;
        Err(Error::new(ErrorKind::Constraint, CHECK)
            .with("table", table)
            .with("parent", parent)
            .code("SQLITE_CONSTRAINT_FOREIGNKEY")
            .because("FOREIGN KEY constraint failed: a row refers to a parent that is not there"))
    }

    /// Reads the schema if it has changed; says whether it has.
    fn refresh(&mut self, conn: &Connection) -> rusqlite::Result<bool> {
        let schema =
            conn.prepare_cached("PRAGMA main.schema_version")?.query_row([], |row| row.get::<_, i64>(0))?;
        if self.schema == Some(schema) {
            return Ok(false);
        }
        self.tables = conn
            .prepare_cached(
                "SELECT name FROM main.sqlite_schema
                 WHERE type = 'table' AND sql LIKE '%DEFERRABLE%INITIALLY%DEFERRED%'",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        self.schema = Some(schema);
        Ok(true)
    }

    fn violations(&self, conn: &Connection) -> rusqlite::Result<i64> {
        let mut count = conn.prepare_cached("SELECT count(*) FROM pragma_foreign_key_check(?1)")?;
        self.tables.iter().map(|table| count.query_row([table], |row| row.get::<_, i64>(0))).sum()
    }

    fn first(&self, conn: &Connection) -> rusqlite::Result<(String, String)> {
        let mut select =
            conn.prepare_cached("SELECT \"table\", parent FROM pragma_foreign_key_check(?1) LIMIT 1")?;
        for table in &self.tables {
            let mut rows = select.query([table])?;
            if let Some(row) = rows.next()? {
                return Ok((row.get(0)?, row.get(1)?));
            }
        }
        Ok(Default::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);",
        )
        .unwrap();
        conn
    }

    #[test]
    fn e_19_a_new_violation_is_found_and_a_mended_one_is_none() {
        let conn = conn();
        let mut keys = DeferredKeys::default();
        conn.execute_batch("BEGIN; SAVEPOINT s").unwrap();
        keys.note(&conn).unwrap();
        conn.execute_batch("INSERT INTO child VALUES (1)").unwrap();
        let error = keys.check(&conn).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Constraint);
        assert!(error.to_string().contains("child") && error.to_string().contains("parent"), "{error}");
        conn.execute_batch("INSERT INTO parent VALUES (1)").unwrap();
        keys.check(&conn).unwrap();
    }

    #[test]
    fn what_was_broken_before_is_nobodys_fault() {
        let conn = conn();
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (1); PRAGMA foreign_keys = ON",
        )
        .unwrap();
        let mut keys = DeferredKeys::default();
        keys.note(&conn).unwrap();
        keys.check(&conn).unwrap();
        conn.execute_batch("BEGIN; INSERT INTO child VALUES (2)").unwrap();
        assert_eq!(keys.check(&conn).unwrap_err().kind(), ErrorKind::Constraint);
    }

    #[test]
    fn a_schema_that_changes_inside_the_transaction_is_seen() {
        let conn = Connection::open_in_memory().unwrap();
        let mut keys = DeferredKeys::default();
        conn.execute_batch("BEGIN").unwrap();
        keys.note(&conn).unwrap();
        conn.execute_batch(
            "CREATE TABLE node (
                 id INTEGER PRIMARY KEY, up INTEGER REFERENCES node (id) DEFERRABLE INITIALLY DEFERRED);
             INSERT INTO node VALUES (1, 9)",
        )
        .unwrap();
        assert_eq!(keys.check(&conn).unwrap_err().kind(), ErrorKind::Constraint);
    }
}

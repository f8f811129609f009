//! The tables of a read model: made at the start, emptied for a rebuild.

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ProjectionName;
use highwater_core::sql::StatementKind;
use rusqlite::Connection;

use crate::error::sqlite_error;

use super::script::Script;

/// Runs the schema.
///
/// A table that held rows before it and holds them after it is refused: the log is about to be applied from
/// its start, and would be added to what another version, or somebody else, has put there.
pub(super) fn create(
    conn: &Connection,
    projection: &ProjectionName,
    schema: &Script,
    creates: &[String],
) -> Result<(), Error> {
    let mut occupied = Vec::new();
    for table in creates {
        if holds_rows(conn, table)? {
            occupied.push(table);
        }
    }
    for index in 0..schema.statements().len() {
        schema.run(conn, index)?;
        let mut still = Vec::new();
        for table in occupied {
            if holds_rows(conn, table)? {
                still.push(table);
            }
        }
        occupied = still;
    }
    match occupied.first() {
        None => Ok(()),
        Some(table) => Err(Error::new(ErrorKind::AlreadyExists, "create the read model")
            .with("projection", projection)
            .with("table", table)
            .because(format!(
                "the table holds rows already, and the events would be applied on top of them: put \
                 `DROP TABLE IF EXISTS {};` before its CREATE TABLE in the schema, or give the new table another name",
                quoted(table)
            ))),
    }
}

/// Empties the tables, and runs what the schema inserts when they are those that it creates.
pub(super) fn clear(
    conn: &Connection,
    projection: &ProjectionName,
    schema: Option<&Script>,
    creates: &[String],
    explicit: Option<&[String]>,
) -> Result<(), Error> {
    let tables = explicit.unwrap_or(creates);
    if tables.is_empty() {
        let refused = Error::new(ErrorKind::Invalid, "empty the read model").with("projection", projection);
        return Err(refused.because(
            "no table is known to be its own: create them in `schema`, or name them in `tables = [...]`",
        ));
    }
    let failed = |error| sqlite_error("empty the read model", error);
    if let Some(missing) = first_missing(conn, tables)? {
        return Err(Error::new(ErrorKind::NotFound, "empty the read model")
            .with("projection", projection)
            .with("table", missing)
            .because("the database has no such table; if `schema` has changed, raise the version instead"));
    }
    let numbered = exists(conn, "sqlite_sequence")?;
    for table in referring_first(conn, tables)? {
        conn.execute(&format!("DELETE FROM main.{}", quoted(table)), []).map_err(failed)?;
        if numbered {
            conn.execute("DELETE FROM main.sqlite_sequence WHERE name = ?1 COLLATE NOCASE", [table])
                .map_err(failed)?;
        }
    }
    let Some(schema) = schema.filter(|_| explicit.is_none()) else { return Ok(()) };
    for (index, statement) in schema.statements().iter().enumerate() {
        if statement.kind() == StatementKind::Dml {
            schema.run(conn, index)?;
        }
    }
    Ok(())
}

fn first_missing<'t>(conn: &Connection, tables: &'t [String]) -> Result<Option<&'t String>, Error> {
    for table in tables {
        if !exists(conn, table)? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

/// The tables in an order in which each can be emptied: before those that its foreign keys refer to. Tables
/// that refer to each other in a circle come last, as they are.
fn referring_first<'t>(conn: &Connection, tables: &'t [String]) -> Result<Vec<&'t String>, Error> {
    let failed = |error| sqlite_error("read the foreign keys of the read model", error);
    let mut rest = Vec::new();
    for table in tables {
        let targets = conn
            .prepare_cached("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(?1, 'main')")
            .and_then(|mut ask| {
                ask.query_map([table], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()
            })
            .map_err(failed)?;
        rest.push((table, targets));
    }
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let referred_to = |table: &str| {
            let others = rest.iter().filter(|(other, _)| !other.eq_ignore_ascii_case(table));
            others.flat_map(|(_, targets)| targets).any(|target| target.eq_ignore_ascii_case(table))
        };
        let next = rest.iter().position(|(table, _)| !referred_to(table)).unwrap_or(0);
        ordered.push(rest.remove(next).0);
    }
    Ok(ordered)
}

fn exists(conn: &Connection, table: &str) -> Result<bool, Error> {
    conn.prepare_cached("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE")
        .and_then(|mut ask| ask.exists([table]))
        .map_err(|error| sqlite_error("look for a table of the read model", error))
}

fn holds_rows(conn: &Connection, table: &str) -> Result<bool, Error> {
    if !exists(conn, table)? {
        return Ok(false);
    }
    conn.query_row(&format!("SELECT EXISTS (SELECT 1 FROM main.{})", quoted(table)), [], |row| row.get(0))
        .map_err(|error| sqlite_error("look into a table of the read model", error).with("table", table))
}

/// An identifier in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

//! Whose the tables of the read models are (E-14).
//!
//! What a set-up creates is known only while it runs, and the next projection may come years later, in another
//! process. So it is written down, in the transaction that creates the tables.

use rusqlite::{Connection, OptionalExtension};

use highwater_core::error::Error;
use highwater_core::model::ProjectionName;
use highwater_core::ports::TableTaken;

use crate::error::During;

const OWN: &str = "give tables to a projection";

/// Forgets the owners of tables that are gone, and owners that are no projections any more.
pub(super) fn tidy(conn: &Connection) -> Result<(), Error> {
    conn.prepare_cached(
        "DELETE FROM highwater_read_model_table AS owned
         WHERE NOT EXISTS (SELECT 1 FROM main.sqlite_schema AS there
                           WHERE there.type = 'table' AND there.name = owned.name COLLATE NOCASE)
            OR NOT EXISTS (SELECT 1 FROM highwater_projection AS known WHERE known.name = owned.projection)",
    )
    .and_then(|mut delete| delete.execute([]))
    .map(|_| ())
    .during(OWN)
}

/// Gives these tables to the projection; answers those that are another's.
pub(super) fn own(
    conn: &Connection,
    name: &ProjectionName,
    tables: impl IntoIterator<Item = String>,
) -> Result<Vec<TableTaken>, Error> {
    let mut taken = Vec::new();
    for table in tables {
        let owner = owner(conn, &table).during(OWN)?;
        match owner {
            Some(owner) if owner != name.as_str() => {
                let owner = ProjectionName::new(&owner).map_err(|error| crate::error::corrupt(OWN, error))?;
                taken.push(TableTaken { table, owner });
            }
            _ => conn
                .prepare_cached("INSERT OR REPLACE INTO highwater_read_model_table VALUES (?1, ?2)")
                .and_then(|mut insert| insert.execute((&table, name.as_str())))
                .map(|_| ())
                .during(OWN)?,
        }
    }
    Ok(taken)
}

fn owner(conn: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    conn.prepare_cached(
        "SELECT projection FROM highwater_read_model_table
         WHERE name = ?1 AND projection IN (SELECT name FROM highwater_projection)",
    )?
    .query_row([table], |row| row.get(0))
    .optional()
}

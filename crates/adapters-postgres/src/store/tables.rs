//! Whose a table is (E-14).
//!
//! The server does not tell which tables a transaction creates, so what is there afterwards is compared with
//! what was there before. Others create tables at the same time, and theirs may be committed in between: so only
//! that counts on which this transaction has the lock of a creator. It is done once a start, not once a batch.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use highwater_core::error::Error;
use highwater_core::model::ProjectionName;
use highwater_core::ports::TableTaken;

use crate::columns::Columns;
use crate::error::During;
use crate::schema::Schema;

const NOTE: &str = "note the tables that are there";
const OWN: &str = "give tables to a projection";

/// The tables of the database, as SQL writes them; temporary ones and the server's own are left out.
pub(super) async fn there(connection: &mut PgConnection) -> Result<BTreeSet<String>, Error> {
    let names = tables(connection).await?;
    Ok(names.into_iter().map(|(name, _)| name).collect())
}

/// The same, and whether this transaction has locked them as one that creates does.
async fn tables(connection: &mut PgConnection) -> Result<Vec<(String, bool)>, Error> {
    sqlx::query_as(
        "SELECT format('%I.%I', n.nspname, c.relname),
             EXISTS (SELECT FROM pg_locks l
                     WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.relation = c.oid
                         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                         AND l.mode = 'AccessExclusiveLock' AND l.granted)
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND NOT c.relispartition
             AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'",
    )
    .fetch_all(connection)
    .await
    .during(NOTE)
}

/// Gives what was created since `noted`, and what is named, to a projection; answers what is another's.
pub(super) async fn own(
    connection: &mut PgConnection,
    names: &Schema,
    projection: &ProjectionName,
    named: &[String],
    noted: Option<&BTreeSet<String>>,
) -> Result<Vec<TableTaken>, Error> {
    let created: Vec<String> = match noted {
        None => Vec::new(),
        Some(before) => {
            let tables = tables(&mut *connection).await?.into_iter();
            tables.filter(|(name, locked)| *locked && !before.contains(name)).map(|(name, _)| name).collect()
        }
    };
    let known: Vec<bool> = created.iter().map(|_| true).chain(named.iter().map(|_| false)).collect();
    let tables: Vec<&str> = created.iter().chain(named).map(String::as_str).collect();
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let statement = names.sql("SELECT taken, by_projection FROM highwater.own_tables($1, $2, $3)");
    let rows = sqlx::query(statement.safe())
        .bind(projection.as_str())
        .bind(tables)
        .bind(known)
        .fetch_all(connection)
        .await
        .during(OWN)?;
    rows.iter()
        .map(|row| {
            let mut columns = Columns::from(row, 0, OWN);
            let (table, owner): (String, String) = (columns.take()?, columns.take()?);
            let owner = ProjectionName::new(&owner).map_err(|error| columns.corrupt(error))?;
            Ok(TableTaken { table, owner })
        })
        .collect()
}

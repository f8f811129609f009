//! One INSERT … SELECT a batch.

use std::path::Path;

use rusqlite::OptionalExtension;

use super::{MOVE_CHECKPOINT, Place, START, Transaction, open_with};
use crate::sqlite::read_model::{AGGREGATE, SALES_SCHEMA};

/// The last place of the next batch: the key alone is read, so this costs little beside the aggregate.
const END_OF_BATCH: &str = "SELECT position, \"offset\" FROM highwater_event \
     WHERE (position, \"offset\") > (?1, ?2) ORDER BY position, \"offset\" LIMIT 1 OFFSET ?3";
const END_OF_LOG: &str = "SELECT position, \"offset\" FROM highwater_event \
     WHERE (position, \"offset\") > (?1, ?2) ORDER BY position DESC, \"offset\" DESC LIMIT 1";

pub(crate) const SET_BASED_SQL: [&str; 4] = [END_OF_BATCH, END_OF_LOG, AGGREGATE, MOVE_CHECKPOINT];

/// Aggregates the whole log into `sales`, `batch` events a transaction.
pub(crate) fn set_based(database: &Path, batch: u32) -> anyhow::Result<()> {
    let conn = open_with(database, SALES_SCHEMA)?;
    let mut transaction = Transaction::new(&conn)?;
    let mut end_of_batch = conn.prepare(END_OF_BATCH)?;
    let mut end_of_log = conn.prepare(END_OF_LOG)?;
    let mut aggregate = conn.prepare(AGGREGATE)?;
    let place = |row: &rusqlite::Row<'_>| Ok(Place { position: row.get(0)?, offset: row.get(1)? });
    let mut after = START;
    loop {
        transaction.begin()?;
        let mut through =
            end_of_batch.query_row((after.position, after.offset, batch - 1), place).optional()?;
        if through.is_none() {
            through = end_of_log.query_row((after.position, after.offset), place).optional()?;
        }
        let Some(through) = through else { break };
        aggregate.execute((after.position, after.offset, through.position, through.offset))?;
        transaction.commit(through)?;
        after = through;
    }
    conn.execute_batch("ROLLBACK")?;
    Ok(())
}

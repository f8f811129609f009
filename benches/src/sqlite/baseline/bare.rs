//! One prepared statement an event.

use std::path::Path;

use rusqlite::Connection;

use super::{MOVE_CHECKPOINT, Place, READ, START, Transaction, open_with};
use crate::data::Sold;
use crate::sqlite::read_model::{BALANCE_SCHEMA, UPSERT};

/// What stands around each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing: one bad event fails the batch.
    Nothing,
    /// A savepoint.
    Savepoint,
}

const SAVEPOINT: &str = "SAVEPOINT event";
const RELEASE: &str = "RELEASE event";

pub(crate) const BARE_SQL: [&str; 3] = [READ, UPSERT, MOVE_CHECKPOINT];
pub(crate) const SAVEPOINT_SQL: [&str; 5] = [READ, SAVEPOINT, UPSERT, RELEASE, MOVE_CHECKPOINT];

/// Applies the first `events` of the log to `balance`, `batch` events a transaction.
pub(crate) fn bare(database: &Path, events: u32, batch: u32, guard: Guard) -> anyhow::Result<()> {
    let conn = open_with(database, BALANCE_SCHEMA)?;
    let mut transaction = Transaction::new(&conn)?;
    let mut after = START;
    let mut left = events;
    while left > 0 {
        transaction.begin()?;
        let (applied, through) = one_batch(&conn, after, left.min(batch), guard)?;
        transaction.commit(through)?;
        if applied == 0 {
            break;
        }
        after = through;
        left -= applied;
    }
    Ok(())
}

fn one_batch(conn: &Connection, after: Place, limit: u32, guard: Guard) -> anyhow::Result<(u32, Place)> {
    let mut read = conn.prepare_cached(READ)?;
    let mut upsert = conn.prepare_cached(UPSERT)?;
    let mut savepoint = conn.prepare_cached(SAVEPOINT)?;
    let mut release = conn.prepare_cached(RELEASE)?;
    let mut rows = read.query((after.position, after.offset, limit))?;
    let (mut applied, mut through) = (0, after);
    while let Some(row) = rows.next()? {
        through = Place { position: row.get(0)?, offset: row.get(1)? };
        let sold: Sold<'_> = serde_json::from_slice(row.get_ref(2)?.as_bytes()?)?;
        if guard == Guard::Savepoint {
            savepoint.execute([])?;
        }
        upsert.execute((sold.account, sold.cents))?;
        if guard == Guard::Savepoint {
            release.execute([])?;
        }
        applied += 1;
    }
    Ok((applied, through))
}

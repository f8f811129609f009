//! The checkpoints themselves.

use rusqlite::{Connection, Row};

use highwater_core::error::Error;
use highwater_core::model::{Advance, Checkpoint, Position};
use highwater_core::ports::CheckpointPage;

use crate::error::{During, corrupt};
use crate::number::limit as at_most;
use crate::prefix::end_of;

use super::keys;

const READ: &str = "read a checkpoint";
pub(super) const SET: &str = "set a checkpoint";

pub(super) fn read(conn: &Connection, key: &str) -> Result<Option<Checkpoint>, Error> {
    let mut select = conn
        .prepare_cached("SELECT \"commit\", \"prepare\", updated_at FROM highwater_checkpoint WHERE key = ?1")
        .during(READ)?;
    let mut rows = select.query([key]).during(READ)?;
    let found = rows.next().during(READ)?.map(|row| checkpoint_in(row, 0)).transpose();
    found.map_err(|error| error.with("key", key))
}

fn checkpoint_in(row: &Row<'_>, first: usize) -> Result<Checkpoint, Error> {
    let half = |index| {
        let bytes: [u8; 8] = row.get(index).map_err(|cause| corrupt(READ, cause))?;
        Ok::<_, Error>(u64::from_be_bytes(bytes))
    };
    let position = Position::new(half(first)?, half(first + 1)?);
    let updated_at_micros = row.get(first + 2).map_err(|cause| corrupt(READ, cause))?;
    Ok(Checkpoint { position, updated_at_micros })
}

/// Moves forward in one statement; asks what is there only where that did not move.
pub(super) fn advance(conn: &Connection, key: &str, to: Position, now: i64) -> Result<Advance, Error> {
    let moved = conn
        .prepare_cached(
            "UPDATE highwater_checkpoint SET \"commit\" = ?2, \"prepare\" = ?3, updated_at = ?4
             WHERE key = ?1 AND (?2, ?3) > (\"commit\", \"prepare\")",
        )
        .and_then(|mut set| set.execute((key, to.commit().to_be_bytes(), to.prepare().to_be_bytes(), now)))
        .during(SET)?;
    if moved > 0 {
        return Ok(Advance::Applied);
    }
    match read(conn, key)?.map(|stored| stored.position) {
        Some(stored) if stored == to => Ok(Advance::Unchanged),
        Some(current) => Ok(Advance::Stale { current }),
        None => {
            keys::stored(conn, key)?;
            conn.prepare_cached("INSERT INTO highwater_checkpoint VALUES (?1, ?2, ?3, ?4)")
                .and_then(|mut insert| {
                    insert.execute((key, to.commit().to_be_bytes(), to.prepare().to_be_bytes(), now))
                })
                .during(SET)?;
            Ok(Advance::Applied)
        }
    }
}

/// Goes anywhere; the checkpoint is there.
pub(super) fn replace(
    conn: &Connection,
    key: &str,
    to: Position,
    now: i64,
    operation: &'static str,
) -> Result<(), Error> {
    conn.execute(
        "UPDATE highwater_checkpoint SET \"commit\" = ?2, \"prepare\" = ?3, updated_at = ?4 WHERE key = ?1",
        (key, to.commit().to_be_bytes(), to.prepare().to_be_bytes(), now),
    )
    .during(operation)?;
    Ok(())
}

pub(super) fn scan(
    conn: &Connection,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<CheckpointPage, Error> {
    const SCAN: &str = "scan checkpoints";
    let mut select = conn
        .prepare_cached(
            "SELECT key, \"commit\", \"prepare\", updated_at FROM highwater_checkpoint
             WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) AND (?3 IS NULL OR key > ?3) ORDER BY key LIMIT ?4",
        )
        .during(SCAN)?;
    let limit = at_most(limit);
    let mut rows = select.query((prefix, end_of(prefix), after, limit)).during(SCAN)?;
    let mut page = CheckpointPage::default();
    while let Some(row) = rows.next().during(SCAN)? {
        let key: String = row.get(0).during(SCAN)?;
        let checkpoint = checkpoint_in(row, 1).map_err(|error| error.with("key", &key))?;
        page.checkpoints.push((key, checkpoint));
    }
    if i64::try_from(page.checkpoints.len()).is_ok_and(|found| found >= limit) {
        page.next = page.checkpoints.last().map(|(key, _)| key.clone());
    }
    Ok(page)
}

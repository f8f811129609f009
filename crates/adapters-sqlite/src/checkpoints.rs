//! Checkpoints of runners that are not transactional.
//!
//! The halves of a position are 8 bytes each, greatest first: their order as bytes is their order as numbers,
//! so SQLite itself compares them, and every bit of a `u64` counts.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Advance, Checkpoint, Position};
use highwater_core::ports::{CheckpointPage, CheckpointStore};

use crate::database::{Database, now_micros};
use crate::error::{During, corrupt};
use crate::number::limit as at_most;
use crate::options::SqliteOptions;
use crate::prefix::end_of;

const READ: &str = "read a checkpoint";
const SET: &str = "set a checkpoint";
const MAX_KEY_BYTES: usize = 1024;

/// Checkpoints in a SQLite file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteCheckpoints {
    database: Arc<Database>,
}

impl SqliteCheckpoints {
    /// Opens the checkpoints in this file, and creates file and tables where the options permit it.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or is from a newer version.
    pub async fn open(path: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self, Error> {
        Ok(Self { database: Database::open(path.as_ref(), options).await? })
    }
}

#[async_trait]
impl CheckpointStore for SqliteCheckpoints {
    async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error> {
        check_key(key)?;
        let key = key.to_owned();
        self.database.read(move |conn| read(conn, &key)).await
    }

    async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error> {
        check_key(key)?;
        let key = key.to_owned();
        self.database.write(SET, move |conn| advance(conn, &key, to, now_micros(conn).during(SET)?)).await
    }

    async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        entries.iter().try_for_each(|(key, _)| check_key(key))?;
        let entries = entries.to_vec();
        let work = move |conn: &Connection| {
            let now = now_micros(conn).during(SET)?;
            entries.iter().map(|(key, to)| advance(conn, key, *to, now)).collect()
        };
        self.database.write(SET, work).await
    }

    async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error> {
        const RESET: &str = "reset a checkpoint";
        check_key(key)?;
        let key = key.to_owned();
        let work = move |conn: &Connection| match read(conn, &key)? {
            None => Err(Error::new(ErrorKind::NotFound, RESET).with("key", key)),
            Some(stored) if stored.position != expected => Ok(Advance::Stale { current: stored.position }),
            Some(_) => {
                let now = now_micros(conn).during(RESET)?;
                conn.execute(
                    "UPDATE highwater_checkpoint SET \"commit\" = ?2, \"prepare\" = ?3, updated_at = ?4
                     WHERE key = ?1",
                    (&key, to.commit().to_be_bytes(), to.prepare().to_be_bytes(), now),
                )
                .during(RESET)?;
                Ok(Advance::Applied)
            }
        };
        self.database.write(RESET, work).await
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        const DELETE: &str = "delete a checkpoint";
        check_key(key)?;
        let key = key.to_owned();
        let work = move |conn: &Connection| {
            let gone =
                conn.execute("DELETE FROM highwater_checkpoint WHERE key = ?1", [key]).during(DELETE)?;
            Ok(gone > 0)
        };
        self.database.write(DELETE, work).await
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error> {
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        self.database.read(move |conn| scan(conn, &prefix, after.as_deref(), limit)).await
    }

    async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error> {
        const CLEAR: &str = "clear checkpoints";
        if prefix.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, CLEAR)
                .because("an empty prefix means every checkpoint there is; name a prefix"));
        }
        let prefix = prefix.to_owned();
        let range = "key >= ?1 AND (?2 IS NULL OR key < ?2)";
        if dry_run {
            let sql = format!("SELECT count(*) FROM highwater_checkpoint WHERE {range}");
            let count = move |conn: &Connection| {
                let count: i64 =
                    conn.query_row(&sql, (&prefix, end_of(&prefix)), |row| row.get(0)).during(CLEAR)?;
                Ok(count.unsigned_abs())
            };
            return self.database.read(count).await;
        }
        let sql = format!("DELETE FROM highwater_checkpoint WHERE {range}");
        let work = move |conn: &Connection| {
            let gone = conn.execute(&sql, (&prefix, end_of(&prefix))).during(CLEAR)?;
            Ok(u64::try_from(gone).unwrap_or(u64::MAX))
        };
        self.database.write(CLEAR, work).await
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::new(ErrorKind::Invalid, "use a checkpoint")
            .with("bytes", key.len())
            .because(format!("a key has 1 to {MAX_KEY_BYTES} bytes of UTF-8")));
    }
    Ok(())
}

fn read(conn: &Connection, key: &str) -> Result<Option<Checkpoint>, Error> {
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

/// Moves forward in one statement, and asks what is there only where it did not.
fn advance(conn: &Connection, key: &str, to: Position, now: i64) -> Result<Advance, Error> {
    let moved = conn
        .prepare_cached(
            "INSERT INTO highwater_checkpoint (key, \"commit\", \"prepare\", updated_at)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE SET
                 \"commit\" = excluded.\"commit\", \"prepare\" = excluded.\"prepare\",
                 updated_at = excluded.updated_at
             WHERE (excluded.\"commit\", excluded.\"prepare\") > (\"commit\", \"prepare\")",
        )
        .and_then(|mut set| set.execute((key, to.commit().to_be_bytes(), to.prepare().to_be_bytes(), now)))
        .during(SET)?;
    if moved > 0 {
        return Ok(Advance::Applied);
    }
    let stored = read(conn, key)?.ok_or_else(|| corrupt(SET, "a checkpoint vanished while it was set"))?;
    Ok(if stored.position == to { Advance::Unchanged } else { Advance::Stale { current: stored.position } })
}

fn scan(conn: &Connection, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error> {
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

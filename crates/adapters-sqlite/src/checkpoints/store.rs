//! The port without owners.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Advance, Checkpoint, Position};
use highwater_core::ports::{CheckpointPage, CheckpointStore};

use crate::database::{Database, now_micros};
use crate::error::During;
use crate::options::SqliteOptions;

use super::{keys, rows};

const MAX_KEY_BYTES: usize = 1024;

/// Checkpoints in a SQLite file, with their owners. Cheap to clone.
///
/// Leases go by the machine's clock, in steps of a millisecond: all processes that share a file share it.
#[derive(Debug, Clone)]
pub struct SqliteCheckpoints {
    pub(super) database: Arc<Database>,
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
        self.database.read(move |conn| rows::read(conn, &key)).await
    }

    async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error> {
        check_key(key)?;
        let key = key.to_owned();
        let work =
            move |conn: &Connection| rows::advance(conn, &key, to, now_micros(conn).during(rows::SET)?);
        self.database.write(rows::SET, work).await
    }

    async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        entries.iter().try_for_each(|(key, _)| check_key(key))?;
        let entries = entries.to_vec();
        let work = move |conn: &Connection| {
            let now = now_micros(conn).during(rows::SET)?;
            entries.iter().map(|(key, to)| rows::advance(conn, key, *to, now)).collect()
        };
        self.database.write(rows::SET, work).await
    }

    async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error> {
        const RESET: &str = "reset a checkpoint";
        check_key(key)?;
        let key = key.to_owned();
        let work = move |conn: &Connection| match rows::read(conn, &key)? {
            None => Err(Error::new(ErrorKind::NotFound, RESET).with("key", key)),
            Some(stored) if stored.position != expected => Ok(Advance::Stale { current: stored.position }),
            Some(_) => {
                rows::replace(conn, &key, to, now_micros(conn).during(RESET)?, RESET)?;
                keys::reset(conn, &key)?;
                Ok(Advance::Applied)
            }
        };
        self.database.write(RESET, work).await
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        check_key(key)?;
        let key = key.to_owned();
        self.database.write("delete a checkpoint", move |conn| keys::remove(conn, &key)).await
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error> {
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        self.database.read(move |conn| rows::scan(conn, &prefix, after.as_deref(), limit)).await
    }

    async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error> {
        const CLEAR: &str = "clear checkpoints";
        if prefix.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, CLEAR)
                .because("an empty prefix means every checkpoint there is; name a prefix"));
        }
        let prefix = prefix.to_owned();
        if dry_run {
            return self.database.read(move |conn| keys::count(conn, &prefix, CLEAR)).await;
        }
        self.database.write(CLEAR, move |conn| keys::clear(conn, &prefix, CLEAR)).await
    }
}

pub(super) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::new(ErrorKind::Invalid, "use a checkpoint")
            .with("bytes", key.len())
            .because(format!("a key has 1 to {MAX_KEY_BYTES} bytes of UTF-8")));
    }
    Ok(())
}

//! The port without owners.

use async_trait::async_trait;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Advance, Checkpoint, Position};
use highwater_core::ports::{CheckpointPage, CheckpointStore};

use crate::columns::Columns;
use crate::database::Database;
use crate::error::During;
use crate::text::{end_of, escaped};

use super::rows::{CHECKPOINT, advance_in, check_key, checkpoint_in, each, no_answer};

const READ: &str = "read a checkpoint";
const SET: &str = "set a checkpoint";
const RESET: &str = "reset a checkpoint";
const DELETE: &str = "delete a checkpoint";
const SCAN: &str = "scan checkpoints";
const CLEAR: &str = "clear checkpoints";

/// Checkpoints in a PostgreSQL database, with their owners; leases go by the server's clock. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PgCheckpoints {
    pub(super) database: Database,
}

impl PgCheckpoints {
    /// The checkpoints in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }
}

#[async_trait]
impl CheckpointStore for PgCheckpoints {
    async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error> {
        check_key(key)?;
        let sql = format!("SELECT {CHECKPOINT} FROM highwater.checkpoint WHERE key = $1");
        let row = sqlx::query(self.database.names().sql(&sql).safe())
            .bind(escaped(key))
            .fetch_optional(&mut *self.database.connection(READ).await?)
            .await
            .during(READ)?;
        let found = row.map(|row| checkpoint_in(&mut Columns::from(&row, 0, READ))).transpose();
        found.map_err(|error| error.with("key", key))
    }

    async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error> {
        let answers = self.set_many_if_newer(&[(key.to_owned(), to)]).await?;
        answers.into_iter().next().ok_or_else(|| no_answer(SET, key))
    }

    async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        entries.iter().try_for_each(|(key, _)| check_key(key))?;
        let column = |half: fn(Position) -> u64| -> Vec<String> {
            entries.iter().map(|(_, to)| half(*to).to_string()).collect()
        };
        let keys: Vec<_> = entries.iter().map(|(key, _)| escaped(key)).collect();
        let statement = self.database.names().sql(
            "SELECT applied, stored_commit::text, stored_prepare::text
             FROM highwater.advance_checkpoints($1, $2::text[]::numeric[], $3::text[]::numeric[])
             ORDER BY entry",
        );
        let rows = sqlx::query(statement.safe())
            .bind(keys)
            .bind(column(Position::commit))
            .bind(column(Position::prepare))
            .fetch_all(&mut *self.database.connection(SET).await?)
            .await
            .during(SET)?;
        each(&rows, entries, SET, |(key, _)| key, |columns, (key, to)| advance_in(columns, key, *to))
    }

    async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error> {
        check_key(key)?;
        let statement = self
            .database
            .names()
            .sql("SELECT highwater.reset_checkpoint($1, $2::numeric, $3::numeric, $4::numeric, $5::numeric)");
        loop {
            let done: bool = sqlx::query_scalar(statement.safe())
                .bind(escaped(key))
                .bind(to.commit().to_string())
                .bind(to.prepare().to_string())
                .bind(expected.commit().to_string())
                .bind(expected.prepare().to_string())
                .fetch_one(&mut *self.database.connection(RESET).await?)
                .await
                .during(RESET)?;
            if done {
                return Ok(Advance::Applied);
            }
            match self.get(key).await? {
                None => return Err(Error::new(ErrorKind::NotFound, RESET).with("key", key)),
                Some(stored) if stored.position != expected => {
                    return Ok(Advance::Stale { current: stored.position });
                }
                // It came to be as expected in between.
                Some(_) => {}
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        check_key(key)?;
        let statement = self.database.names().sql("SELECT highwater.delete_checkpoint($1)");
        sqlx::query_scalar(statement.safe())
            .bind(escaped(key))
            .fetch_one(&mut *self.database.connection(DELETE).await?)
            .await
            .during(DELETE)
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error> {
        let prefix = escaped(prefix);
        let limit = limit.max(1);
        let sql = format!(
            "SELECT key, {CHECKPOINT} FROM highwater.checkpoint
             WHERE key >= $1 AND ($2::text IS NULL OR key < $2) AND ($3::text IS NULL OR key > $3)
             ORDER BY key LIMIT $4"
        );
        let rows = sqlx::query(self.database.names().sql(&sql).safe())
            .bind(&*prefix)
            .bind(end_of(&prefix))
            .bind(after.map(escaped))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.database.connection(SCAN).await?)
            .await
            .during(SCAN)?;
        let mut page = CheckpointPage::default();
        for row in &rows {
            let mut columns = Columns::from(row, 0, SCAN);
            let key = columns.text()?;
            let checkpoint = checkpoint_in(&mut columns).map_err(|error| error.with("key", &key))?;
            page.checkpoints.push((key, checkpoint));
        }
        if page.checkpoints.len() >= limit {
            page.next = page.checkpoints.last().map(|(key, _)| key.clone());
        }
        Ok(page)
    }

    async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error> {
        if prefix.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, CLEAR)
                .because("an empty prefix means every checkpoint there is; name a prefix"));
        }
        let prefix = escaped(prefix);
        let statement = self.database.names().sql("SELECT highwater.clear_checkpoints($1, $2, $3)");
        let keys: i64 = sqlx::query_scalar(statement.safe())
            .bind(&*prefix)
            .bind(end_of(&prefix))
            .bind(dry_run)
            .fetch_one(&mut *self.database.connection(CLEAR).await?)
            .await
            .during(CLEAR)?;
        Ok(keys.unsigned_abs())
    }
}

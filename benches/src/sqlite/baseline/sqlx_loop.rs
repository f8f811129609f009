//! The same loop with sqlx's driver, which hands each statement to a thread of its own and awaits the answer.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::runtime::Runtime;

use super::{CHECKPOINT_ROW, CHECKPOINT_TABLE, MOVE_CHECKPOINT, Place, READ, SETTINGS, START};
use crate::data::Sold;
use crate::sqlite::read_model::{BALANCE_SCHEMA, UPSERT};

/// Applies the first `events` of the log to `balance`, `batch` events a transaction.
pub(crate) fn sqlx_loop(runtime: &Runtime, database: &Path, events: u32, batch: u32) -> anyhow::Result<()> {
    runtime.block_on(run(database, events, batch))
}

async fn run(database: &Path, events: u32, batch: u32) -> anyhow::Result<()> {
    let mut options = SqliteConnectOptions::new().filename(database).journal_mode(SqliteJournalMode::Wal);
    for (name, value) in SETTINGS {
        options = options.pragma(name, value);
    }
    let mut conn = options.connect().await?;
    for sql in [BALANCE_SCHEMA, CHECKPOINT_TABLE, CHECKPOINT_ROW] {
        sqlx::query(sql).execute(&mut conn).await?;
    }
    let mut after = START;
    let mut left = events;
    while left > 0 {
        let mut tx = conn.begin().await?;
        let rows = sqlx::query(READ)
            .bind(after.position)
            .bind(after.offset)
            .bind(left.min(batch))
            .fetch_all(&mut *tx)
            .await?;
        let Some(last) = rows.last() else { break };
        after = Place { position: last.try_get(0)?, offset: last.try_get(1)? };
        for row in &rows {
            let sold: Sold<'_> = serde_json::from_slice(payload(row)?)?;
            sqlx::query(UPSERT).bind(sold.account).bind(sold.cents).execute(&mut *tx).await?;
        }
        sqlx::query(MOVE_CHECKPOINT).bind(after.position).bind(after.offset).execute(&mut *tx).await?;
        tx.commit().await?;
        left -= u32::try_from(rows.len())?;
    }
    conn.close().await?;
    Ok(())
}

/// The payload's bytes; the column has no type, so sqlx cannot judge ours.
fn payload(row: &SqliteRow) -> sqlx::Result<&[u8]> {
    row.try_get_unchecked(2)
}

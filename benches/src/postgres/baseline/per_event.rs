//! A prepared statement an event, awaited.

use anyhow::Context;
use sqlx::{Executor, PgConnection};

use super::{BEGIN, COMMIT, Loop, MOVE_CHECKPOINT, READ, place, sold};
use crate::data::Sold;
use crate::postgres::logs::{Place, Stretch};
use crate::postgres::read_model::UPSERT;

/// What stands around each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Nothing: one bad event fails the batch.
    Nothing,
    /// A savepoint: a bad event is noted, and the others go on.
    Savepoint,
    /// A transaction.
    Transaction,
}

const SAVEPOINT: &str = "SAVEPOINT event";
const RELEASE: &str = "RELEASE event";
const ROLLBACK: &str = "ROLLBACK TO event";
const FAILED_TABLE: &str = "CREATE TABLE failed (position bigint NOT NULL, \"offset\" int NOT NULL, \
     message text NOT NULL, PRIMARY KEY (position, \"offset\"))";
const NOTE_FAILED: &str = "INSERT INTO failed (position, \"offset\", message) VALUES ($1, $2, $3)";

pub(crate) const STATEMENT_SQL: [&str; 5] = [BEGIN, READ, UPSERT, MOVE_CHECKPOINT, COMMIT];
pub(crate) const TRANSACTION_SQL: [&str; 5] = [READ, BEGIN, UPSERT, MOVE_CHECKPOINT, COMMIT];
pub(crate) const SAVEPOINT_SQL: [&str; 9] =
    [BEGIN, READ, SAVEPOINT, UPSERT, RELEASE, ROLLBACK, NOTE_FAILED, MOVE_CHECKPOINT, COMMIT];

/// Applies a stretch to `balance`, `batch` events a read and, but for [`Guard::Transaction`], a transaction;
/// the seconds that it took.
pub(crate) async fn per_event(url: &str, stretch: Stretch, batch: u32, guard: Guard) -> anyhow::Result<f64> {
    let mut state = Loop::open(url, stretch, batch).await?;
    if guard == Guard::Savepoint {
        state.conn.execute(FAILED_TABLE).await?;
    }
    state.start();
    while state.left > 0 {
        if guard != Guard::Transaction {
            state.begin().await?;
        }
        for row in state.read().await? {
            let at = place(&row)?;
            match guard {
                Guard::Nothing => apply(&mut state.conn, &sold(&row)?).await?,
                Guard::Savepoint => guarded(&mut state.conn, at, sold(&row)).await?,
                Guard::Transaction => {
                    state.begin().await?;
                    apply(&mut state.conn, &sold(&row)?).await?;
                    state.commit(at).await?;
                }
            }
        }
        if guard != Guard::Transaction {
            state.commit(state.after).await?;
        }
    }
    state.finish().await
}

async fn apply(conn: &mut PgConnection, sold: &Sold<'_>) -> sqlx::Result<()> {
    sqlx::query(UPSERT).bind(sold.account).bind(sold.cents).execute(conn).await.map(|_| ())
}

async fn guarded(conn: &mut PgConnection, at: Place, sold: anyhow::Result<Sold<'_>>) -> anyhow::Result<()> {
    let message = match sold {
        Err(error) => error.to_string(),
        Ok(sold) => {
            conn.execute(SAVEPOINT).await?;
            let applied = apply(conn, &sold).await;
            if applied.is_err() {
                conn.execute(ROLLBACK).await?;
            }
            conn.execute(RELEASE).await?;
            match applied {
                Ok(()) => return Ok(()),
                Err(error @ sqlx::Error::Database(_)) => error.to_string(),
                Err(error) => return Err(error).context("apply an event"),
            }
        }
    };
    sqlx::query(NOTE_FAILED).bind(at.position).bind(at.offset).bind(message).execute(conn).await?;
    Ok(())
}

//! One statement a batch, with the events' fields in arrays.

use std::collections::HashMap;

use sqlx::{PgConnection, Postgres};

use super::{BEGIN, COMMIT, Loop, MOVE_CHECKPOINT, READ, sold};
use crate::data::Sold;
use crate::postgres::logs::Stretch;
use crate::postgres::read_model::{UNNEST, UNNEST_FOLDED};

pub(crate) const UNNEST_SQL: [&str; 5] = [BEGIN, READ, UNNEST, MOVE_CHECKPOINT, COMMIT];
pub(crate) const FOLDED_SQL: [&str; 5] = [BEGIN, READ, UNNEST_FOLDED, MOVE_CHECKPOINT, COMMIT];

/// Applies a stretch to `balance`, `batch` events a transaction; `folded`: summed up here and not in the
/// server. The seconds that it took.
pub(crate) async fn unnest(url: &str, stretch: Stretch, batch: u32, folded: bool) -> anyhow::Result<f64> {
    let mut state = Loop::open(url, stretch, batch).await?;
    state.start();
    while state.left > 0 {
        state.begin().await?;
        let rows = state.read().await?;
        let events = rows.iter().map(sold).collect::<Result<Vec<_>, _>>()?;
        if folded {
            insert_folded(&mut state.conn, &events).await?;
        } else {
            insert(&mut state.conn, &events).await?;
        }
        state.commit(state.after).await?;
    }
    state.finish().await
}

/// The batch as it is.
pub(crate) async fn insert(conn: &mut PgConnection, events: &[Sold<'_>]) -> sqlx::Result<()> {
    let accounts: Vec<&str> = events.iter().map(|sold| sold.account).collect();
    let cents: Vec<i64> = events.iter().map(|sold| sold.cents).collect();
    sqlx::query::<Postgres>(UNNEST).bind(accounts).bind(cents).execute(conn).await.map(|_| ())
}

async fn insert_folded(conn: &mut PgConnection, events: &[Sold<'_>]) -> sqlx::Result<()> {
    let mut sums: HashMap<&str, (i64, i64)> = HashMap::new();
    for sold in events {
        let sum = sums.entry(sold.account).or_default();
        *sum = (sum.0 + 1, sum.1 + sold.cents);
    }
    let accounts: Vec<&str> = sums.keys().copied().collect();
    let (events, cents): (Vec<i64>, Vec<i64>) = sums.values().copied().unzip();
    sqlx::query::<Postgres>(UNNEST_FOLDED)
        .bind(accounts)
        .bind(events)
        .bind(cents)
        .execute(conn)
        .await
        .map(|_| ())
}

//! A rebuild by hand: one INSERT … SELECT over the whole log.

use highwater::TokioClock;
use highwater::core::ports::Clock;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

use super::Loop;
use crate::postgres::logs::Log;

const REBUILD: &str = "BEGIN; TRUNCATE balance; \
     INSERT INTO balance (account, events, cents) \
     SELECT data->>'account', count(*), sum((data->>'cents')::bigint) FROM highwater.event GROUP BY 1; \
     UPDATE checkpoint SET position = (SELECT max(position) FROM highwater.event) WHERE name = 'bench'; \
     COMMIT";

pub(crate) const WHOLE_SQL: [&str; 1] = [REBUILD];

/// Makes the read model that is to be rebuilt.
pub(crate) async fn prepare_whole(url: &str, log: &Log) -> anyhow::Result<()> {
    let mut state = Loop::open(url, log.all(), log.events).await?;
    state.conn.execute(REBUILD).await?;
    state.conn.close().await?;
    Ok(())
}

/// Makes it once more; the seconds that it took.
pub(crate) async fn whole(url: &str) -> anyhow::Result<f64> {
    let mut conn = url.parse::<PgConnectOptions>()?.connect().await?;
    let clock = TokioClock::new();
    let started = clock.now();
    conn.execute(REBUILD).await?;
    let took = clock.now().since(started);
    conn.close().await?;
    Ok(took.as_secs_f64())
}

//! The limit: one INSERT … SELECT a batch, and nothing leaves the server.
//!
//! A batch is one call of one function, so that it is one flight whatever is between us and the server. It
//! takes whole appends, which makes the range a plain one on the position.

use sqlx::Executor;

use super::Loop;
use crate::postgres::logs::Stretch;

const FUNCTION: &str = r#"
CREATE FUNCTION apply_batch(events int) RETURNS bigint LANGUAGE plpgsql AS $function$
DECLARE
    after bigint;
    through bigint;
BEGIN
    SELECT c.position INTO STRICT after FROM checkpoint AS c WHERE c.name = 'bench';
    SELECT e.position INTO through FROM highwater.event AS e WHERE e.position > after
     ORDER BY e.position, e."offset" OFFSET apply_batch.events - 1 LIMIT 1;
    IF through IS NULL THEN
        SELECT max(e.position) INTO through FROM highwater.event AS e WHERE e.position > after;
    END IF;
    IF through IS NOT NULL THEN
        INSERT INTO balance (account, events, cents)
        SELECT data->>'account', count(*), sum((data->>'cents')::bigint) FROM highwater.event
         WHERE position > after AND position <= through GROUP BY 1
        ON CONFLICT (account)
        DO UPDATE SET events = balance.events + excluded.events, cents = balance.cents + excluded.cents;
        UPDATE checkpoint SET position = through WHERE name = 'bench';
    END IF;
    RETURN through;
END
$function$
"#;
/// A batch. Also what pgbench runs.
pub(super) const CALL: &str = "SELECT apply_batch($1)";

pub(crate) const LIMIT_SQL: [&str; 2] = [FUNCTION, CALL];

/// Applies a stretch to `balance`, `batch` events a transaction; the seconds that it took.
pub(crate) async fn limit(url: &str, stretch: Stretch, batch: u32) -> anyhow::Result<f64> {
    let mut state = prepare(url, stretch, batch).await?;
    state.start();
    let size = i32::try_from(batch)?;
    while sqlx::query_scalar::<_, Option<i64>>(CALL).bind(size).fetch_one(&mut state.conn).await?.is_some() {}
    state.finish().await
}

/// The tables and the function.
pub(super) async fn prepare(url: &str, stretch: Stretch, batch: u32) -> anyhow::Result<Loop> {
    let mut state = Loop::open(url, stretch, batch).await?;
    state.conn.execute(FUNCTION).await?;
    Ok(state)
}

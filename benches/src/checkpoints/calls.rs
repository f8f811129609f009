//! Calls that anybody may make: one at a time, and many in one flight; the product's, and a loop's.

use anyhow::{Context, ensure};
use highwater::redis::RedisCheckpoints;
use highwater::redis::deadpool_redis::{Config, Runtime};
use highwater::redis::redis::aio::ConnectionLike;
use highwater::redis::redis::{self, Value};
use highwater::{CheckpointStore, Position};

use super::run::{Run, Watch};
use super::scripts::{SET, hash, set_call};

/// The product, one call after the other.
pub(super) async fn product(store: RedisCheckpoints, calls: Vec<(String, Position)>) -> anyhow::Result<Run> {
    let mut watch = Watch::start(calls.len());
    for (key, to) in &calls {
        store.set_if_newer(key, *to).await?;
        watch.lap();
    }
    Ok(watch.stop())
}

/// The product, one batch after the other.
pub(super) async fn batches(
    store: RedisCheckpoints,
    calls: Vec<(String, Position)>,
    batch: usize,
) -> anyhow::Result<Run> {
    let mut watch = Watch::start(calls.len().div_ceil(batch));
    for batch in calls.chunks(batch) {
        let advances = store.set_many_if_newer(batch).await?;
        ensure!(advances.len() == batch.len(), "{} answers to {} entries", advances.len(), batch.len());
        watch.lap();
    }
    Ok(watch.stop())
}

async fn advance(
    connection: &mut impl ConnectionLike,
    hash: &str,
    name: &str,
    commit: &str,
) -> anyhow::Result<()> {
    let words = set_call(hash, name, commit);
    let called = redis::cmd(&words[0]).arg(&words[1..]).query_async(connection).await;
    let answer: Value = called.context("move a checkpoint")?;
    ensure!(matches!(answer, Value::Array(_)), "the script answers {answer:?}");
    Ok(())
}

/// The client library alone: one connection that is shared, as the product's is, and nothing else.
pub(super) async fn bare(url: String, names: Vec<(String, String)>) -> anyhow::Result<Run> {
    let client = redis::Client::open(url).context("read the address")?;
    let mut connection = client.get_multiplexed_async_connection().await.context("connect to Redis")?;
    let hash = hash(SET);
    let mut watch = Watch::start(names.len());
    for (name, commit) in &names {
        advance(&mut connection, &hash, name, commit).await?;
        watch.lap();
    }
    Ok(watch.stop())
}

/// What one would write: a connection out of a pool for each call, with the pool's own check that it still lives,
/// which is a round trip.
pub(super) async fn pool(url: String, names: Vec<(String, String)>) -> anyhow::Result<Run> {
    let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1)).context("make a pool")?;
    let hash = hash(SET);
    // The product has its connection, too, when the time begins to run.
    drop(pool.get().await.context("connect to Redis")?);
    let mut watch = Watch::start(names.len());
    for (name, commit) in &names {
        let mut connection = pool.get().await.context("take a connection")?;
        advance(&mut connection, &hash, name, commit).await?;
        drop(connection);
        watch.lap();
    }
    Ok(watch.stop())
}

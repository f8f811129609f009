//! Redis: checkpoints of handlers, for many processes and no disk.

use std::sync::Arc;

use highwater_core::Error;
use highwater_core::ports::OwnedCheckpoints;
use highwater_redis::{Redis, RedisCheckpoints, RedisOptions};

use super::address::Address;

/// Checkpoints in a server, and where that is.
pub(super) async fn open_checkpoints(
    address: &Address,
) -> Result<(Arc<dyn OwnedCheckpoints>, String), Error> {
    let options = RedisOptions::default().prefix(address.prefix.clone().unwrap_or_default());
    let redis = Redis::open(&address.url, &options).await?;
    Ok((Arc::new(RedisCheckpoints::new(&redis)), redis.shown()))
}

//! Redis: checkpoints of handlers, for many processes and no disk.

use std::sync::Arc;

use highwater_core::Error;
use highwater_core::ports::OwnedCheckpoints;
use highwater_redis::{Migrated, OlderForm, Redis, RedisCheckpoints, RedisOptions};

use super::address::Address;

/// Checkpoints in a server, and where that is.
pub(super) async fn open_checkpoints(
    address: &Address,
) -> Result<(Arc<dyn OwnedCheckpoints>, String), Error> {
    let redis = open(address).await?;
    Ok((Arc::new(RedisCheckpoints::new(&redis)), redis.shown()))
}

/// Takes over the checkpoints that an older program has kept as strings in this server, in these forms, their names
/// beginning with `older_prefix`; see [`RedisCheckpoints::migrate`].
///
/// # Errors
/// As [`RedisCheckpoints::migrate`], and when the server cannot be used.
pub async fn migrate_older_checkpoints(
    checkpoints: &Address,
    older_prefix: &str,
    forms: &[OlderForm],
    dry_run: bool,
) -> Result<Migrated, Error> {
    let redis = open(checkpoints).await?;
    RedisCheckpoints::new(&redis).migrate_from(older_prefix, forms, dry_run).await
}

async fn open(address: &Address) -> Result<Redis, Error> {
    let options = RedisOptions::default().prefix(address.prefix.clone().unwrap_or_default());
    Redis::open(&address.url, &options).await
}

//! From addresses to open backends: the scheme names the adapter, the adapter its Cargo feature.

use std::sync::Arc;

use highwater_core::ports::{AppendEvents, EventLog, ProjectionControl};
use highwater_core::{Error, ErrorKind};

use super::Migrate;
use super::adapter::ReadModels;
use super::address::Address;
#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "redis")]
use super::redis;
#[cfg(feature = "sqlite")]
use super::sqlite;
use crate::handlers::HandlerStores;
use crate::stage::Close;

/// A log.
pub(super) struct OpenLog {
    /// A text that is the same for every way to name the database.
    pub(super) place: String,
    /// Where it is, without secrets.
    pub(super) shown: String,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) append: Arc<dyn AppendEvents>,
}

/// How many batches have met a lock key of theirs in somebody else's hands (E-11); `None` where there are no keys.
pub(super) type KeyCollisions = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// A database of read models.
pub(super) struct OpenStore {
    /// Where it is, without secrets.
    pub(super) shown: String,
    /// The log is in the same database.
    pub(super) log_in_store: bool,
    pub(super) control: Arc<dyn ProjectionControl>,
    /// Checkpoints and dead letters of handlers.
    pub(super) handlers: HandlerStores,
    pub(super) key_collisions: KeyCollisions,
    pub(super) read_models: Box<dyn ReadModels>,
}

/// A log and a store, and what ends their connections.
pub(super) struct Open {
    pub(super) log: OpenLog,
    pub(super) store: OpenStore,
    pub(super) close: Vec<Close>,
}

/// `checkpoints` is where handlers keep theirs; `None` = in the store.
pub(super) async fn open(
    log: &Address,
    store: &Address,
    checkpoints: Option<&Address>,
    migrate: Migrate,
) -> Result<Open, Error> {
    #[cfg(feature = "postgres")]
    let mut databases = postgres::Databases::new(migrate);
    let log = match log.scheme() {
        #[cfg(feature = "sqlite")]
        "sqlite" => sqlite::open_log(log, migrate).await?,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => databases.log(log).await?,
        other => return Err(no_adapter(other, false)),
    };
    let mut store = match store.scheme() {
        #[cfg(feature = "sqlite")]
        "sqlite" => sqlite::open_store(store, migrate, &log.place).await?,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => databases.store(store, &log.place).await?,
        other => return Err(no_adapter(other, false)),
    };
    if let Some(address) = checkpoints {
        (store.handlers.checkpoints, store.handlers.shown) = match address.scheme() {
            #[cfg(feature = "sqlite")]
            "sqlite" => sqlite::open_checkpoints(address, migrate).await?,
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => databases.checkpoints(address).await?,
            #[cfg(feature = "redis")]
            "redis" | "rediss" => redis::open_checkpoints(address).await?,
            other => return Err(no_adapter(other, true)),
        };
    }
    #[cfg(feature = "postgres")]
    let close = databases.close();
    #[cfg(not(feature = "postgres"))]
    let close = Vec::new();
    Ok(Open { log, store, close })
}

fn no_adapter(scheme: &str, for_checkpoints: bool) -> Error {
    let built_in: Vec<&str> = [
        cfg!(feature = "postgres").then_some("postgres"),
        cfg!(feature = "sqlite").then_some("sqlite"),
        (for_checkpoints && cfg!(feature = "redis")).then_some("redis"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let advice = match scheme {
        "sqlite" => ": build with the feature `sqlite`",
        "postgres" | "postgresql" => ": build with the feature `postgres`",
        "redis" | "rediss" if for_checkpoints => ": build with the feature `redis`",
        "redis" | "rediss" => ": it keeps checkpoints of handlers only (`[checkpoints]`)",
        _ => "",
    };
    Error::new(
        ErrorKind::Invalid,
        format!(
            "open a backend: no adapter for `{scheme}:` URLs is built in{advice}; built in are: {}",
            built_in.join(", ")
        ),
    )
}

//! What a factory hands to a law: the port under test over a fresh storage, and the few means that the law
//! needs beside it. Every fixture has `new` with what is required and builder methods for the rest.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use highwater_core::Failure;
use highwater_core::ports::{
    AppendEvents, CheckpointStore, DeadLetters, EventLog, OwnedCheckpoints, PersistTarget, ProjectionControl,
    ReadModelStore, Subscriptions,
};

/// Makes the storage under the port fail (`true`) and work again (`false`): a renamed table, a cut
/// connection. Between the two every call of the port must answer with an error.
pub type Outage = Arc<dyn Fn(bool) -> BoxFuture<'static, ()> + Send + Sync>;

/// An [`Outage`] from an async function.
pub fn outage<F, Fut>(switch: F) -> Outage
where
    F: Fn(bool) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |failing| Box::pin(switch(failing)))
}

/// Kept until the law has ended: a temporary folder, a container.
type Keep = Vec<Box<dyn Any + Send>>;

macro_rules! builder_methods {
    () => {
        /// Keeps `value` until the law has ended: a temporary folder, a container.
        #[must_use]
        pub fn keeping(mut self, value: impl Any + Send) -> Self {
            self.keep.push(Box::new(value));
            self
        }
    };
    (outage) => {
        builder_methods!();

        /// Lets the laws cut the storage off; see [`Outage`].
        #[must_use]
        pub fn with_outage(mut self, outage: Outage) -> Self {
            self.outage = Some(outage);
            self
        }
    };
}

/// An empty log, for `event_log_contract!` and `append_events_contract!`.
pub struct LogFixture {
    /// The reading side.
    pub log: Arc<dyn EventLog>,
    /// The writing side of the same log.
    pub append: Arc<dyn AppendEvents>,
    /// Whether the log takes every name and payload; else it may answer `Unstorable` to those with a NUL
    /// character, and to payloads that are not JSON text. True by default.
    pub stores_everything: bool,
    /// Cuts the log off.
    pub outage: Option<Outage>,
    /// Kept until the law has ended.
    pub keep: Keep,
}

impl LogFixture {
    /// A log that stores everything and cannot be cut off.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, append: Arc<dyn AppendEvents>) -> Self {
        Self { log, append, stores_everything: true, outage: None, keep: Keep::new() }
    }

    builder_methods!(outage);

    /// The log refuses NUL characters and payloads that are not JSON text.
    #[must_use]
    pub fn storing_json_only(mut self) -> Self {
        self.stores_everything = false;
        self
    }
}

/// An empty checkpoint store, for `checkpoint_store_contract!`.
pub struct CheckpointFixture {
    /// The store.
    pub store: Arc<dyn CheckpointStore>,
    /// A second handle to the same storage, as another process would have.
    pub second: Arc<dyn CheckpointStore>,
    /// Cuts the storage off.
    pub outage: Option<Outage>,
    /// Kept until the law has ended.
    pub keep: Keep,
}

impl CheckpointFixture {
    /// A store with a second handle to the same storage.
    #[must_use]
    pub fn new(store: Arc<dyn CheckpointStore>, second: Arc<dyn CheckpointStore>) -> Self {
        Self { store, second, outage: None, keep: Keep::new() }
    }

    builder_methods!(outage);
}

/// Takes the stored checkpoint of a key away behind the store's back, and nothing else that it would not take with
/// it.
pub type Lose = Arc<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>;

/// A [`Lose`] from an async function.
pub fn lose<F, Fut>(take: F) -> Lose
where
    F: Fn(String) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |key| Box::pin(take(key)))
}

/// An empty checkpoint store whose keys have owners, for `owned_checkpoints_contract!`.
pub struct OwnedCheckpointsFixture {
    /// The store.
    pub store: Arc<dyn OwnedCheckpoints>,
    /// A second handle to the same storage, as another process would have.
    pub second: Arc<dyn OwnedCheckpoints>,
    /// Loses a checkpoint.
    pub lose: Lose,
    /// Lets time pass by the store's clock, where that can be done by hand; else the laws wait.
    pub pass: Option<Arc<dyn Fn(Duration) + Send + Sync>>,
    /// Cuts the storage off.
    pub outage: Option<Outage>,
    /// Kept until the law has ended.
    pub keep: Keep,
}

impl OwnedCheckpointsFixture {
    /// A store with a second handle to the same storage, and a way to lose its checkpoints.
    #[must_use]
    pub fn new(store: Arc<dyn OwnedCheckpoints>, second: Arc<dyn OwnedCheckpoints>, lose: Lose) -> Self {
        Self { store, second, lose, pass: None, outage: None, keep: Keep::new() }
    }

    builder_methods!(outage);

    /// Lets the laws move the store's clock, so that none has to wait for a lease to run out.
    #[must_use]
    pub fn with_time(mut self, pass: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        self.pass = Some(Arc::new(pass));
        self
    }
}

/// An empty place for dead letters, for `dead_letters_contract!`.
pub struct DeadLettersFixture {
    /// The port.
    pub letters: Arc<dyn DeadLetters>,
    /// A second handle to the same storage, as another process would have.
    pub second: Arc<dyn DeadLetters>,
    /// Cuts the storage off.
    pub outage: Option<Outage>,
    /// Kept until the law has ended.
    pub keep: Keep,
}

impl DeadLettersFixture {
    /// A place with a second handle to the same storage.
    #[must_use]
    pub fn new(letters: Arc<dyn DeadLetters>, second: Arc<dyn DeadLetters>) -> Self {
        Self { letters, second, outage: None, keep: Keep::new() }
    }

    builder_methods!(outage);
}

/// Groups without members over an empty stream, for `persistent_subscription_contract!`.
pub struct SubscriptionFixture {
    /// The port.
    pub subscriptions: Arc<dyn Subscriptions>,
    /// Puts messages into the stream.
    pub append: Arc<dyn AppendEvents>,
    /// A stream that is this law's own.
    pub stream: String,
    /// How long the server may take to deliver again what a lost consumer held. Default 30 s.
    pub patience: Duration,
    /// Kept until the law has ended.
    pub keep: Keep,
}

impl SubscriptionFixture {
    /// Groups over `stream`, which `append` writes.
    #[must_use]
    pub fn new(
        subscriptions: Arc<dyn Subscriptions>,
        append: Arc<dyn AppendEvents>,
        stream: impl Into<String>,
    ) -> Self {
        let patience = Duration::from_secs(30);
        Self { subscriptions, append, stream: stream.into(), patience, keep: Keep::new() }
    }

    builder_methods!();
}

/// Both ends of a persist target: the present values that it reads, and what it has written.
#[async_trait]
pub trait TargetProbe: Send + Sync {
    /// Changes the present value of a key.
    async fn change(&self, key: &str, value: u64);

    /// What the target has durably written for the key.
    async fn written(&self, key: &str) -> Option<u64>;
}

/// A target that has written nothing, for `persist_target_contract!`.
pub struct TargetFixture {
    /// The port.
    pub target: Arc<dyn PersistTarget>,
    /// Both its ends.
    pub probe: Arc<dyn TargetProbe>,
    /// A key that the target can never write, where there is such a thing.
    pub bad_key: Option<String>,
    /// Cuts the target off.
    pub outage: Option<Outage>,
    /// Kept until the law has ended.
    pub keep: Keep,
}

impl TargetFixture {
    /// A target that takes every key.
    #[must_use]
    pub fn new(target: Arc<dyn PersistTarget>, probe: Arc<dyn TargetProbe>) -> Self {
        Self { target, probe, bad_key: None, outage: None, keep: Keep::new() }
    }

    builder_methods!(outage);

    /// Names a key that the target can never write.
    #[must_use]
    pub fn with_bad_key(mut self, key: impl Into<String>) -> Self {
        self.bad_key = Some(key.into());
        self
    }
}

/// A table of the user's, with a text key and a text value, which the factory has created and left empty. The
/// laws write to it without knowing the driver. The methods with a default are capabilities: `None` says that
/// the backend does not have it, and the laws that need it are skipped.
#[async_trait]
pub trait TestTable<Tx: Send>: Send + Sync {
    /// Inserts a row, or replaces its value.
    async fn put(&self, tx: &mut Tx, key: &str, value: &str) -> Result<(), Failure>;

    /// All rows, as this transaction sees them.
    async fn rows(&self, tx: &mut Tx) -> Result<BTreeMap<String, String>, Failure>;

    /// Runs a statement that succeeds and leaves a violated deferred constraint behind.
    async fn violate_deferred(&self, tx: &mut Tx) -> Option<Result<(), Failure>> {
        let _unused = tx;
        None
    }

    /// Runs one statement that does not end by itself.
    async fn run_forever(&self, tx: &mut Tx) -> Option<Result<(), Failure>> {
        let _unused = tx;
        None
    }

    /// `CREATE TABLE IF NOT EXISTS`, with this name.
    async fn create_table(&self, tx: &mut Tx, table: &str) -> Option<Result<(), Failure>> {
        let _unused = (tx, table);
        None
    }

    /// Whether the database tells of a [`TestTable::create_table`] that found the table there.
    fn tells_of_skipped_creation(&self) -> bool {
        true
    }

    /// Drops a table that [`TestTable::create_table`] has created; needed where that is.
    async fn drop_table(&self, tx: &mut Tx, table: &str) -> Option<Result<(), Failure>> {
        let _unused = (tx, table);
        None
    }

    /// Tries to `COMMIT`, as user code might.
    async fn end_transaction(&self, tx: &mut Tx) -> Option<Result<(), Failure>> {
        let _unused = tx;
        None
    }
}

/// An empty read model store, for `read_model_store_contract!`.
pub struct StoreFixture<S: ReadModelStore> {
    /// The store.
    pub store: S,
    /// A second handle to the same storage, as another process would have: nothing in memory is shared with
    /// `store` that two processes would not share.
    pub second: S,
    /// An empty table of the user's.
    pub table: Arc<dyn TestTable<S::Tx>>,
    /// Kept until the law has ended.
    pub keep: Keep,
}

impl<S: ReadModelStore> StoreFixture<S> {
    /// A store, a second handle to the same storage, and an empty user table in it.
    #[must_use]
    pub fn new(store: S, second: S, table: Arc<dyn TestTable<S::Tx>>) -> Self {
        Self { store, second, table, keep: Keep::new() }
    }

    builder_methods!();
}

/// An empty read model store with its operator's side, for `projection_control_contract!`.
pub struct ControlFixture<S: ReadModelStore> {
    /// The store, as the owner of projections has it.
    pub store: S,
    /// The operator's side of the same storage, as another process would have it.
    pub control: Arc<dyn ProjectionControl>,
    /// Kept until the law has ended.
    pub keep: Keep,
}

impl<S: ReadModelStore> ControlFixture<S> {
    /// A store and its operator's side.
    #[must_use]
    pub fn new(store: S, control: Arc<dyn ProjectionControl>) -> Self {
        Self { store, control, keep: Keep::new() }
    }

    builder_methods!();
}

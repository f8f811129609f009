//! Where read models are kept: decided once, by type, before the first projection is named.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use highwater_core::Error;
use highwater_core::policy::ClassifyError;
use highwater_core::ports::{EventLog, ProjectionControl, ReadModelStore};

use crate::handlers::HandlerStores;

/// A builder's choice of store. Implement it to run projections on a store of your own.
pub trait Stage: Sized + Send {
    /// What a projection is given to write with.
    type Tx: Send + 'static;
    /// The store.
    type Store: ReadModelStore<Tx = Self::Tx>;

    /// Connects; called once, by `start`.
    ///
    /// # Errors
    /// Why the store cannot be used.
    fn open(self) -> impl Future<Output = Result<Opened<Self::Store>, Error>> + Send;
}

/// Ends what a store or a log has open on its server. Called once, at the end.
pub type Close = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send + Sync>;

/// A connected store.
pub struct Opened<S> {
    /// A handle for each projection; they share the storage.
    pub store_for_projection: Box<dyn Fn() -> S + Send + Sync>,
    /// The operator's side of it.
    pub control: Arc<dyn ProjectionControl>,
    /// The event log in the same database, used unless another one is set.
    pub log: Option<Arc<dyn EventLog>>,
    /// Where handlers keep their checkpoints and dead letters, unless other places are set; `None` = nowhere here.
    pub handlers: Option<HandlerStores>,
    /// What knows the driver's errors.
    pub classifier: Option<Arc<dyn ClassifyError>>,
    /// What is left to do when all projections have ended, such as telling other processes that they may take over.
    /// It is awaited, so it should bound itself; the store and the log may still be used afterwards.
    pub close: Option<Close>,
}

impl<S> fmt::Debug for Opened<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

/// No store was chosen yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoStore;

/// What a projection is given before a store was chosen: nothing implements `Projection` for it, and that is the
/// message.
#[derive(Debug)]
pub enum ChooseAStoreFirst {}

//! A projection as it was asked for, and the runner that it becomes.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use highwater_core::Error;
use highwater_core::model::ProjectionState;
use highwater_core::ports::{DynProjection, EventLog, ProjectionControl, ReadModelStore};
use highwater_runtime::Environment;
use highwater_runtime::projection::{
    ProjectionDefinition, RewindTo, Rewound, RunEnd, Runner, Spreading, StartOptions, StatusCell, rebuild,
    rewind, run,
};
use tokio_util::sync::CancellationToken;

/// A projection as it was asked for.
pub(crate) struct Planned<Tx> {
    pub(crate) definition: ProjectionDefinition<Tx>,
    pub(crate) options: StartOptions,
}

impl<Tx: Send + 'static> Planned<Tx> {
    pub(crate) fn projection(&self) -> &dyn DynProjection<Tx> {
        &*self.definition.projection
    }
}

/// A runner whose store is no longer visible in its type.
pub(crate) trait AnyRunner: Send + Sync {
    fn run(&self, partition: u32, stop: CancellationToken) -> BoxFuture<'static, RunEnd>;
    fn rebuild(&self) -> BoxFuture<'_, Result<ProjectionState, Error>>;
    fn rewind<'r>(
        &'r self,
        control: &'r dyn ProjectionControl,
        to: RewindTo,
    ) -> BoxFuture<'r, Result<Rewound, Error>>;
}

/// A planned projection on its store.
pub(crate) struct OnStore<S: ReadModelStore> {
    pub(crate) store: Arc<S>,
    pub(crate) open_store: Arc<dyn Fn() -> S + Send + Sync>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) definition: Arc<ProjectionDefinition<S::Tx>>,
    pub(crate) environment: Environment,
    pub(crate) options: StartOptions,
    /// One a partition.
    pub(crate) status: Vec<StatusCell>,
    pub(crate) spreading: Option<Arc<Spreading<S>>>,
}

impl<S: ReadModelStore> AnyRunner for OnStore<S> {
    fn run(&self, partition: u32, stop: CancellationToken) -> BoxFuture<'static, RunEnd> {
        let status = self.status.iter().find(|status| status.get().partition == partition);
        let runner = Runner {
            store: (self.open_store)(),
            log: self.log.clone(),
            definition: Arc::new(self.definition.part(partition)),
            environment: self.environment.clone(),
            options: self.options,
            status: status.expect("each partition has a status").clone(),
            spreading: self.spreading.clone(),
        };
        run(runner, stop).boxed()
    }

    fn rebuild(&self) -> BoxFuture<'_, Result<ProjectionState, Error>> {
        rebuild(&*self.store, &*self.log, &self.definition, &self.environment).boxed()
    }

    fn rewind<'r>(
        &'r self,
        control: &'r dyn ProjectionControl,
        to: RewindTo,
    ) -> BoxFuture<'r, Result<Rewound, Error>> {
        rewind(&*self.store, &*self.log, control, &self.definition, &self.environment, to).boxed()
    }
}

//! A projection as it was asked for, and the runner that it becomes.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use highwater_core::Error;
use highwater_core::model::ProjectionState;
use highwater_core::ports::{DynProjection, EventLog, ReadModelStore};
use highwater_runtime::Environment;
use highwater_runtime::projection::{
    ProjectionDefinition, RunEnd, Runner, StartOptions, StatusCell, rebuild, run,
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
    fn run(&self, stop: CancellationToken) -> BoxFuture<'static, RunEnd>;
    fn rebuild(&self) -> BoxFuture<'_, Result<ProjectionState, Error>>;
}

/// A planned projection on its store.
pub(crate) struct OnStore<S: ReadModelStore> {
    pub(crate) store: Arc<S>,
    pub(crate) open_store: Arc<dyn Fn() -> S + Send + Sync>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) definition: Arc<ProjectionDefinition<S::Tx>>,
    pub(crate) environment: Environment,
    pub(crate) options: StartOptions,
    pub(crate) status: StatusCell,
}

impl<S: ReadModelStore> AnyRunner for OnStore<S> {
    fn run(&self, stop: CancellationToken) -> BoxFuture<'static, RunEnd> {
        let runner = Runner {
            store: (self.open_store)(),
            log: self.log.clone(),
            definition: self.definition.clone(),
            environment: self.environment.clone(),
            options: self.options,
            status: self.status.clone(),
        };
        run(runner, stop).boxed()
    }

    fn rebuild(&self) -> BoxFuture<'_, Result<ProjectionState, Error>> {
        rebuild(&*self.store, &*self.log, &self.definition, &self.environment).boxed()
    }
}

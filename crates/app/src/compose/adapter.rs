//! What is done with read models, whatever database they are in.
//!
//! A database says by [`Adapter`] how a projection in SQL becomes one that can be run on it, and what only it can
//! do. Everything else stands here once, generic over the adapter; behind [`ReadModels`] the adapter's type
//! disappears, because the binary chooses it at run time.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use highwater_core::model::{Filter, Position, ProjectionPart, RecordedEvent};
use highwater_core::ports::{Claim, DynProjection, EventLog, ProjectionControl, ReadModelStore, UnitOfWork};
use highwater_core::sql::{SampleReport, VerifyReport};
use highwater_core::{Error, ErrorKind};
use highwater_runtime::Environment;
use highwater_runtime::projection::{ProjectionDefinition, RewindTo, Rewound, StartOptions, rebuild, rewind};

use super::{Rebuilt, RunOptions};
use crate::builder::{Builder, ProjectionOptions, StartError};
use crate::handlers::{HandlerPlan, HandlerStores};
use crate::highwater::Highwater;
use crate::spec::ProjectionSpec;
use crate::stage::{Opened, Stage};

/// A projection in SQL, ready to run on a store.
pub(super) struct Prepared<Tx> {
    pub(super) projection: Arc<dyn DynProjection<Tx>>,
    pub(super) filter: Filter,
    pub(super) fingerprint: String,
}

/// Which events a read model is computed from again.
pub(super) struct Stretch {
    pub(super) after: Option<Position>,
    pub(super) through: Option<Position>,
    pub(super) skip: BTreeSet<Position>,
}

/// One kind of database for read models.
#[async_trait]
pub(super) trait Adapter: Send + Sync + 'static {
    type Store: ReadModelStore;

    /// A handle for one projection.
    fn store(&self) -> Self::Store;

    /// Reads a projection's SQL.
    ///
    /// # Errors
    /// All that is wrong with it.
    fn prepare(
        &self,
        spec: &ProjectionSpec,
    ) -> Result<Prepared<<Self::Store as ReadModelStore>::Tx>, Vec<String>>;

    /// Computes a read model again, beside it, and compares.
    async fn recompute(
        &self,
        spec: &ProjectionSpec,
        log: &dyn EventLog,
        stretch: Stretch,
        ignore: &[String],
    ) -> Result<VerifyReport, Error>;

    /// Runs a projection over a sample at several batch sizes (F-1).
    async fn sample(&self, spec: &ProjectionSpec, events: Vec<RecordedEvent>) -> Result<SampleReport, Error>;
}

/// Leases that are given up when they are dropped.
pub(super) type Held = Vec<Box<dyn Send>>;

/// What the binary does with read models.
#[async_trait]
pub(super) trait ReadModels: Send + Sync {
    async fn start(
        &self,
        shared: &Shared,
        projections: Vec<ProjectionSpec>,
        handlers: HandlerPlan,
        options: RunOptions,
    ) -> Result<Highwater, StartError>;

    async fn rebuild(&self, shared: &Shared, spec: &ProjectionSpec) -> Result<Rebuilt, Error>;

    async fn rewind(&self, shared: &Shared, spec: &ProjectionSpec, to: RewindTo) -> Result<Rewound, Error>;

    /// Sets a projection up, if it is not known, and checks it; in a transaction that is rolled back.
    async fn check(&self, spec: &ProjectionSpec, known: bool) -> Result<(), Vec<String>>;

    /// Keeps everybody else from running any of these for as long as what it returns is kept; `None` while
    /// somebody runs one.
    async fn hold(&self, parts: &[ProjectionPart]) -> Result<Option<Held>, Error>;

    async fn recompute(
        &self,
        spec: &ProjectionSpec,
        log: &dyn EventLog,
        stretch: Stretch,
        ignore: &[String],
    ) -> Result<VerifyReport, Error>;

    async fn sample(&self, spec: &ProjectionSpec, events: Vec<RecordedEvent>) -> Result<SampleReport, Error>;
}

/// What does not depend on the read models' database.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) control: Arc<dyn ProjectionControl>,
    pub(super) handlers: HandlerStores,
    pub(super) environment: Environment,
}

/// Read models in the adapter's database.
pub(super) struct On<A>(pub(super) Arc<A>);

#[async_trait]
impl<A: Adapter> ReadModels for On<A> {
    async fn start(
        &self,
        shared: &Shared,
        projections: Vec<ProjectionSpec>,
        handlers: HandlerPlan,
        options: RunOptions,
    ) -> Result<Highwater, StartError> {
        let adapter = self.0.clone();
        let opened = Opened {
            store_for_projection: Box::new(move || adapter.store()),
            control: shared.control.clone(),
            log: Some(shared.log.clone()),
            handlers: Some(shared.handlers.clone()),
            classifier: None,
            // Whoever has the backends closes them.
            close: None,
        };
        let mut builder = Builder::new()
            .store(Ready(opened))
            .environment(shared.environment.clone())
            .planned_handlers(handlers);
        for spec in projections {
            builder = match self.0.prepare(&spec) {
                Ok(prepared) => {
                    let asked = ProjectionOptions {
                        version: spec.version,
                        filter: prepared.filter,
                        settings: spec.settings,
                        start: StartOptions {
                            accept_changes: options.accept.contains(&spec.name),
                            trust_checkpoint: options.trust.contains(&spec.name),
                        },
                    };
                    builder.planned(spec.name.as_str(), prepared.projection, prepared.fingerprint, asked)
                }
                Err(problems) => problems.into_iter().fold(builder, Builder::problem),
            };
        }
        builder.start().await
    }

    async fn rebuild(&self, shared: &Shared, spec: &ProjectionSpec) -> Result<Rebuilt, Error> {
        let definition = Arc::new(self.definition(spec)?);
        let state = rebuild(&self.0.store(), &*shared.log, &definition, &shared.environment).await?;
        Ok(Rebuilt { generation: state.generation })
    }

    async fn rewind(&self, shared: &Shared, spec: &ProjectionSpec, to: RewindTo) -> Result<Rewound, Error> {
        let definition = Arc::new(self.definition(spec)?);
        let Shared { log, control, environment, .. } = shared;
        rewind(&self.0.store(), &**log, &**control, &definition, environment, to).await
    }

    async fn check(&self, spec: &ProjectionSpec, known: bool) -> Result<(), Vec<String>> {
        let projection = self.0.prepare(spec)?.projection;
        let store = self.0.store();
        let limit = spec.settings.batch_deadline;
        let outcome = store
            .transact(limit, move |mut unit| async move {
                let mut checked = Ok(());
                if !known {
                    checked = projection.setup(unit.tx()).await;
                }
                if checked.is_ok() {
                    checked = projection.check(unit.tx()).await;
                }
                unit.rollback().await?;
                Ok(checked.map_err(|failure| failure.message()))
            })
            .await;
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(message)) => Err(vec![message]),
            Err(error) => Err(vec![error.chain()]),
        }
    }

    async fn hold(&self, parts: &[ProjectionPart]) -> Result<Option<Held>, Error> {
        let store = self.0.store();
        let mut held: Held = Vec::with_capacity(parts.len());
        for part in parts {
            match store.claim(part).await? {
                Claim::Owned(lease) => held.push(Box::new(lease)),
                Claim::Busy => return Ok(None),
            }
        }
        Ok(Some(held))
    }

    async fn recompute(
        &self,
        spec: &ProjectionSpec,
        log: &dyn EventLog,
        stretch: Stretch,
        ignore: &[String],
    ) -> Result<VerifyReport, Error> {
        self.0.recompute(spec, log, stretch, ignore).await
    }

    async fn sample(&self, spec: &ProjectionSpec, events: Vec<RecordedEvent>) -> Result<SampleReport, Error> {
        self.0.sample(spec, events).await
    }
}

impl<A: Adapter> On<A> {
    fn definition(
        &self,
        spec: &ProjectionSpec,
    ) -> Result<ProjectionDefinition<<A::Store as ReadModelStore>::Tx>, Error> {
        let prepared = self.0.prepare(spec).map_err(|problems| {
            Error::new(ErrorKind::Invalid, "read the projection's SQL").because(problems.join("; "))
        })?;
        Ok(ProjectionDefinition {
            name: spec.name.clone(),
            version: spec.version,
            filter: prepared.filter,
            sql_fingerprint: prepared.fingerprint,
            projection: prepared.projection,
            settings: spec.settings.clone(),
        })
    }
}

/// A store that is open already.
struct Ready<S>(Opened<S>);

impl<S: ReadModelStore> Stage for Ready<S> {
    type Tx = S::Tx;
    type Store = S;

    async fn open(self) -> Result<Opened<S>, Error> {
        Ok(self.0)
    }
}

//! Open backends, and what the binary does with them.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;

use highwater_core::Error;
use highwater_core::model::RecordedEvent;
use highwater_core::ports::{
    AppendEvents, DeadLetters, EventLog, HandlerObserver, NoObserver, Observer, OwnedCheckpoints,
    PersistenceObserver, ProjectionControl,
};
use highwater_runtime::Environment;
use highwater_runtime::projection::{RewindTo, Rewound};

use super::adapter::{ReadModels, Shared};
use super::address::Address;
use super::open::Open;
use super::{Migrate, Rebuilt, RunOptions};
use crate::builder::StartError;
use crate::handlers::{HandlerPlan, HandlerStores};
use crate::highwater::Highwater;
use crate::spec::ProjectionSpec;
use crate::stage::Close;

/// Open backends.
pub struct Backends {
    /// Where events come from.
    pub log: Arc<dyn EventLog>,
    /// The writing side of the log.
    pub append: Arc<dyn AppendEvents>,
    /// The operator's side of the read models' store.
    pub control: Arc<dyn ProjectionControl>,
    /// Checkpoints of runners that are not transactional.
    pub checkpoints: Arc<dyn OwnedCheckpoints>,
    /// Events that handlers gave up.
    pub dead_letters: Option<Arc<dyn DeadLetters>>,
    /// How many batches in this process have won their state while somebody else had the lock that goes with it, and
    /// went on (E-11); `None` where the store has no such locks.
    pub key_collisions: Arc<dyn Fn() -> Option<u64> + Send + Sync>,
    pub(super) read_models: Box<dyn ReadModels>,
    environment: Environment,
    handler_observer: Arc<dyn HandlerObserver>,
    persistence_observer: Arc<dyn PersistenceObserver>,
    checkpoints_shown: String,
    store_shown: String,
    close: Mutex<Vec<Close>>,
}

/// Opens the log and the store; they may be one database.
///
/// # Errors
/// For a URL that is not understood, or a backend that cannot be used.
pub async fn open(
    log: impl Into<Address>,
    store: impl Into<Address>,
    migrate: Migrate,
) -> Result<Backends, Error> {
    open_with_checkpoints(log, store, None, migrate).await
}

/// As [`open`], with the checkpoints of handlers at an address of their own; their dead letters are in the store.
///
/// # Errors
/// As [`open`].
pub async fn open_with_checkpoints(
    log: impl Into<Address>,
    store: impl Into<Address>,
    checkpoints: Option<Address>,
    migrate: Migrate,
) -> Result<Backends, Error> {
    let Open { log, store, close } =
        super::open::open(&log.into(), &store.into(), checkpoints.as_ref(), migrate).await?;
    Ok(Backends {
        log: log.log,
        append: log.append,
        control: store.control,
        checkpoints: store.handlers.checkpoints,
        dead_letters: store.handlers.dead_letters,
        key_collisions: store.key_collisions.into(),
        read_models: store.read_models,
        environment: environment(),
        handler_observer: Arc::new(NoObserver),
        persistence_observer: Arc::new(NoObserver),
        checkpoints_shown: store.handlers.shown,
        store_shown: store.shown,
        close: Mutex::new(close),
    })
}

impl Backends {
    /// Creates or updates our own tables in the log's and the store's database; says what is up to date now.
    ///
    /// # Errors
    /// As [`open`].
    pub async fn migrate(log: impl Into<Address>, store: impl Into<Address>) -> Result<Vec<String>, Error> {
        Self::migrate_with_checkpoints(log, store, None).await
    }

    /// As [`Backends::migrate`], with the checkpoints of handlers at an address of their own.
    ///
    /// # Errors
    /// As [`open`].
    pub async fn migrate_with_checkpoints(
        log: impl Into<Address>,
        store: impl Into<Address>,
        checkpoints: Option<Address>,
    ) -> Result<Vec<String>, Error> {
        let Open { log, store, close } =
            super::open::open(&log.into(), &store.into(), checkpoints.as_ref(), Migrate::Auto).await?;
        let mut done = vec![format!("the event log in {} is up to date", log.shown)];
        if !store.log_in_store {
            done.push(format!("the store in {} is up to date", store.shown));
        }
        if checkpoints.is_some() {
            done.push(format!("the checkpoint store in {} is up to date", store.handlers.shown));
        }
        all(close).await;
        Ok(done)
    }

    /// Who is told what happens in what is started from here on.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.environment.observer = observer;
        self
    }

    /// Who is told what happens to handlers, and to the worker that writes their checkpoints.
    #[must_use]
    pub fn handlers_observed_by(
        mut self,
        observer: Arc<dyn HandlerObserver>,
        persistence: Arc<dyn PersistenceObserver>,
    ) -> Self {
        (self.handler_observer, self.persistence_observer) = (observer, persistence);
        self
    }

    /// Starts projections.
    ///
    /// # Errors
    /// All that is not valid, or why a backend cannot be used.
    pub async fn start(
        &self,
        projections: Vec<ProjectionSpec>,
        options: RunOptions,
    ) -> Result<Highwater, StartError> {
        self.read_models.start(&self.shared(), projections, HandlerPlan::default(), options).await
    }

    /// Starts projections and handlers; one of both is enough.
    ///
    /// # Errors
    /// All that is not valid, or why a backend or a sink cannot be used.
    #[cfg(feature = "sinks")]
    pub async fn start_with_handlers(
        &self,
        projections: Vec<ProjectionSpec>,
        handlers: super::HandlerSpecs,
        options: RunOptions,
    ) -> Result<Highwater, StartError> {
        let mut plan = handlers.plan(&options.trust)?;
        plan.observer = self.handler_observer.clone();
        plan.persistence_observer = self.persistence_observer.clone();
        self.read_models.start(&self.shared(), projections, plan, options).await
    }

    /// Empties a projection's read model and sets it back to the start (E-24); its next run fills it again.
    ///
    /// # Errors
    /// `Busy` while somebody runs it, `NotFound` if it never ran, or why it could not be emptied.
    pub async fn rebuild(&self, spec: &ProjectionSpec) -> Result<Rebuilt, Error> {
        self.read_models.rebuild(&self.shared(), spec).await
    }

    /// Sets a projection back to an earlier position of the log; its read model keeps what it has, and what stands
    /// behind the position is applied again.
    ///
    /// # Errors
    /// `Busy` while somebody runs it, `NotFound` if it never ran, `Invalid` for a position that it or the log has
    /// not reached, or why log or store cannot be asked.
    pub async fn rewind(&self, spec: &ProjectionSpec, to: RewindTo) -> Result<Rewound, Error> {
        self.read_models.rewind(&self.shared(), spec, to).await
    }

    /// Whether a projection could be started: its SQL is prepared, in a transaction that is rolled back (F-5).
    ///
    /// # Errors
    /// All that is wrong.
    pub async fn check(&self, spec: &ProjectionSpec) -> Result<(), Vec<String>> {
        let states = self.control.states().await.map_err(|error| vec![error.chain()])?;
        let known =
            states.into_iter().any(|state| state.key.name == spec.name && state.key.version == spec.version);
        self.read_models.check(spec, known).await
    }

    /// The same result however the log is cut into batches (F-1)? Runs the projection over a sample beside its
    /// read model, event by event, in sevens and at once; says what differs.
    ///
    /// # Errors
    /// When the projection cannot be run at all.
    pub async fn check_sample(
        &self,
        spec: &ProjectionSpec,
        events: Vec<RecordedEvent>,
    ) -> Result<Vec<String>, Error> {
        let report = self.read_models.sample(spec, events).await?;
        let failed = report.failed.into_iter().map(|failed| {
            format!("{} at {} cannot be applied: {}", failed.event_type, failed.position, failed.message)
        });
        let cuts = report.cuts.into_iter().flat_map(|cut| {
            let size = cut.batch;
            let error = cut
                .error
                .map(|error| format!("a batch of {size} fails although each event passes alone: {error}"));
            let differences = cut.differences.into_iter();
            error.into_iter().chain(differences.map(move |found| format!("in batches of {size}: {found}")))
        });
        Ok(failed.chain(cuts).collect())
    }

    /// Ends the connections: what is owned here is given up, other processes are told what was appended or committed,
    /// and nothing of this can be used any more. Without it that happens in its own time once everything is dropped,
    /// or not at all if the runtime ends first; then others find it out by polling. Bounds itself to a few seconds;
    /// the second time there is nothing left to do.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        all(std::mem::take(&mut *self.close.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn shared(&self) -> Shared {
        Shared {
            log: self.log.clone(),
            control: self.control.clone(),
            handlers: HandlerStores {
                checkpoints: self.checkpoints.clone(),
                dead_letters: self.dead_letters.clone(),
                shown: self.checkpoints_shown.clone(),
            },
            environment: self.environment.clone(),
        }
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends").field("store", &self.store_shown).finish_non_exhaustive()
    }
}

async fn all(close: Vec<Close>) {
    join_all(close.into_iter().map(|close| close())).await;
}

fn environment() -> Environment {
    let mut environment = Environment::new();
    #[cfg(feature = "sqlite")]
    {
        let classifier = Arc::new(highwater_sqlite::SqliteClassifier);
        environment.classifier = environment.classifier.with(classifier);
    }
    #[cfg(feature = "postgres")]
    {
        let classifier = Arc::new(highwater_postgres::PgClassifier);
        environment.classifier = environment.classifier.with(classifier);
    }
    #[cfg(feature = "redis")]
    {
        let classifier = Arc::new(highwater_redis::RedisClassifier);
        environment.classifier = environment.classifier.with(classifier);
    }
    environment
}

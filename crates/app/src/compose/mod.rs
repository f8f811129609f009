//! Puts backends together by their URLs: the only place that names concrete adapters.

mod sqlite_stage;
mod verify;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use highwater_core::model::{ProjectionName, RecordedEvent};
use highwater_core::ports::{
    AppendEvents, CheckpointStore, DynProjection, EventLog, Observer, ProjectionControl, ReadModelStore,
    UnitOfWork,
};
use highwater_core::{Error, ErrorKind};
use highwater_runtime::Environment;
use highwater_runtime::projection::{ProjectionDefinition, StartOptions, rebuild};
use highwater_sqlite::sql_projection::{SqlProjection, check_sample as sample};
use highwater_sqlite::{
    SqliteCheckpoints, SqliteClassifier, SqliteLog, SqliteOptions, SqliteStore, path_from_url,
};

pub use highwater_sqlite::sql_projection::{NotApplied, SqlText};

pub use self::sqlite_stage::SqliteStage;
pub use self::verify::{VerifiedTable, VerifyReport};
use crate::builder::{Builder, ProjectionOptions, StartError};
use crate::highwater::Highwater;
use crate::spec::ProjectionSpec;
use crate::stage::{Opened, Stage};

/// Who creates and updates our own tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Migrate {
    /// Whoever opens the file.
    #[default]
    Auto,
    /// Only [`Backends::migrate`]: a file that is not up to date is refused.
    Manual,
}

/// What an operator allows at this start, by projection.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Go on although the filter or the SQL has changed at the same version (E-6).
    pub accept: Vec<ProjectionName>,
    /// Go on although the stored checkpoint does not belong to this log (E-7).
    pub trust: Vec<ProjectionName>,
}

/// What a rebuild came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilt {
    /// The read model's generation now.
    pub generation: u64,
}

/// Open backends.
pub struct Backends {
    /// Where events come from.
    pub log: Arc<dyn EventLog>,
    /// The writing side of the log.
    pub append: Arc<dyn AppendEvents>,
    /// The operator's side of the read models' store.
    pub control: Arc<dyn ProjectionControl>,
    /// Checkpoints of runners that are not transactional.
    pub checkpoints: Arc<dyn CheckpointStore>,
    store: SqliteStore,
    store_path: PathBuf,
    log_in_store: bool,
    environment: Environment,
}

/// Opens the log and the store; they may be one database.
///
/// # Errors
/// For a URL that is not understood, or a backend that cannot be used.
pub async fn open(log_url: &str, store_url: &str, migrate: Migrate) -> Result<Backends, Error> {
    let (log_path, store_path) = (sqlite_path(log_url)?, sqlite_path(store_url)?);
    let options = SqliteOptions::default().migrate(migrate == Migrate::Auto);
    let log = SqliteLog::open(&log_path, &options).await?;
    let store = SqliteStore::open(&store_path, &options).await?;
    let checkpoints = SqliteCheckpoints::open(&store_path, &options).await?;
    let log_in_store = log.path() == store.path();
    let log = Arc::new(log);
    Ok(Backends {
        append: log.clone(),
        log,
        control: Arc::new(store.clone()),
        checkpoints: Arc::new(checkpoints),
        store_path: store.path().to_owned(),
        store,
        log_in_store,
        environment: environment(),
    })
}

/// Creates or updates our own tables in the log's and the store's database; says what is up to date now.
///
/// # Errors
/// As [`open`].
pub async fn migrate(log_url: &str, store_url: &str) -> Result<Vec<String>, Error> {
    let backends = open(log_url, store_url, Migrate::Auto).await?;
    let mut done = vec![format!("the event log in {} is up to date", sqlite_path(log_url)?.display())];
    if !backends.log_in_store {
        done.push(format!("the store in {} is up to date", sqlite_path(store_url)?.display()));
    }
    Ok(done)
}

/// The same result however the log is cut into batches (F-1)? Runs the projection over a sample in databases in
/// memory, event by event, in sevens and at once; says what differs.
///
/// # Errors
/// When the projection cannot be run at all.
pub async fn check_sample(spec: &ProjectionSpec, events: Vec<RecordedEvent>) -> Result<Vec<String>, Error> {
    let definition = spec.definition(false);
    let report = tokio::task::spawn_blocking(move || sample(&definition, &events))
        .await
        .map_err(|died| Error::new(ErrorKind::Other, "run the sample").because(died))??;
    let mut found = Vec::new();
    for failed in report.failed {
        found.push(format!(
            "{} at {} cannot be applied: {}",
            failed.event_type, failed.position, failed.message
        ));
    }
    for cut in report.cuts {
        if let Some(error) = cut.error {
            found.push(format!("a batch of {} fails although each event passes alone: {error}", cut.batch));
        }
        for difference in cut.differences {
            found.push(format!("in batches of {}: {difference}", cut.batch));
        }
    }
    Ok(found)
}

impl Backends {
    /// Creates or updates our own tables; see [`migrate`].
    ///
    /// # Errors
    /// As [`open`].
    pub async fn migrate(log_url: &str, store_url: &str) -> Result<Vec<String>, Error> {
        migrate(log_url, store_url).await
    }

    /// Who is told what happens in what is started from here on.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Self {
        self.environment.observer = observer;
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
        let mut builder = Builder::new().store(Ready(self.opened())).environment(self.environment.clone());
        for spec in projections {
            builder = match SqlProjection::new(spec.definition(self.log_in_store)) {
                Ok(projection) => {
                    let fingerprint = projection.sql_fingerprint().to_owned();
                    let asked = ProjectionOptions {
                        version: spec.version,
                        filter: projection.filter().clone(),
                        settings: spec.settings,
                        start: StartOptions {
                            accept_changes: options.accept.contains(&spec.name),
                            trust_checkpoint: options.trust.contains(&spec.name),
                        },
                    };
                    builder.planned(spec.name.as_str(), Arc::new(projection), fingerprint, asked)
                }
                Err(problems) => problems
                    .into_iter()
                    .fold(builder, |builder, problem| builder.problem(problem.to_string())),
            };
        }
        builder.start().await
    }

    /// Empties a projection's read model and sets it back to the start (E-24); its next run fills it again.
    ///
    /// # Errors
    /// `Busy` while somebody runs it, `NotFound` if it never ran, or why it could not be emptied.
    pub async fn rebuild(&self, spec: &ProjectionSpec) -> Result<Rebuilt, Error> {
        let projection = self.projection(spec)?;
        let definition = Arc::new(ProjectionDefinition {
            name: spec.name.clone(),
            version: spec.version,
            filter: projection.filter().clone(),
            sql_fingerprint: projection.sql_fingerprint().to_owned(),
            projection: Arc::new(projection) as Arc<dyn DynProjection<_>>,
            settings: spec.settings.clone(),
        });
        let store = self.store.for_projection();
        let state = rebuild(&store, &*self.log, &definition, &self.environment).await?;
        Ok(Rebuilt { generation: state.generation })
    }

    /// Whether a projection could be started: its SQL is prepared, in a transaction that is rolled back (F-5).
    ///
    /// # Errors
    /// All that is wrong.
    pub async fn check(&self, spec: &ProjectionSpec) -> Result<(), Vec<String>> {
        let projection = SqlProjection::new(spec.definition(self.log_in_store))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let known = self
            .control
            .states()
            .await
            .map_err(|error| vec![error.chain()])?
            .into_iter()
            .any(|state| state.key.name == spec.name && state.key.version == spec.version);
        let store = self.store.for_projection();
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

    fn projection(&self, spec: &ProjectionSpec) -> Result<SqlProjection, Error> {
        SqlProjection::new(spec.definition(self.log_in_store)).map_err(|problems| {
            let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Error::new(ErrorKind::Invalid, "read the projection's SQL").because(texts.join("; "))
        })
    }

    fn opened(&self) -> Opened<SqliteStore> {
        let store = self.store.clone();
        Opened {
            store_for_projection: Box::new(move || store.for_projection()),
            control: self.control.clone(),
            log: Some(self.log.clone()),
            classifier: None,
        }
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends").field("store", &self.store_path).finish_non_exhaustive()
    }
}

/// A store that is open already.
struct Ready(Opened<SqliteStore>);

impl Stage for Ready {
    type Tx = highwater_sqlite::SqliteTx;
    type Store = SqliteStore;

    async fn open(self) -> Result<Opened<SqliteStore>, Error> {
        Ok(self.0)
    }
}

fn environment() -> Environment {
    let mut environment = Environment::new();
    environment.classifier = environment.classifier.with(Arc::new(SqliteClassifier));
    environment
}

fn sqlite_path(url: &str) -> Result<PathBuf, Error> {
    if url.starts_with("sqlite:") {
        return path_from_url(url);
    }
    let scheme = url.split(':').next().unwrap_or_default();
    Err(Error::new(
        ErrorKind::Invalid,
        format!("open a backend: no adapter for `{scheme}:` URLs is built in; built in are: sqlite"),
    ))
}

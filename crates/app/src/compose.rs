//! Puts backends together by their URLs: the only place that names concrete adapters.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_core::model::{Position, ProjectionName, RecordedEvent};
use highwater_core::ports::{
    AppendEvents, CheckpointStore, Claim, DynProjection, EventLog, FailedQuery, Observer, ProjectionControl,
    ReadModelStore, UnitOfWork,
};
use highwater_core::settings::StartFrom;
use highwater_core::{Error, ErrorKind};
use highwater_runtime::Environment;
use highwater_runtime::projection::{ProjectionDefinition, StartOptions, rebuild};
use highwater_sqlite::sql_projection::{SqlProjection, check_sample as sample, verify};
use highwater_sqlite::{
    SqliteCheckpoints, SqliteClassifier, SqliteLog, SqliteOptions, SqliteStore, path_from_url,
};

pub use highwater_sqlite::sql_projection::{NotApplied, SqlText};

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

/// What computing a read model again came to.
#[derive(Debug, Clone)]
pub struct VerifyReport {
    /// Up to here the events were applied again.
    pub through: Option<Position>,
    /// How many.
    pub events: u64,
    /// Events that cannot be applied, with the reason: set aside by the projection, too, and discarded since, or
    /// a difference that the tables show.
    pub not_applied: Vec<NotApplied>,
    /// Each table of the read model.
    pub tables: Vec<VerifiedTable>,
}

/// A table of the read model, held against the recomputed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTable {
    /// Its name.
    pub name: String,
    /// What differs, in words; empty = equal.
    pub differences: Vec<String>,
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

    /// Computes a projection's read model again, beside it, and compares (E-26). What is not applied there is not
    /// applied here either: events that are parked, held or recorded.
    ///
    /// # Errors
    /// `NotFound` if it never ran, `Busy` while somebody runs it and it is not paused, or why it could not be
    /// computed.
    pub async fn verify(&self, spec: &ProjectionSpec, ignore: &[String]) -> Result<VerifyReport, Error> {
        let state = self
            .control
            .states()
            .await?
            .into_iter()
            .find(|state| state.key.name == spec.name && state.key.version == spec.version);
        let Some(state) = state else {
            return Err(Error::new(
                ErrorKind::NotFound,
                "verify a projection that never ran at this version",
            )
            .with("projection", &spec.name));
        };
        // Kept until the end: nobody begins to run it meanwhile.
        let lease = match self.store.claim(&spec.name).await? {
            Claim::Owned(lease) => Some(lease),
            Claim::Busy if state.paused => None,
            Claim::Busy => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    "verify a projection that is running: pause it first, and resume it afterwards",
                )
                .with("projection", &spec.name));
            }
        };
        let after = match spec.settings.start_from {
            StartFrom::Beginning => None,
            StartFrom::Position(position) => Some(position),
            StartFrom::End => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "verify a projection that began at the end of the log: nobody knows where that was",
                )
                .with("projection", &spec.name));
            }
        };
        let mut skip = BTreeSet::new();
        let mut query = FailedQuery { projection: Some(spec.name.clone()), ..FailedQuery::default() };
        loop {
            let page = self.control.failed_events(&query, 1_000).await?;
            skip.extend(page.iter().filter(|row| row.key == state.key).map(|row| row.position));
            match page.last() {
                Some(last) if page.len() == 1_000 => query.after = Some(last.position),
                _ => break,
            }
        }
        let definition = spec.definition(self.log_in_store);
        let report =
            verify(&definition, &self.store_path, &*self.log, after, state.scanned, &skip, ignore).await?;
        drop(lease);
        let mut tables: Vec<_> =
            report.tables.into_iter().map(|name| VerifiedTable { name, differences: Vec::new() }).collect();
        for difference in report.differences {
            let text = difference.to_string();
            if let Some(table) = tables.iter_mut().find(|table| table.name == difference.table()) {
                table.differences.push(text);
            }
        }
        let not_applied = report.not_applied;
        Ok(VerifyReport { through: state.scanned, events: report.events, not_applied, tables })
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

pub(crate) async fn open_stage(path: &Path) -> Result<Opened<SqliteStore>, Error> {
    let options = SqliteOptions::default();
    let log = SqliteLog::open(path, &options).await?;
    let store = SqliteStore::open(path, &options).await?;
    let control = Arc::new(store.clone());
    Ok(Opened {
        store_for_projection: Box::new(move || store.for_projection()),
        control,
        log: Some(Arc::new(log)),
        classifier: Some(Arc::new(SqliteClassifier)),
    })
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

//! One builder: it says where events come from, where read models are kept, and what runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::Error;
use highwater_core::model::{Filter, Pattern, ProjectionName};
use highwater_core::policy::{ClassifyError, OnFailure};
use highwater_core::ports::{
    DeadLetters, DynProjection, EventLog, Handler, HandlerObserver, Observer, OwnedCheckpoints,
    PersistenceObserver, Projection,
};
use highwater_core::settings::{PersistenceSettings, ProjectionSettings, StartFrom};
use highwater_runtime::Environment;
use highwater_runtime::projection::{ProjectionDefinition, StartOptions};

use crate::handlers::{HandlerOptions, HandlerPlan, HandlerStores, PlannedHandler, RunningHandlers};
use crate::highwater::Highwater;
use crate::plan::Planned;
use crate::stage::{NoStore, Opened, Stage};

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Names, filters, settings or SQL are not valid; all that is wrong, at once.
    #[error("the configuration is not valid: {}", .0.join("; "))]
    Invalid(Vec<String>),
    /// A backend cannot be used.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Options of a projection.
#[derive(Debug, Clone)]
pub struct ProjectionOptions {
    pub(crate) version: u32,
    pub(crate) filter: Filter,
    pub(crate) settings: ProjectionSettings,
    pub(crate) start: StartOptions,
}

impl Default for ProjectionOptions {
    fn default() -> Self {
        Self {
            version: 1,
            filter: Filter::all(),
            settings: ProjectionSettings::default(),
            start: StartOptions::default(),
        }
    }
}

impl ProjectionOptions {
    /// Only events of these types, each exact or a prefix with a trailing `*`. Default: all.
    #[must_use]
    pub fn types<T: AsRef<str>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.filter.types = types.into_iter().map(|pattern| Pattern::parse(pattern.as_ref())).collect();
        self
    }

    /// Only events of these streams, by the same rule. Default: all.
    #[must_use]
    pub fn streams<T: AsRef<str>>(mut self, streams: impl IntoIterator<Item = T>) -> Self {
        self.filter.streams = streams.into_iter().map(|pattern| Pattern::parse(pattern.as_ref())).collect();
        self
    }

    /// The version of its definition; raise it to make the read model anew, beside the old one. Default: 1.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Into how many partitions it is divided, by a hash of the stream; they are spread over the instances, and
    /// order holds within a stream. A change needs a new version or a rebuild. Default: 1.
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.settings.partitions = partitions;
        self
    }

    /// What happens to an event that can never be applied, or has had all its attempts. Default: retry in order,
    /// then park.
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.settings.on_failure = on_failure;
        self
    }

    /// Where a projection without a state begins. Default: at the beginning of the log.
    #[must_use]
    pub fn start_from(mut self, start_from: StartFrom) -> Self {
        self.settings.start_from = start_from;
        self
    }

    /// Any other setting.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut ProjectionSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Goes on although the filter or the SQL has changed at the same version. Default: refuses to start.
    #[must_use]
    pub fn accept_changes(mut self, accept: bool) -> Self {
        self.start.accept_changes = accept;
        self
    }

    /// Goes on although the stored checkpoint does not belong to this log. Default: faults.
    #[must_use]
    pub fn trust_checkpoint(mut self, trust: bool) -> Self {
        self.start.trust_checkpoint = trust;
        self
    }
}

/// Puts a [`Highwater`] together; nothing is opened before [`Builder::start`].
pub struct Builder<S: BuilderStage> {
    stage: S,
    log: Option<Arc<dyn EventLog>>,
    environment: Environment,
    planned: Vec<Planned<S::Tx>>,
    handlers: HandlerPlan,
    problems: Vec<String>,
}

/// What a [`Builder`] can be at: no store yet, or a [`Stage`].
pub trait BuilderStage {
    /// What a projection is given to write with.
    type Tx: Send + 'static;
}

impl BuilderStage for NoStore {
    type Tx = crate::stage::ChooseAStoreFirst;
}

impl<S: Stage> BuilderStage for S {
    type Tx = S::Tx;
}

impl Highwater {
    /// A builder that knows nothing yet.
    #[must_use]
    pub fn builder() -> Builder<NoStore> {
        Builder::new()
    }
}

impl Builder<NoStore> {
    pub(crate) fn new() -> Self {
        Self {
            stage: NoStore,
            log: None,
            environment: Environment::new(),
            planned: Vec::new(),
            handlers: HandlerPlan::default(),
            problems: Vec::new(),
        }
    }

    /// Read models, their state and the event log in this SQLite file; it is created if it does not exist.
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn sqlite(self, path: impl Into<std::path::PathBuf>) -> Builder<crate::compose::SqliteStage> {
        self.store(crate::compose::SqliteStage::new(path.into()))
    }

    /// Read models, their state and the event log in this PostgreSQL database, in the schema `highwater`:
    /// `postgres://user:password@host:port/database`.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn postgres(self, url: impl Into<String>) -> Builder<crate::compose::PostgresStage> {
        self.postgres_with(url, highwater_postgres::PgOptions::default())
    }

    /// As [`Builder::postgres`], with options: another schema, more connections.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn postgres_with(
        self,
        url: impl Into<String>,
        options: highwater_postgres::PgOptions,
    ) -> Builder<crate::compose::PostgresStage> {
        self.store(crate::compose::PostgresStage::new(url.into(), options))
    }

    /// A store of your own.
    #[must_use]
    pub fn store<S: Stage>(self, stage: S) -> Builder<S> {
        Builder {
            stage,
            log: self.log,
            environment: self.environment,
            planned: Vec::new(),
            handlers: self.handlers,
            problems: self.problems,
        }
    }
}

impl<S: BuilderStage> Builder<S> {
    /// Reads events from this log instead of the store's own.
    #[must_use]
    pub fn log(mut self, log: Arc<dyn EventLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// Who is told what happens. Default: nobody; [`crate::LogObserver`] writes log lines.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.environment.observer = observer;
        self
    }

    /// Time, chance, observation and classification, all at once.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Knows more error types; asked before the core's own rules.
    #[must_use]
    pub fn classify(mut self, classifier: Arc<dyn ClassifyError>) -> Self {
        self.environment.classifier = self.environment.classifier.with(classifier);
        self
    }

    /// A projection in Rust: exactly once in its read model.
    #[must_use]
    pub fn projection<P: Projection<S::Tx>>(
        self,
        name: &str,
        projection: P,
        options: impl FnOnce(ProjectionOptions) -> ProjectionOptions,
    ) -> Self {
        let options = options(ProjectionOptions::default());
        self.planned(name, Arc::new(projection), String::new(), options)
    }

    /// A handler: each event at least once, in the order of its stream. A closure is one:
    /// `|event: RecordedEvent| async move { … }`. Its name is the key of its checkpoint.
    #[must_use]
    pub fn handler<H: Handler>(
        self,
        name: &str,
        handler: H,
        options: impl FnOnce(HandlerOptions) -> HandlerOptions,
    ) -> Self {
        self.planned_handler(PlannedHandler {
            name: name.into(),
            handler: Arc::new(handler),
            options: options(HandlerOptions::default()),
            close: None,
        })
    }

    /// Where handlers keep their checkpoints. Default: in the store's own database. All handlers of this builder
    /// share one persistence worker, which writes them.
    #[must_use]
    pub fn checkpoints(mut self, checkpoints: Arc<dyn OwnedCheckpoints>) -> Self {
        self.handlers.checkpoints = Some(checkpoints);
        self
    }

    /// Where events go that a handler gives up. Default: into the store's own database.
    #[must_use]
    pub fn dead_letters(mut self, dead_letters: Arc<dyn DeadLetters>) -> Self {
        self.handlers.dead_letters = Some(dead_letters);
        self
    }

    /// The settings of the worker that writes the checkpoints of handlers.
    #[must_use]
    pub fn persistence(mut self, change: impl FnOnce(&mut PersistenceSettings)) -> Self {
        change(&mut self.handlers.persistence);
        self
    }

    /// How long a handler's claim holds without being renewed: after so long another process takes over from one
    /// that has died. Default: 10 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.handlers.lease = lease;
        self
    }

    /// Who is told what happens to handlers. Default: nobody; [`crate::HandlerLog`] writes log lines.
    #[must_use]
    pub fn handler_observer(mut self, observer: Arc<dyn HandlerObserver>) -> Self {
        self.handlers.observer = observer;
        self
    }

    /// Who is told what happens to the worker that writes the checkpoints of handlers. Default: nobody;
    /// [`crate::PersistenceLog`] writes log lines.
    #[must_use]
    pub fn persistence_observer(mut self, observer: Arc<dyn PersistenceObserver>) -> Self {
        self.handlers.persistence_observer = observer;
        self
    }

    /// All handlers at once, with what they share.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn planned_handlers(mut self, handlers: HandlerPlan) -> Self {
        self.handlers = handlers;
        self
    }

    fn planned_handler(mut self, handler: PlannedHandler) -> Self {
        self.handlers.planned.push(handler);
        self
    }

    pub(crate) fn planned(
        mut self,
        name: &str,
        projection: Arc<dyn DynProjection<S::Tx>>,
        sql_fingerprint: String,
        options: ProjectionOptions,
    ) -> Self {
        match ProjectionName::new(name) {
            Ok(name) => self.planned.push(Planned {
                definition: ProjectionDefinition {
                    name,
                    version: options.version,
                    filter: options.filter,
                    sql_fingerprint,
                    projection,
                    settings: options.settings,
                },
                options: options.start,
            }),
            Err(error) => self.problems.push(error.to_string()),
        }
        self
    }

    pub(crate) fn problem(mut self, problem: String) -> Self {
        self.problems.push(problem);
        self
    }

    /// All that is wrong with what was asked for (E-14, X-7).
    fn problems(&mut self) -> Vec<String> {
        let mut problems = std::mem::take(&mut self.problems);
        if self.planned.is_empty() && self.handlers.planned.is_empty() && problems.is_empty() {
            problems.push("nothing to run: name at least one projection or handler".to_owned());
        }
        let mut makers: BTreeMap<String, &ProjectionName> = BTreeMap::new();
        let mut names: Vec<&ProjectionName> = Vec::new();
        for planned in &self.planned {
            let name = &planned.definition.name;
            if names.contains(&name) {
                problems.push(format!("projection {name} is named twice: each needs a name of its own"));
            }
            names.push(name);
            if let Err(violations) = planned.definition.settings.validate() {
                problems.extend(
                    violations.into_iter().map(|violation| format!("projection {name}: {violation}")),
                );
            }
            for table in planned.projection().creates() {
                if let Some(other) = makers.insert(table.to_lowercase(), name)
                    && other != name
                {
                    problems.push(format!(
                        "projections {other} and {name} both create the table {table}: a table has one projection"
                    ));
                }
            }
        }
        let taken = self.planned.iter().map(|planned| planned.definition.name.as_str());
        problems.extend(self.handlers.problems(taken));
        problems
    }
}

impl<S: Stage> Builder<S> {
    /// Connects, checks everything, and starts the projections and handlers. Each becomes the owner of its read model
    /// or its checkpoint, or stands by while another instance is.
    ///
    /// # Errors
    /// All that is not valid, or why a backend cannot be used.
    pub async fn start(mut self) -> Result<Highwater, StartError> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(StartError::Invalid(problems));
        }
        let Opened { store_for_projection, control, log, handlers: own, classifier, close } =
            self.stage.open().await?;
        let Some(log) = self.log.or(log) else {
            return Err(StartError::Invalid(vec![
                "no event log: this store has none of its own, so name one with `.log(..)`".to_owned(),
            ]));
        };
        let mut environment = self.environment;
        if let Some(classifier) = classifier {
            environment.classifier = environment.classifier.with(classifier);
        }
        let handlers = if self.handlers.planned.is_empty() {
            RunningHandlers::default()
        } else {
            let stores = stores(&self.handlers, own)?;
            RunningHandlers::start(self.handlers, stores, &log, &environment)?
        };
        let mut highwater =
            Highwater::start(environment, log, control, store_for_projection.into(), self.planned, close);
        highwater.handlers = handlers;
        Ok(highwater)
    }
}

/// Where handlers keep what outlives them: as they were told, else in the store's own database.
fn stores(plan: &HandlerPlan, own: Option<HandlerStores>) -> Result<HandlerStores, StartError> {
    let own_letters = own.as_ref().and_then(|own| own.dead_letters.clone());
    let dead_letters = plan.dead_letters.clone().or(own_letters);
    let stores = match (&plan.checkpoints, own) {
        (Some(checkpoints), _) => {
            HandlerStores { checkpoints: checkpoints.clone(), dead_letters, shown: "checkpoints".to_owned() }
        }
        (None, Some(own)) => HandlerStores { dead_letters, ..own },
        (None, None) => {
            return Err(StartError::Invalid(vec![
                "no checkpoint store: this store has none of its own, so name one with `.checkpoints(..)`"
                    .to_owned(),
            ]));
        }
    };
    Ok(stores)
}

impl<S: BuilderStage> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.planned.iter().map(|planned| &planned.definition.name).collect();
        let handlers: Vec<_> = self.handlers.planned.iter().map(|planned| &planned.name).collect();
        f.debug_struct("Builder")
            .field("projections", &names)
            .field("handlers", &handlers)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use highwater_sqlite::sql_projection::{SqlProjection, SqlProjectionDef, SqlText};

    use super::*;

    fn counting(name: &str, schema: &str) -> Arc<SqlProjection> {
        let def = SqlProjectionDef {
            name: ProjectionName::new(name).unwrap(),
            schema: Some(SqlText::new(schema, "schema.sql")),
            apply: Some(SqlText::new("INSERT INTO counts SELECT count(*) FROM events", "apply.sql")),
            on: Vec::new(),
            filter: Filter::all(),
            tables: None,
            log_in_store: true,
        };
        Arc::new(SqlProjection::new(def).unwrap())
    }

    #[tokio::test]
    async fn e_14_a_table_with_two_makers_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let started = Highwater::builder()
            .sqlite(folder.path().join("log.db"))
            .planned("one", counting("one", "CREATE TABLE counts (n)"), String::new(), Default::default())
            .planned("two", counting("two", "CREATE TABLE COUNTS (n)"), String::new(), Default::default())
            .planned("two", counting("two", "CREATE TABLE other (n)"), String::new(), Default::default())
            .start()
            .await;
        let Err(StartError::Invalid(problems)) = started else { panic!("it must not start") };
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("one and two both create the table"), "{problems:?}");
        assert!(problems[1].contains("two is named twice"), "{problems:?}");
        assert!(!folder.path().join("log.db").exists(), "nothing is opened before all is checked");
    }
}

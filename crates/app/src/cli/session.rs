//! What a command works with: the config and the open backends.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use highwater::compose::{Backends, Migrate, open_with_checkpoints};
use highwater_core::Error;
use highwater_core::model::{Position, ProjectionName, ProjectionState};

use super::args::Global;
use super::config::{
    BackendUrl, Config, ConfigError, ConfigSource, MigrateMode, ProjectionConfig, load, nearest,
};
use super::error::CliError;
use super::watcher::Watcher;

/// What a command does with the backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only looks: nothing is created or migrated for it.
    Read,
    /// It changes something: our own tables are migrated first, unless the config says `manual`.
    Write,
}

/// A config with its open backends.
pub(crate) struct Session {
    /// The config.
    pub(crate) config: Config,
    /// The backends.
    pub(crate) backends: Opened,
    /// Sees what the runners do that these backends start.
    pub(crate) watcher: Arc<Watcher>,
}

/// What ends backends that are not needed any more.
static CLOSING: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Waits until all backends are closed, but not longer than this.
pub(crate) async fn all_closed(patience: Duration) {
    CLOSING.close();
    if timeout(patience, CLOSING.wait()).await.is_err() {
        tracing::debug!("connections stay open to the end of the process");
    }
}

/// Backends that are closed in the background when this is dropped, however a command ends: what it has appended or
/// committed is told to other processes, and what it owned is free. The end of the program waits for it.
pub(crate) struct Opened(Backends);

impl Opened {
    pub(crate) fn new(backends: Backends) -> Self {
        Self(backends)
    }
}

impl Deref for Opened {
    type Target = Backends;

    fn deref(&self) -> &Backends {
        &self.0
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // There is always one, for as long as a command runs.
        if let Ok(runtime) = Handle::try_current() {
            CLOSING.spawn_on(self.0.close(), &runtime);
        }
    }
}

impl Session {
    /// Reads the config and opens what it names.
    pub(crate) async fn open(global: &Global, access: Access) -> Result<Self, CliError> {
        Self::with(read_config(global)?, access).await
    }

    /// As [`Session::open`], without the place where handlers keep their checkpoints, for a command that has nothing to
    /// do with those: a store of checkpoints that is away keeps nobody from appending events.
    pub(crate) async fn open_without_checkpoints(global: &Global, access: Access) -> Result<Self, CliError> {
        Self::with_places(read_config(global)?, access, false).await
    }

    /// Opens what a config names.
    pub(crate) async fn with(config: Config, access: Access) -> Result<Self, CliError> {
        Self::with_places(config, access, true).await
    }

    async fn with_places(config: Config, access: Access, checkpoints: bool) -> Result<Self, CliError> {
        let migrate = match (access, config.migrate) {
            (Access::Write, MigrateMode::Auto) => Migrate::Auto,
            (Access::Write, MigrateMode::Manual) => Migrate::Manual,
            (Access::Read, _) => Migrate::ReadOnly,
        };
        if migrate != Migrate::Auto {
            exists(&config.log, config.migrate)?;
            exists(&config.store, config.migrate)?;
            if let Some(url) = config.checkpoints.url.as_ref().filter(|_| checkpoints) {
                exists(url, config.migrate)?;
            }
        }
        let watcher = Watcher::new();
        let (log, store) = (config.log.address(), config.store.address());
        let checkpoints = config.checkpoints_address().filter(|_| checkpoints);
        let backends = open_with_checkpoints(log, store, checkpoints, migrate).await?;
        let backends = backends.observed_by(watcher.clone());
        let backends = Opened::new(backends.handlers_observed_by(watcher.clone(), watcher.clone()));
        Ok(Self { config, backends, watcher })
    }

    /// A projection of the config.
    ///
    /// # Errors
    /// When the config has none of this name.
    pub(crate) fn projection(&self, name: &ProjectionName) -> Result<&ProjectionConfig, CliError> {
        self.is_no_handler(name)?;
        self.config.projection(name).ok_or_else(|| {
            let known = self.config.projections.iter().map(|projection| projection.spec.name.as_str());
            unknown_projection(name, known, "the config has no projection")
        })
    }

    /// Whether the config has a projection or a handler of this name.
    ///
    /// # Errors
    /// When it has neither.
    pub(crate) fn runs(&self, name: &ProjectionName) -> Result<(), CliError> {
        if self.config.projection(name).is_some() || self.config.handler(name).is_some() {
            return Ok(());
        }
        let projections = self.config.projections.iter().map(|projection| projection.spec.name.as_str());
        let handlers = self.config.handlers.iter().map(|handler| handler.spec.name.as_str());
        Err(unknown_projection(name, projections.chain(handlers), "the config has no projection or handler"))
    }

    /// Refuses what only projections have: a read model, state rows, failed events.
    ///
    /// # Errors
    /// When the config has a handler of this name.
    fn is_no_handler(&self, name: &ProjectionName) -> Result<(), CliError> {
        if self.config.handler(name).is_none() {
            return Ok(());
        }
        let error = CliError::unknown(format!("`{name}` is a handler, and this is for projections"));
        Err(error.hint(format!(
            "to have its events handled again: `highwater checkpoints reset {name} POSITION --expected POSITION`; what \
             it gave up: `highwater dead-letters list --handler {name}`"
        )))
    }

    /// The state rows of a projection, none if it never ran.
    ///
    /// # Errors
    /// When neither the config nor the store knows the name.
    pub(crate) async fn states_of(&self, name: &ProjectionName) -> Result<Vec<ProjectionState>, CliError> {
        let states = self.backends.control.states().await?;
        let (of_it, others): (Vec<_>, Vec<_>) = states.into_iter().partition(|state| state.key.name == *name);
        if of_it.is_empty() && self.config.projection(name).is_none() {
            let config = self.config.projections.iter().map(|projection| projection.spec.name.as_str());
            let stored = others.iter().map(|state| state.key.name.as_str());
            self.is_no_handler(name)?;
            return Err(unknown_projection(name, config.chain(stored), "there is no projection"));
        }
        Ok(of_it)
    }

    /// The log's end.
    pub(crate) async fn head(&self) -> Result<Option<Position>, Error> {
        self.backends.log.head().await
    }
}

/// A database that is not there is not created by looking at it.
fn exists(url: &BackendUrl, migrate: MigrateMode) -> Result<(), CliError> {
    match url.sqlite_file() {
        Some(file) if !file.exists() => {
            let error = CliError::unavailable(format!("the database {} does not exist yet", file.display()));
            Err(error.hint(match migrate {
                MigrateMode::Auto => {
                    "create it with `highwater migrate`, `highwater import` or `highwater run`"
                }
                MigrateMode::Manual => {
                    "create it with `highwater migrate`: the config says migrate = \"manual\""
                }
            }))
        }
        _ => Ok(()),
    }
}

/// The config as the flags and the environment say.
pub(crate) fn read_config(global: &Global) -> Result<Config, ConfigError> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    load(&ConfigSource { file: global.config.clone(), flags: global.set.clone(), variables })
}

fn unknown_projection<'k>(
    name: &ProjectionName,
    known: impl IntoIterator<Item = &'k str>,
    what: &str,
) -> CliError {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    let error = CliError::unknown(format!("{what} `{name}`"));
    match (nearest(name.as_str(), known.iter().copied()), known.is_empty()) {
        (Some(meant), _) => error.hint(format!("did you mean `{meant}`?")),
        (None, false) => error.hint(format!("there are {}", known.join(", "))),
        (None, true) => error.hint("there are none"),
    }
}

//! SQLite: the embedded default.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use highwater_core::model::RecordedEvent;
use highwater_core::ports::{EventLog, OwnedCheckpoints};
use highwater_core::sql::{SampleReport, VerifyReport};
use highwater_core::{Error, ErrorKind};
use highwater_sqlite::sql_projection::{SqlProjection, check_sample, verify};
use highwater_sqlite::{
    SqliteCheckpoints, SqliteClassifier, SqliteDeadLetters, SqliteLog, SqliteOptions, SqliteStore, SqliteTx,
    path_from_url,
};

use super::Migrate;
use super::adapter::{Adapter, On, Prepared, Stretch};
use super::address::Address;
use super::open::{OpenLog, OpenStore};
use crate::handlers::HandlerStores;
use crate::spec::ProjectionSpec;
use crate::stage::{Opened, Stage};

fn options(migrate: Migrate) -> SqliteOptions {
    SqliteOptions::default().migrate(migrate == Migrate::Auto)
}

pub(super) async fn open_log(address: &Address, migrate: Migrate) -> Result<OpenLog, Error> {
    let path = path_from_url(&address.url)?;
    let log = Arc::new(SqliteLog::open(&path, &options(migrate)).await?);
    Ok(OpenLog { place: place(log.path()), shown: path.display().to_string(), append: log.clone(), log })
}

/// `log` is where the log is; it may be the same file.
pub(super) async fn open_store(address: &Address, migrate: Migrate, log: &str) -> Result<OpenStore, Error> {
    let path = path_from_url(&address.url)?;
    let options = options(migrate);
    let store = SqliteStore::open(&path, &options).await?;
    let handlers = HandlerStores {
        checkpoints: Arc::new(SqliteCheckpoints::open(&path, &options).await?),
        dead_letters: Some(Arc::new(SqliteDeadLetters::open(&path, &options).await?)),
        shown: path.display().to_string(),
    };
    let log_in_store = log == place(store.path());
    Ok(OpenStore {
        shown: path.display().to_string(),
        log_in_store,
        control: Arc::new(store.clone()),
        handlers,
        key_collisions: Box::new(|| None),
        read_models: Box::new(On(Arc::new(Sqlite { path: store.path().to_owned(), store, log_in_store }))),
    })
}

/// Checkpoints in a file of their own, and where that is.
pub(super) async fn open_checkpoints(
    address: &Address,
    migrate: Migrate,
) -> Result<(Arc<dyn OwnedCheckpoints>, String), Error> {
    let path = path_from_url(&address.url)?;
    let checkpoints = SqliteCheckpoints::open(&path, &options(migrate)).await?;
    Ok((Arc::new(checkpoints), path.display().to_string()))
}

/// A text that is the same for every way to name a file.
fn place(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

struct Sqlite {
    store: SqliteStore,
    path: PathBuf,
    log_in_store: bool,
}

#[async_trait]
impl Adapter for Sqlite {
    type Store = SqliteStore;

    fn store(&self) -> SqliteStore {
        self.store.for_projection()
    }

    fn prepare(&self, spec: &ProjectionSpec) -> Result<Prepared<SqliteTx>, Vec<String>> {
        let projection = SqlProjection::new(spec.definition(self.log_in_store))
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        Ok(Prepared {
            filter: projection.filter().clone(),
            fingerprint: projection.sql_fingerprint().to_owned(),
            projection: Arc::new(projection),
        })
    }

    async fn recompute(
        &self,
        spec: &ProjectionSpec,
        log: &dyn EventLog,
        stretch: Stretch,
        ignore: &[String],
    ) -> Result<VerifyReport, Error> {
        let Stretch { after, through, skip } = stretch;
        let definition = spec.definition(self.log_in_store);
        verify(&definition, &self.path, log, after, through, &skip, ignore).await
    }

    async fn sample(&self, spec: &ProjectionSpec, events: Vec<RecordedEvent>) -> Result<SampleReport, Error> {
        let definition = spec.definition(false);
        tokio::task::spawn_blocking(move || check_sample(&definition, &events))
            .await
            .map_err(|died| Error::new(ErrorKind::Other, "run the sample").because(died))?
    }
}

/// A builder's choice of SQLite: log, read models and their state in one file.
#[derive(Debug, Clone)]
pub struct SqliteStage {
    path: PathBuf,
}

impl SqliteStage {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl Stage for SqliteStage {
    type Tx = SqliteTx;
    type Store = SqliteStore;

    async fn open(self) -> Result<Opened<SqliteStore>, Error> {
        let options = SqliteOptions::default();
        let log = SqliteLog::open(&self.path, &options).await?;
        let store = SqliteStore::open(&self.path, &options).await?;
        let control = Arc::new(store.clone());
        let handlers = HandlerStores {
            checkpoints: Arc::new(SqliteCheckpoints::open(&self.path, &options).await?),
            dead_letters: Some(Arc::new(SqliteDeadLetters::open(&self.path, &options).await?)),
            shown: self.path.display().to_string(),
        };
        Ok(Opened {
            store_for_projection: Box::new(move || store.for_projection()),
            control,
            log: Some(Arc::new(log)),
            handlers: Some(handlers),
            classifier: Some(Arc::new(SqliteClassifier)),
            close: None,
        })
    }
}

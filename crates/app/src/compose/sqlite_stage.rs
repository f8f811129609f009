//! A builder's choice of SQLite: log, read models and their state in one file.

use std::path::PathBuf;
use std::sync::Arc;

use highwater_core::Error;
use highwater_sqlite::{SqliteClassifier, SqliteLog, SqliteOptions, SqliteStore, SqliteTx};

use crate::stage::{Opened, Stage};

/// The embedded default.
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
        Ok(Opened {
            store_for_projection: Box::new(move || store.for_projection()),
            control,
            log: Some(Arc::new(log)),
            classifier: Some(Arc::new(SqliteClassifier)),
        })
    }
}

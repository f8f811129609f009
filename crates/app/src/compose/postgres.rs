//! PostgreSQL: where many processes share a log and its read models.

use std::sync::Arc;

use async_trait::async_trait;

use highwater_core::Error;
use highwater_core::model::RecordedEvent;
use highwater_core::ports::{EventLog, OwnedCheckpoints};
use highwater_core::sql::{SampleReport, VerifyReport};
use highwater_postgres::sql_projection::{SqlProjection, check_sample, verify};
use highwater_postgres::{
    Database, Ownership as ByPostgres, PgCheckpoints, PgClassifier, PgConnection, PgDeadLetters, PgLog,
    PgOptions, PgStore,
};

use super::Migrate;
use super::adapter::{Adapter, On, Prepared, Stretch};
use super::address::{Address, Ownership};
use super::open::{OpenLog, OpenStore};
use crate::handlers::HandlerStores;
use crate::spec::ProjectionSpec;
use crate::stage::{Close, Opened, Stage};

/// Databases by their addresses: log and store share one where they are one.
pub(super) struct Databases {
    migrate: Migrate,
    open: Vec<(Address, Database)>,
}

impl Databases {
    pub(super) fn new(migrate: Migrate) -> Self {
        Self { migrate, open: Vec::new() }
    }

    pub(super) async fn log(&mut self, address: &Address) -> Result<OpenLog, Error> {
        let database = self.at(address).await?;
        let log = Arc::new(PgLog::new(&database));
        match self.migrate {
            Migrate::Auto | Migrate::Manual => log.ensure_sound().await?,
            Migrate::ReadOnly => say_what_is_wrong(&log).await,
        }
        Ok(OpenLog { place: place(&database), shown: shown(&database), append: log.clone(), log })
    }

    /// `log` is where the log is; it may be the same database.
    pub(super) async fn store(&mut self, address: &Address, log: &str) -> Result<OpenStore, Error> {
        let database = self.at(address).await?;
        let store = PgStore::new(&database);
        let log_in_store = log == place(&database);
        Ok(OpenStore {
            shown: shown(&database),
            log_in_store,
            control: Arc::new(store.clone()),
            handlers: handlers_in(&database),
            key_collisions: Box::new({
                let database = database.clone();
                move || Some(database.key_collisions())
            }),
            read_models: Box::new(On(Arc::new(Postgres { store, database, log_in_store }))),
        })
    }

    /// Checkpoints in a database of their own, and where that is.
    pub(super) async fn checkpoints(
        &mut self,
        address: &Address,
    ) -> Result<(Arc<dyn OwnedCheckpoints>, String), Error> {
        let database = self.at(address).await?;
        Ok((Arc::new(PgCheckpoints::new(&database)), shown(&database)))
    }

    /// What ends them.
    pub(super) fn close(self) -> Vec<Close> {
        let databases = self.open.into_iter().map(|(_, database)| database);
        databases.map(|it| -> Close { Box::new(move || Box::pin(async move { it.close().await })) }).collect()
    }

    async fn at(&mut self, address: &Address) -> Result<Database, Error> {
        if let Some((_, database)) = self.open.iter().find(|(known, _)| known == address) {
            return Ok(database.clone());
        }
        let mut options = PgOptions::default().migrate(self.migrate == Migrate::Auto);
        if let Some(schema) = &address.schema {
            options = options.schema(schema);
        }
        if let Some(connections) = address.max_connections {
            options = options.max_connections(connections);
        }
        if let Ownership::Lease { term } = address.ownership {
            options = options.ownership(ByPostgres::Lease).lease_term(term);
        }
        let database = Database::open(&address.url, &options).await?;
        self.open.push((address.clone(), database.clone()));
        Ok(database)
    }
}

fn handlers_in(database: &Database) -> HandlerStores {
    HandlerStores {
        checkpoints: Arc::new(PgCheckpoints::new(database)),
        dead_letters: Some(Arc::new(PgDeadLetters::new(database))),
        shown: shown(database),
    }
}

/// Says what would keep anybody from appending to the log; who only reads it goes on.
async fn say_what_is_wrong(log: &PgLog) {
    match log.check().await {
        Ok(wrong) => {
            wrong.iter().for_each(|what| tracing::warn!("the event log must not be appended to: {what}"))
        }
        // Such as one who may read events and not the sequence.
        Err(error) => tracing::debug!(error = error.chain(), "the log's sequence was not looked at"),
    }
}

fn shown(database: &Database) -> String {
    format!("{}, schema {}", database.shown(), database.schema())
}

fn place(database: &Database) -> String {
    format!("postgres:{}", shown(database))
}

struct Postgres {
    store: PgStore,
    database: Database,
    log_in_store: bool,
}

#[async_trait]
impl Adapter for Postgres {
    type Store = PgStore;

    fn store(&self) -> PgStore {
        self.store.clone()
    }

    fn prepare(&self, spec: &ProjectionSpec) -> Result<Prepared<PgConnection>, Vec<String>> {
        let projection = SqlProjection::new(spec.definition(self.log_in_store), &self.database)
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
        verify(&definition, &self.database, log, after, through, &skip, ignore).await
    }

    async fn sample(&self, spec: &ProjectionSpec, events: Vec<RecordedEvent>) -> Result<SampleReport, Error> {
        check_sample(&spec.definition(false), &self.database, &events).await
    }
}

/// A builder's choice of PostgreSQL: log, read models and their state in one database.
#[derive(Debug, Clone)]
pub struct PostgresStage {
    url: String,
    options: PgOptions,
}

impl PostgresStage {
    pub(crate) fn new(url: String, options: PgOptions) -> Self {
        Self { url, options }
    }
}

impl Stage for PostgresStage {
    type Tx = PgConnection;
    type Store = PgStore;

    async fn open(self) -> Result<Opened<PgStore>, Error> {
        let database = Database::open(&self.url, &self.options).await?;
        let log = PgLog::new(&database);
        log.ensure_sound().await?;
        let store = PgStore::new(&database);
        let control = Arc::new(store.clone());
        Ok(Opened {
            store_for_projection: Box::new(move || store.clone()),
            control,
            log: Some(Arc::new(log)),
            handlers: Some(handlers_in(&database)),
            classifier: Some(Arc::new(PgClassifier)),
            close: Some(Box::new(move || Box::pin(async move { database.leave().await }))),
        })
    }
}

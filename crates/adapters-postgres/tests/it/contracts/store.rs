//! The suites of the store, its operator's side, the checkpoints and the dead letters. `second` handles share
//! nothing with the first, as if they were in another process.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use highwater_core::Failure;
use highwater_postgres::sqlx::{AssertSqlSafe, Executor, query, query_as, raw_sql};
use highwater_postgres::{Database, PgCheckpoints, PgConnection, PgDeadLetters, PgStore};
use highwater_testkit::contract::{
    CheckpointFixture, ControlFixture, DeadLettersFixture, Outage, OwnedCheckpointsFixture, StoreFixture,
    TestTable, lose, outage,
};

use crate::kit::Place;

/// Takes a table away and brings it back.
fn without_table(place: Arc<Place>, table: &'static str) -> Outage {
    outage(move |failing| {
        let place = place.clone();
        async move {
            let (from, to) = if failing { ("", "_gone") } else { ("_gone", "") };
            place.execute(&format!("ALTER TABLE highwater.{table}{from} RENAME TO {table}{to}")).await;
        }
    })
}

async fn checkpoints(_law: &str) -> Option<CheckpointFixture> {
    let place = Arc::new(Place::new().await?);
    let store = Arc::new(PgCheckpoints::new(&place.database().await));
    let second = Arc::new(PgCheckpoints::new(&place.database().await));
    let outage = without_table(place.clone(), "checkpoint");
    Some(CheckpointFixture::new(store, second).with_outage(outage).keeping(place))
}

async fn owned_checkpoints(_law: &str) -> Option<OwnedCheckpointsFixture> {
    let place = Arc::new(Place::new().await?);
    let store = Arc::new(PgCheckpoints::new(&place.database().await));
    let second = Arc::new(PgCheckpoints::new(&place.database().await));
    let outage = without_table(place.clone(), "checkpoint_key");
    let losing = place.clone();
    let lose = lose(move |key| {
        let place = losing.clone();
        async move { place.execute(&format!("DELETE FROM highwater.checkpoint WHERE key = '{key}'")).await }
    });
    Some(OwnedCheckpointsFixture::new(store, second, lose).with_outage(outage).keeping(place))
}

async fn dead_letters(_law: &str) -> Option<DeadLettersFixture> {
    let place = Arc::new(Place::new().await?);
    let letters = Arc::new(PgDeadLetters::new(&place.database().await));
    let second = Arc::new(PgDeadLetters::new(&place.database().await));
    let outage = without_table(place.clone(), "letter");
    Some(DeadLettersFixture::new(letters, second).with_outage(outage).keeping(place))
}

struct Table;

#[async_trait]
impl TestTable<PgConnection> for Table {
    async fn put(&self, tx: &mut PgConnection, key: &str, value: &str) -> Result<(), Failure> {
        query(
            "INSERT INTO test_table VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(tx)
        .await?;
        Ok(())
    }

    async fn rows(&self, tx: &mut PgConnection) -> Result<BTreeMap<String, String>, Failure> {
        let rows: Vec<(String, String)> = query_as("SELECT key, value FROM test_table").fetch_all(tx).await?;
        Ok(rows.into_iter().collect())
    }

    async fn violate_deferred(&self, tx: &mut PgConnection) -> Option<Result<(), Failure>> {
        let violated = query("INSERT INTO test_child VALUES (12345)").execute(tx).await;
        Some(violated.map(|_| ()).map_err(Failure::new))
    }

    async fn run_forever(&self, tx: &mut PgConnection) -> Option<Result<(), Failure>> {
        Some(query("SELECT pg_sleep(1000000)").execute(tx).await.map(|_| ()).map_err(Failure::new))
    }

    async fn create_table(&self, tx: &mut PgConnection, table: &str) -> Option<Result<(), Failure>> {
        let sql = AssertSqlSafe(format!("CREATE TABLE IF NOT EXISTS {table} (x int)"));
        Some(tx.execute(raw_sql(sql)).await.map(|_| ()).map_err(Failure::new))
    }

    /// It does so in a notice, which the driver keeps to itself.
    fn tells_of_skipped_creation(&self) -> bool {
        false
    }

    async fn drop_table(&self, tx: &mut PgConnection, table: &str) -> Option<Result<(), Failure>> {
        let sql = AssertSqlSafe(format!("DROP TABLE {table}"));
        Some(tx.execute(raw_sql(sql)).await.map(|_| ()).map_err(Failure::new))
    }

    async fn end_transaction(&self, tx: &mut PgConnection) -> Option<Result<(), Failure>> {
        Some(tx.execute("COMMIT").await.map(|_| ()).map_err(Failure::new))
    }
}

/// A place with the user's tables.
async fn stores() -> Option<Place> {
    let place = Place::new().await?;
    place
        .execute(
            "CREATE TABLE test_table (key text PRIMARY KEY, value text);
             CREATE TABLE test_parent (id int PRIMARY KEY);
             CREATE TABLE test_child (parent int REFERENCES test_parent (id) DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    Some(place)
}

async fn store(_law: &str) -> Option<StoreFixture<PgStore>> {
    let place = stores().await?;
    let store = PgStore::new(&place.database().await);
    let second = PgStore::new(&place.database().await);
    Some(StoreFixture::new(store, second, Arc::new(Table)).keeping(place))
}

/// Each process with one connection for everything (E-23).
async fn store_of_one_connection(_law: &str) -> Option<StoreFixture<PgStore>> {
    let place = stores().await?;
    let options = place.options().max_connections(1);
    let open =
        async || PgStore::new(&Database::open(&place.url(), &options).await.expect("the database opens"));
    let (store, second) = (open().await, open().await);
    Some(StoreFixture::new(store, second, Arc::new(Table)).keeping(place))
}

async fn control(_law: &str) -> Option<ControlFixture<PgStore>> {
    let place = stores().await?;
    let store = PgStore::new(&place.database().await);
    let second = PgStore::new(&place.database().await);
    Some(ControlFixture::new(store, Arc::new(second)).keeping(place))
}

highwater_testkit::checkpoint_store_contract!(checkpoint_store, super::checkpoints);
highwater_testkit::owned_checkpoints_contract!(owned_checkpoints_port, super::owned_checkpoints);
highwater_testkit::dead_letters_contract!(dead_letters_port, super::dead_letters);
highwater_testkit::read_model_store_contract!(read_model_store, super::store);
highwater_testkit::read_model_store_contract!(store_with_one_connection, super::store_of_one_connection);
highwater_testkit::projection_control_contract!(projection_control, super::control);

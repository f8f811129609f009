//! The contract suites. `second` handles share nothing with the first, as if they were in another process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use highwater_core::Failure;
use highwater_sqlite::{SqliteCheckpoints, SqliteDeadLetters, SqliteLog, SqliteStore, SqliteTx};
use highwater_testkit::contract::{
    CheckpointFixture, ControlFixture, DeadLettersFixture, LogFixture, Outage, OwnedCheckpointsFixture,
    StoreFixture, TestTable, lose, outage,
};

use crate::kit::{ENDLESS, Place, options, raw};

/// Takes a table away and brings it back.
fn without_table(path: PathBuf, table: &'static str) -> Outage {
    outage(move |failing| {
        let path = path.clone();
        async move {
            let gone = format!("{table}_gone");
            let (from, to) = if failing { (table, gone.as_str()) } else { (gone.as_str(), table) };
            raw(&path).execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).expect("a rename");
        }
    })
}

async fn log(_law: &str) -> Option<LogFixture> {
    let place = Place::new();
    let log = Arc::new(SqliteLog::open(place.file(), &options()).await.expect("the log opens"));
    let outage = without_table(place.file(), "highwater_event");
    Some(LogFixture::new(log.clone(), log).with_outage(outage).keeping(place))
}

/// Written by one process, read by another.
async fn log_of_two(_law: &str) -> Option<LogFixture> {
    let place = Place::new();
    let apart = options().as_another_process();
    let append = Arc::new(SqliteLog::open(place.file(), &apart).await.expect("the log opens"));
    let read = Arc::new(SqliteLog::open(place.file(), &apart).await.expect("the log opens"));
    Some(LogFixture::new(read, append).keeping(place))
}

async fn checkpoints(_law: &str) -> Option<CheckpointFixture> {
    let place = Place::new();
    let apart = options().as_another_process();
    let store = Arc::new(SqliteCheckpoints::open(place.file(), &options()).await.expect("the store opens"));
    let second = Arc::new(SqliteCheckpoints::open(place.file(), &apart).await.expect("the store opens"));
    let outage = without_table(place.file(), "highwater_checkpoint");
    Some(CheckpointFixture::new(store, second).with_outage(outage).keeping(place))
}

async fn owned_checkpoints(_law: &str) -> Option<OwnedCheckpointsFixture> {
    let place = Place::new();
    let apart = options().as_another_process();
    let store = Arc::new(SqliteCheckpoints::open(place.file(), &options()).await.expect("the store opens"));
    let second = Arc::new(SqliteCheckpoints::open(place.file(), &apart).await.expect("the store opens"));
    let outage = without_table(place.file(), "highwater_checkpoint_key");
    let file = place.file();
    let lose = lose(move |key| {
        let gone = raw(&file).execute("DELETE FROM highwater_checkpoint WHERE key = ?1", [key]);
        assert_eq!(gone, Ok(1), "there is a checkpoint");
        std::future::ready(())
    });
    Some(OwnedCheckpointsFixture::new(store, second, lose).with_outage(outage).keeping(place))
}

async fn dead_letters(_law: &str) -> Option<DeadLettersFixture> {
    let place = Place::new();
    let apart = options().as_another_process();
    let letters =
        Arc::new(SqliteDeadLetters::open(place.file(), &options()).await.expect("the letters open"));
    let second = Arc::new(SqliteDeadLetters::open(place.file(), &apart).await.expect("the letters open"));
    let outage = without_table(place.file(), "highwater_letter");
    Some(DeadLettersFixture::new(letters, second).with_outage(outage).keeping(place))
}

struct Table;

#[async_trait]
impl TestTable<SqliteTx> for Table {
    async fn put(&self, tx: &mut SqliteTx, key: &str, value: &str) -> Result<(), Failure> {
        tx.prepare_cached("INSERT OR REPLACE INTO test_table VALUES (?1, ?2)")?.execute([key, value])?;
        Ok(())
    }

    async fn rows(&self, tx: &mut SqliteTx) -> Result<BTreeMap<String, String>, Failure> {
        let mut select = tx.prepare_cached("SELECT key, value FROM test_table")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    async fn violate_deferred(&self, tx: &mut SqliteTx) -> Option<Result<(), Failure>> {
        Some(tx.execute_batch("INSERT INTO test_child VALUES (12345)").map_err(Failure::new))
    }

    async fn run_forever(&self, tx: &mut SqliteTx) -> Option<Result<(), Failure>> {
        Some(tx.query_row(ENDLESS, [], |_| Ok(())).map_err(Failure::new))
    }

    async fn create_table(&self, tx: &mut SqliteTx, table: &str) -> Option<Result<(), Failure>> {
        Some(tx.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {table} (x)")).map_err(Failure::new))
    }

    async fn drop_table(&self, tx: &mut SqliteTx, table: &str) -> Option<Result<(), Failure>> {
        Some(tx.execute_batch(&format!("DROP TABLE {table}")).map_err(Failure::new))
    }

    async fn end_transaction(&self, tx: &mut SqliteTx) -> Option<Result<(), Failure>> {
        Some(tx.execute_batch("COMMIT").map_err(Failure::new))
    }
}

async fn stores() -> (Place, SqliteStore, SqliteStore) {
    let place = Place::new();
    let store = place.store().await;
    place
        .raw()
        .execute_batch(
            "CREATE TABLE test_table (key TEXT PRIMARY KEY, value TEXT);
             CREATE TABLE test_parent (id INTEGER PRIMARY KEY);
             CREATE TABLE test_child (
                 parent INTEGER REFERENCES test_parent (id) DEFERRABLE INITIALLY DEFERRED);",
        )
        .expect("the user's tables");
    let second =
        SqliteStore::open(place.file(), &options().as_another_process()).await.expect("the store opens");
    (place, store, second)
}

async fn store(_law: &str) -> Option<StoreFixture<SqliteStore>> {
    let (place, store, second) = stores().await;
    Some(StoreFixture::new(store, second, Arc::new(Table)).keeping(place))
}

async fn control(_law: &str) -> Option<ControlFixture<SqliteStore>> {
    let (place, store, second) = stores().await;
    Some(ControlFixture::new(store, Arc::new(second)).keeping(place))
}

highwater_testkit::event_log_contract!(event_log, super::log);
highwater_testkit::append_events_contract!(append_events, super::log);
highwater_testkit::event_log_contract!(event_log_of_two_processes, super::log_of_two);
highwater_testkit::checkpoint_store_contract!(checkpoint_store, super::checkpoints);
highwater_testkit::owned_checkpoints_contract!(owned_checkpoints_port, super::owned_checkpoints);
highwater_testkit::dead_letters_contract!(dead_letters_port, super::dead_letters);
highwater_testkit::read_model_store_contract!(read_model_store, super::store);
highwater_testkit::projection_control_contract!(projection_control, super::control);

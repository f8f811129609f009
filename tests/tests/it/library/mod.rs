//! The library from outside: projections in Rust on SQLite, exactly once.

mod failures;
mod partitions;
mod reading;
mod restarts;
mod running;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater::sqlite::{SqliteLog, SqliteOptions, SqliteTx};
use highwater::{
    Append, AppendEvents as _, Expected, Failure, Highwater, NewEvent, Outcome, Position, Projection,
    ProjectionOptions, RecordedEvent, Report,
};
use highwater_tests::Database;
use tempfile::TempDir;

/// A database file with a log.
pub(super) struct Store {
    pub(super) folder: TempDir,
    pub(super) log: SqliteLog,
}

impl Store {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let log = SqliteLog::open(folder.path().join("events.db"), &SqliteOptions::default()).await;
        Self { log: log.expect("the file can be made"), folder }
    }

    /// A store with `count` events of the type `Counted`, their payloads their numbers.
    pub(super) async fn with(count: i64) -> Self {
        let this = Self::new().await;
        this.append(count).await;
        this
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("events.db")
    }

    pub(super) fn database(&self) -> Database {
        Database::read(&self.path())
    }

    /// Appends events, each by a call of its own, in streams of ten; the last position.
    pub(super) async fn append(&self, count: i64) -> Position {
        let appends: Vec<Append> =
            (0..count).map(|n| self.call(&format!("s-{}", n % 10), "Counted", [n])).collect();
        let appended = self.log.append(&appends).await.expect("the log takes them");
        appended.last().expect("there is one").last
    }

    pub(super) fn call(
        &self,
        stream: &str,
        event_type: &str,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Append {
        let events = numbers.into_iter().map(|n| NewEvent::json(event_type, n.to_string()));
        Append { stream: stream.into(), category: None, expected: Expected::Any, events: events.collect() }
    }

    pub(super) async fn append_one(&self, append: Append) -> Position {
        self.log.append(&[append]).await.expect("the log takes it")[0].last
    }

    /// Starts a projection under the name `counted`.
    pub(super) async fn start(
        &self,
        projection: impl Projection<SqliteTx>,
        options: impl FnOnce(ProjectionOptions) -> ProjectionOptions,
    ) -> Highwater {
        let builder = Highwater::builder().sqlite(self.path()).projection("counted", projection, options);
        builder.start().await.expect("it starts")
    }

    /// Runs a projection until it has caught up.
    pub(super) async fn run(
        &self,
        projection: impl Projection<SqliteTx>,
        options: impl FnOnce(ProjectionOptions) -> ProjectionOptions,
    ) -> Report {
        let highwater = self.start(projection, options).await;
        highwater.run_until_caught_up(std::future::pending()).await.expect("it runs")
    }

    /// The numbers in the read model, in the order in which they were written.
    pub(super) fn numbers(&self) -> Vec<i64> {
        self.database().rows("SELECT number FROM counted ORDER BY rowid", |row| row.get(0))
    }

    pub(super) fn failed(&self, state: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM highwater_failed_event WHERE state = '{state}'");
        self.database().number(&sql)
    }
}

type Judge = dyn Fn(i64) -> Result<(), Failure> + Send + Sync;

/// Writes each event's number, after `judge` has had its say; counts how often it was called.
#[derive(Clone)]
pub(super) struct Counted {
    judge: Arc<Judge>,
    calls: Arc<AtomicU64>,
}

impl Counted {
    pub(super) fn new(judge: impl Fn(i64) -> Result<(), Failure> + Send + Sync + 'static) -> Self {
        Self { judge: Arc::new(judge), calls: Arc::default() }
    }

    pub(super) fn all() -> Self {
        Self::new(|_| Ok(()))
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Projection<SqliteTx> for Counted {
    async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let number: i64 = event.json()?;
        tx.prepare_cached("INSERT INTO counted (number) VALUES (?1)")?.execute([number])?;
        (self.judge)(number)
    }

    async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        tx.execute_batch("CREATE TABLE counted (number INTEGER NOT NULL CHECK (number < 1000000))")?;
        Ok(())
    }

    async fn clear(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        tx.execute_batch("DELETE FROM counted")?;
        Ok(())
    }
}

/// Batches of at most `most`, attempts without long pauses.
pub(super) fn small(most: usize) -> impl FnOnce(ProjectionOptions) -> ProjectionOptions {
    move |options| {
        options.settings(|settings| {
            settings.batch = most;
            settings.min_batch = most.min(32);
            settings.max_batch = most;
            settings.max_failures = 3;
            settings.retry_base = Duration::from_millis(1);
            settings.retry_cap = Duration::from_millis(20);
            settings.poll_interval = Duration::from_millis(50);
        })
    }
}

pub(super) fn outcome(report: &Report) -> &Outcome {
    &report.projections[0].outcome
}

pub(super) fn up_to(count: i64) -> Vec<i64> {
    (0..count).collect()
}

pub(super) fn without(count: i64, bad: &[i64]) -> Vec<i64> {
    (0..count).filter(|number| !bad.contains(number)).collect()
}

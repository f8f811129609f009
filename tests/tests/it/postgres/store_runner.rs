//! The runner of the library on PostgreSQL, with a log in memory: projections in Rust that fail in every way that
//! they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use highwater::core::model::{FailedState, Filter, ProjectionKey, ProjectionName, ProjectionState};
use highwater::core::policy::Classifier;
use highwater::core::ports::{FailedQuery, ProjectionControl as _};
use highwater::{
    AppendEvents as _, Environment, EventLog as _, Failure, Phase, Projection, ProjectionSettings,
    RecordedEvent, SavepointMode,
};
use highwater_postgres::sqlx::{self, Executor as _, query};
use highwater_postgres::{PgClassifier, PgConnection, PgStore};
use highwater_runtime::projection::{
    ProjectionDefinition, RunEnd, Runner, StartOptions, StatusCell, run as run_projection,
};
use highwater_testkit::fixtures::{append_to, new_event};
use highwater_testkit::memory::MemoryLog;
use highwater_tests::LIMIT;
use highwater_tests::postgres::Place;

const ENDLESS: &str = "SELECT pg_sleep(1000000)";

fn key() -> ProjectionKey {
    ProjectionKey { name: ProjectionName::new("ledger").expect("a valid name"), version: 1, partition: 0 }
}

/// Runs a statement of the user's.
async fn run(tx: &mut PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    tx.execute(sqlx::raw_sql(sql)).await.map(|_| ())
}

/// Writes each event down once, and fails by the event's type.
#[derive(Clone, Default)]
struct Ledger {
    terminated: Arc<AtomicBool>,
}

impl Projection<PgConnection> for Ledger {
    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        run(
            tx,
            "CREATE TABLE applied (position bigint PRIMARY KEY);
             CREATE TABLE started (position bigint);
             CREATE TABLE parent (id int PRIMARY KEY);
             CREATE TABLE child (parent int REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
        )
        .await?;
        Ok(())
    }

    async fn apply(&self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), Failure> {
        let position = i64::try_from(event.position().commit())?;
        // Half of the effect comes before the failure: it must not be left.
        query("INSERT INTO started VALUES ($1)").bind(position).execute(&mut *tx).await?;
        match event.event_type() {
            "Permanent" => run(tx, "SELECT 1/0").await?,
            "Swallows" => drop(run(tx, "SELECT 1/0").await),
            "Deferred" => run(tx, "INSERT INTO child VALUES (1)").await?,
            "Endless" => run(tx, ENDLESS).await?,
            "Waits" => std::future::pending().await,
            "Panics" => panic!("a panic in a projection"),
            "Terminates" if !self.terminated.swap(true, Ordering::SeqCst) => {
                run(tx, "SELECT pg_terminate_backend(pg_backend_pid())").await?;
            }
            "Ends" => run(tx, "COMMIT").await?,
            _ => {}
        }
        query("INSERT INTO applied VALUES ($1)").bind(position).execute(tx).await?;
        Ok(())
    }
}

async fn append(log: &MemoryLog, types: &[&str]) {
    let before = log.head().await.expect("the log answers").map_or(0, |head| head.commit());
    for (n, event_type) in (before..).zip(types) {
        let append = append_to(&format!("s-{n}"), vec![new_event(n, event_type)]);
        log.append(&[append]).await.expect("it can be appended");
    }
}

struct Process {
    status: StatusCell,
    stop: CancellationToken,
    task: JoinHandle<RunEnd>,
}

/// A process of its own: nothing is shared with the others but the log and the database.
async fn start(place: &Place, log: &MemoryLog, savepoint: SavepointMode) -> Process {
    let classifier = Classifier::new().with(Arc::new(PgClassifier));
    let settings = ProjectionSettings {
        max_failures: 1,
        statement_timeout: Duration::from_millis(100),
        savepoint,
        ..ProjectionSettings::default()
    };
    let status = StatusCell::new(key().name);
    let runner = Runner {
        store: PgStore::new(&place.database().await),
        log: Arc::new(log.clone()),
        definition: Arc::new(ProjectionDefinition {
            name: key().name,
            version: 1,
            filter: Filter::all(),
            sql_fingerprint: String::new(),
            projection: Arc::new(Ledger::default()),
            settings,
        }),
        environment: Environment { classifier, ..Environment::new() },
        options: StartOptions::default(),
        status: status.clone(),
        spreading: None,
    };
    let stop = CancellationToken::new();
    Process { status, task: tokio::spawn(run_projection(runner, stop.clone())), stop }
}

impl Process {
    async fn caught_up(&self, log: &MemoryLog) {
        let head = log.head().await.expect("the log answers");
        let mut changes = self.status.subscribe();
        let done = changes.wait_for(|status| status.phase == Phase::Live && status.scanned >= head);
        let done = timeout(LIMIT, done).await;
        assert!(matches!(done, Ok(Ok(_))), "it is {:?}", self.status.get());
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("it has not panicked");
    }
}

const APPLIED: &str = "SELECT sum(position)::bigint FROM applied";
const STARTED: &str = "SELECT sum(position)::bigint FROM started";

fn found(place: &Place, sql: &str) -> i64 {
    place.session().number(sql)
}

/// The committed state.
async fn state(store: &PgStore) -> ProjectionState {
    let mut states = store.states().await.expect("the store answers");
    assert_eq!(states.len(), 1, "there is one projection");
    states.remove(0)
}

/// Runs these events and one more, and compares the read model and the failed events with what they must be.
async fn fails_as_it_should(types: &[&str], savepoint: SavepointMode) {
    let Some(place) = Place::new() else { return };
    let log = MemoryLog::new();
    append(&log, types).await;
    let process = start(&place, &log, savepoint).await;
    process.caught_up(&log).await;
    let fine = |kind: &str| ["Fine", "Terminates"].contains(&kind);
    let expected: i64 = (1..).zip(types).filter(|(_, kind)| fine(kind)).map(|(n, _)| n).sum();
    assert_eq!(found(&place, APPLIED), expected);
    assert_eq!(found(&place, STARTED), expected, "no half effect is left");
    let store = PgStore::new(&place.database().await);
    let failed = store.failed_events(&FailedQuery::default(), 100).await.expect("the store answers");
    let positions: Vec<_> = failed.iter().map(|row| row.position.commit()).collect();
    let bad: Vec<_> = (1..).zip(types).filter(|(_, kind)| !fine(kind)).map(|(n, _)| n).collect();
    assert_eq!(positions, bad);
    assert!(failed.iter().all(|row| row.state == FailedState::Parked), "{failed:?}");
    for row in &failed {
        let letter = store.dead_letter(&row.key, row.position).await.expect("the store answers");
        assert_eq!(letter.map(|letter| letter.event.id()), Some(row.id), "its payload is kept with it");
    }
    append(&log, &["Fine"]).await;
    process.caught_up(&log).await;
    let last = i64::try_from(types.len()).expect("a small number") + 1;
    assert_eq!(found(&place, APPLIED), expected + last, "it goes on live");
    process.stop().await;
    assert!(state(&store).await.stopped_cleanly);
}

#[tokio::test]
async fn e_19_a_batch_with_bad_events_leaves_what_a_savepoint_for_each_would() {
    let types = [
        "Permanent",
        "Fine",
        "Fine",
        "Swallows",
        "Fine",
        "Deferred",
        "Fine",
        "Panics",
        "Fine",
        "Terminates",
        "Fine",
        "Permanent",
    ];
    fails_as_it_should(&types, SavepointMode::Optimistic).await;
}

#[tokio::test]
async fn e_20_an_event_that_takes_too_long_alone_is_parked() {
    let types =
        ["Fine", "Endless", "Fine", "Permanent", "Swallows", "Deferred", "Fine", "Waits", "Fine", "Panics"];
    fails_as_it_should(&types, SavepointMode::PerEvent).await;
}

#[tokio::test]
async fn e_9_a_projection_that_commits_is_stopped() {
    let Some(place) = Place::new() else { return };
    let log = MemoryLog::new();
    append(&log, &["Fine", "Ends", "Fine"]).await;
    let process = start(&place, &log, SavepointMode::Optimistic).await;
    match timeout(LIMIT, process.task).await.expect("it ends").expect("it has not panicked") {
        RunEnd::Faulted { reason } => assert!(reason.contains("ended the transaction"), "{reason}"),
        RunEnd::Stopped => panic!("it stopped instead"),
    }
    let store = PgStore::new(&place.database().await);
    assert_eq!(state(&store).await.scanned, None, "the state has not moved");
}

#[tokio::test]
async fn e_10_a_stand_by_goes_on_where_an_owner_was_killed_and_each_event_is_applied_once() {
    let Some(place) = Place::new() else { return };
    let log = MemoryLog::new();
    append(&log, &["Fine"; 50]).await;
    let mut owner = start(&place, &log, SavepointMode::Optimistic).await;
    owner.caught_up(&log).await;
    for _ in 0..4 {
        let stand_by = start(&place, &log, SavepointMode::Optimistic).await;
        append(&log, &["Fine"; 50]).await;
        owner.task.abort();
        assert!(owner.task.await.is_err_and(|error| error.is_cancelled()), "it ran until it was killed");
        stand_by.caught_up(&log).await;
        owner = stand_by;
    }
    owner.stop().await;
    assert_eq!(found(&place, APPLIED), (1..=250).sum::<i64>());
    assert_eq!(found(&place, STARTED), (1..=250).sum::<i64>());
}

//! A world in memory: a log, a store, a projection that keeps a ledger, and a runner to be started and stopped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_core::model::{
    FailedEvent, FailedState, Filter, Position, ProjectionKey, ProjectionName, ProjectionState, RecordedEvent,
};
use highwater_core::ports::{
    AppendEvents, ApplySlice, Clock, DynProjection, EventLog, FailedQuery, Moment, Observer, Projection,
    ProjectionControl, ReadModelStore, Seen, Until,
};
use highwater_core::settings::ProjectionSettings;
use highwater_core::{ErrorKind, Failure, OrVerdict};
use highwater_runtime::Environment;

use highwater_runtime::projection::{
    Phase, ProjectionDefinition, ProjectionStatus, RunEnd, Runner, StartOptions, StatusCell, run,
};
use highwater_testkit::fixtures::{append_to, new_event};
use highwater_testkit::memory::{MemoryLog, MemoryStore, MemoryTx};
use highwater_testkit::time::VirtualClock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Writes each event down once, and fails by the event's type:
/// `Permanent`, `Opaque`, `Worded`, `Transient`, `Panic`, `Slow` (200 ms), `Endless`, `Swallows`, `Deferred`, `Loses`, `Ends`.
/// A type that ends in `-until-mended` fails so only until the ledger is mended.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) mended: Arc<Mutex<bool>>,
    /// How often `apply` was called.
    pub(crate) calls: Arc<AtomicU32>,
    /// How often `apply_batch` was.
    pub(crate) slices: Arc<AtomicU32>,
    /// Which event failed.
    pub(crate) culprit: Culprit,
    /// How often `apply_until` was called.
    pub(crate) searches: Arc<AtomicU32>,
}

/// What a projection tells of the event that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Culprit {
    /// It says which it is.
    #[default]
    Named,
    /// It does not.
    Hidden,
    /// It does not, but finds it when it is asked.
    Found,
    /// It says that it can find it, and cannot.
    NotFound,
}

impl Ledger {
    pub(crate) fn mend(&self) {
        *self.mended.lock().unwrap() = true;
    }

    async fn one(&self, event: &RecordedEvent, tx: &mut MemoryTx) -> Result<(), Failure> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        // Half of the effect comes before the failure: it must not be left.
        tx.increment("started", event.stream(), 1)?;
        let kind = match event.event_type().strip_suffix("-until-mended") {
            Some(_) if *self.mended.lock().unwrap() => "Fine",
            Some(kind) => kind,
            None => event.event_type(),
        };
        match kind {
            "Permanent" => tx.fail(ErrorKind::Constraint)?,
            "Opaque" => Err("nobody knows")?,
            "Worded" => Err("against a business rule")?,
            "Transient" => Err("the service is away").or_retry()?,
            "Panic" => panic!("a panic in a projection"),
            "Slow" => tx.run_for(Duration::from_millis(200)).await?,
            "Endless" => std::future::pending::<()>().await,
            "Swallows" => drop(tx.abort(ErrorKind::Constraint)),
            "Deferred" => tx.defer_check(|_| Err("no such parent".to_owned()))?,
            "Loses" => tx.lose(ErrorKind::Other)?,
            "Ends" => tx.end_transaction()?,
            _ => {}
        }
        tx.insert("applied", &format!("{:>20}", event.position()), event.stream().as_bytes())?;
        tx.increment("counts", event.stream(), 1)?;
        Ok(())
    }
}

impl Projection<MemoryTx> for Ledger {
    async fn apply(&self, event: &RecordedEvent, tx: &mut MemoryTx) -> Result<(), Failure> {
        self.one(event, tx).await
    }

    async fn apply_batch(&self, events: &[RecordedEvent], tx: &mut MemoryTx) -> Result<(), Failure> {
        self.slices.fetch_add(1, Ordering::Relaxed);
        for (index, event) in events.iter().enumerate() {
            let applied = self.one(event, tx).await;
            applied.map_err(|failure| match self.culprit {
                Culprit::Named => failure.at(index),
                _ => failure,
            })?;
        }
        Ok(())
    }

    async fn clear(&self, tx: &mut MemoryTx) -> Result<(), Failure> {
        for table in ["started", "applied", "counts"] {
            tx.clear(table)?;
        }
        Ok(())
    }
}

/// The ledger behind the pointer, which may find a `Permanent` event itself: it looks before it applies.
struct Finds(Ledger);

#[async_trait::async_trait]
impl DynProjection<MemoryTx> for Finds {
    async fn apply_slice(&self, slice: ApplySlice<'_>, tx: &mut MemoryTx) -> Result<(), Failure> {
        self.0.apply_slice(slice, tx).await
    }

    fn finds_culprits(&self) -> bool {
        true
    }

    async fn apply_until(
        &self,
        events: &[RecordedEvent],
        known: bool,
        tx: &mut MemoryTx,
    ) -> Result<Until, Failure> {
        self.0.searches.fetch_add(1, Ordering::Relaxed);
        if self.0.culprit == Culprit::NotFound {
            tx.increment("started", "nothing of it stays", 1)?;
            return Err(Failure::new("it could not look"));
        }
        let found = events.iter().position(|event| event.event_type() == "Permanent");
        let until = found.unwrap_or(events.len());
        Projection::apply_batch(&self.0, &events[..until], tx).await?;
        Ok(match found {
            Some(index) => {
                let error = highwater_core::Error::new(ErrorKind::Constraint, "apply one alone");
                Until::Before { index, failure: Some(Failure::new(error).at(index)) }
            }
            // As one that halves them down to the last and blames nobody.
            None if known => Until::Before { index: until, failure: None },
            None => Until::All,
        })
    }

    async fn setup(&self, tx: &mut MemoryTx) -> Result<(), Failure> {
        DynProjection::setup(&self.0, tx).await
    }

    async fn check(&self, tx: &mut MemoryTx) -> Result<(), Failure> {
        self.0.check(tx).await
    }

    async fn clear(&self, tx: &mut MemoryTx) -> Result<(), Failure> {
        DynProjection::clear(&self.0, tx).await
    }

    fn takes_ranges(&self) -> bool {
        false
    }

    fn creates(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Keeps the names of what was seen.
#[derive(Default)]
pub(crate) struct Diary(Mutex<Vec<String>>, AtomicU32);

impl Observer for Diary {
    fn seen(&self, _projection: &ProjectionName, what: &Seen<'_>) {
        if matches!(what, Seen::Heartbeat) {
            self.1.fetch_add(1, Ordering::Relaxed);
        } else {
            self.0.lock().unwrap().push(format!("{what:?}"));
        }
    }
}

impl Diary {
    pub(crate) fn heartbeats(&self) -> u32 {
        self.1.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(prefix)).count()
    }
}

pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) store: MemoryStore,
    pub(crate) ledger: Ledger,
    pub(crate) settings: ProjectionSettings,
    pub(crate) filter: Filter,
    pub(crate) options: StartOptions,
    pub(crate) diary: Arc<Diary>,
    pub(crate) environment: Environment,
    appended: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Self {
        let diary = Arc::new(Diary::default());
        Self {
            log: MemoryLog::new(),
            store: MemoryStore::new(),
            ledger: Ledger::default(),
            settings: ProjectionSettings::default(),
            filter: Filter::all(),
            options: StartOptions::default(),
            environment: Environment {
                observer: diary.clone(),
                clock: Arc::new(VirtualClock::new()),
                ..Environment::new()
            },
            appended: AtomicU64::new(0),
            diary,
        }
    }

    /// Appends an event of each type, each to a stream of its own unless `streams` are shared.
    pub(crate) async fn append(&self, types: &[&str]) {
        for event_type in types {
            let n = self.appended.load(Ordering::Relaxed);
            self.append_in(&format!("s-{n}"), &[event_type]).await;
        }
    }

    /// Begins to measure, by the world's clock.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        Stopwatch { clock: self.environment.clock.clone(), begun: self.environment.clock.now() }
    }

    /// Lets time go by.
    pub(crate) async fn pass(&self, duration: Duration) {
        self.environment.clock.sleep(duration).await;
    }

    /// Later events have ids from here on: for worlds that share a log.
    pub(crate) fn skip_ids(&self, to: u64) {
        self.appended.store(to, Ordering::Relaxed);
    }

    /// Appends events to one stream, in one append call.
    pub(crate) async fn append_in(&self, stream: &str, types: &[&str]) {
        let n = self.appended.fetch_add(types.len() as u64, Ordering::Relaxed);
        let events = types.iter().zip(n..).map(|(event_type, n)| new_event(n, event_type)).collect();
        self.log.append(&[append_to(stream, events)]).await.unwrap();
    }

    pub(crate) fn key() -> ProjectionKey {
        ProjectionKey { name: ProjectionName::new("ledger").unwrap(), version: 1, partition: 0 }
    }

    pub(crate) fn definition(&self) -> ProjectionDefinition<MemoryTx> {
        ProjectionDefinition {
            name: Self::key().name,
            version: 1,
            filter: self.filter.clone(),
            sql_fingerprint: String::new(),
            projection: match self.ledger.culprit {
                Culprit::Named | Culprit::Hidden => Arc::new(self.ledger.clone()),
                Culprit::Found | Culprit::NotFound => Arc::new(Finds(self.ledger.clone())),
            },
            settings: self.settings.clone(),
        }
    }

    pub(crate) fn runner<S: ReadModelStore<Tx = MemoryTx>>(
        &self,
        store: S,
        log: Arc<dyn EventLog>,
    ) -> Runner<S> {
        Runner {
            store,
            log,
            definition: Arc::new(self.definition()),
            environment: self.environment.clone(),
            options: self.options,
            status: StatusCell::new(Self::key().name),
            spreading: None,
        }
    }

    /// Starts a runner over the world's own log and store.
    pub(crate) fn start(&self) -> Process {
        self.start_as("first")
    }

    pub(crate) fn start_as(&self, process: &str) -> Process {
        Process::start(self.runner(self.store.as_process(process), Arc::new(self.log.clone())))
    }

    /// Runs until everything in the log is settled, then stops.
    pub(crate) async fn run(&self) -> ProjectionStatus {
        let process = self.start();
        process.caught_up(self).await;
        process.stop().await
    }

    pub(crate) fn state(&self) -> Option<ProjectionState> {
        self.store.state(&Self::key())
    }

    pub(crate) async fn failed(&self) -> Vec<FailedEvent> {
        self.store.failed_events(&FailedQuery::default(), 100_000).await.unwrap()
    }

    pub(crate) async fn failed_states(&self) -> Vec<FailedState> {
        self.failed().await.into_iter().map(|row| row.state).collect()
    }

    /// The positions that were applied, each once: `insert` refuses a second time.
    pub(crate) fn applied(&self) -> Vec<String> {
        self.store.table("applied").into_keys().map(|key| key.trim().to_owned()).collect()
    }

    /// The positions of the events that match.
    pub(crate) fn positions(&self, matches: impl Fn(&RecordedEvent) -> bool) -> Vec<String> {
        let mut positions: Vec<_> =
            self.log.all().iter().filter(|event| matches(event)).map(|event| event.position()).collect();
        positions.sort();
        let mut keys: Vec<_> = positions.into_iter().map(|position| format!("{position:>20}")).collect();
        keys.sort();
        keys.into_iter().map(|key| key.trim().to_owned()).collect()
    }

    /// What the read model must be if exactly these events were applied, once each.
    pub(crate) fn assert_exactly(&self, matches: impl Fn(&RecordedEvent) -> bool) {
        assert_eq!(self.applied(), self.positions(&matches));
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for event in self.log.all().iter().filter(|event| matches(event)) {
            *counts.entry(event.stream().to_owned()).or_default() += 1;
        }
        let expected: BTreeMap<_, _> =
            counts.into_iter().map(|(stream, count)| (stream, count.to_string())).collect();
        assert_eq!(self.store.texts("counts"), expected, "counts");
        assert_eq!(self.store.texts("started"), expected, "no half effect is left of an event that failed");
    }

    pub(crate) async fn head(&self) -> Option<Position> {
        self.log.head().await.unwrap()
    }
}

pub(crate) struct Stopwatch {
    clock: Arc<dyn Clock>,
    begun: Moment,
}

impl Stopwatch {
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now().since(self.begun)
    }
}

/// A runner in a task: dropped, it is a process that was killed.
pub(crate) struct Process {
    pub(crate) status: StatusCell,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<RunEnd>,
}

impl Process {
    pub(crate) fn start<S: ReadModelStore>(runner: Runner<S>) -> Self {
        let status = runner.status.clone();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(runner, stop.clone()));
        Self { status, stop, task }
    }

    /// Waits until the status is as wanted. Under paused time this takes as long as it takes, and no more.
    pub(crate) async fn until(&self, wanted: impl Fn(&ProjectionStatus) -> bool) -> ProjectionStatus {
        let mut changes = self.status.subscribe();
        let hours = Duration::from_secs(24 * 3600);
        match tokio::time::timeout(hours, changes.wait_for(|status| wanted(status))).await {
            Ok(Ok(status)) => status.clone(),
            _ => panic!("never came to be; it is {:?}", self.status.get()),
        }
    }

    pub(crate) async fn phase(&self, phase: &str) -> ProjectionStatus {
        self.until(|status| status.phase.as_str() == phase).await
    }

    pub(crate) async fn caught_up(&self, world: &World) -> ProjectionStatus {
        let head = world.head().await;
        self.until(|status| status.phase == Phase::Live && status.scanned >= head).await
    }

    pub(crate) async fn stop(self) -> ProjectionStatus {
        self.stop.cancel();
        self.task.await.unwrap();
        self.status.get()
    }

    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn end(self) -> RunEnd {
        self.task.await.unwrap()
    }

    pub(crate) async fn fault(self) -> String {
        match self.end().await {
            RunEnd::Faulted { reason } => reason,
            RunEnd::Stopped => panic!("it stopped instead"),
        }
    }
}

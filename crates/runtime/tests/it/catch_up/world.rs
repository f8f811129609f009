//! A world in memory: a log, a checkpoint store, dead letters, a handler that does what it is told, and
//! runners.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use highwater_core::model::{Position, RecordedEvent};
use highwater_core::ports::{
    AppendEvents, CheckpointStore, Clock, DeadLetters, EventLog, Handler, HandlerLetter, HandlerObserver,
    HandlerSeen, Moment, NoObserver, OwnedCheckpoints,
};
use highwater_core::settings::{CatchUpSettings, PersistenceSettings};
use highwater_core::{Error, ErrorKind, Failure, Retry, Verdict};
use highwater_runtime::Environment;
use highwater_runtime::catch_up::{
    CatchUpEnd, CatchUpReport, CatchUpRunner, CatchUpStatus, CatchUpStatusCell, CheckpointBoard, run,
};
use highwater_runtime::persistence::Persistence;
use highwater_runtime::projection::Phase;
use highwater_testkit::faults::{FaultPlan, Faulty};
use highwater_testkit::fixtures::{append_to, new_event};
use highwater_testkit::memory::{MemoryCheckpoints, MemoryDeadLetters, MemoryLog};
use highwater_testkit::time::{ScriptedJitter, VirtualClock};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const GROUP: &str = "mailer";
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What the handler does with an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Does {
    Fine,
    Takes(Duration),
    Opaque,
    Of(ErrorKind),
    Says(Verdict),
    /// Fails for a passing reason, and asks to be left alone for so long.
    Asks(Duration),
    Panics,
    Hangs,
}

type Script = Box<dyn Fn(&RecordedEvent) -> Does + Send + Sync>;

/// A handler that does what it is told, and writes down what it did.
pub(crate) struct Clerk {
    script: Mutex<Arc<Script>>,
    clock: Arc<dyn Clock>,
    /// Each call, when it began.
    pub(crate) calls: Mutex<Vec<(Moment, Position)>>,
    /// Each event that was handled, when that was done.
    pub(crate) handled: Mutex<Vec<RecordedEvent>>,
    /// Takes slices whole, and does not say which event failed.
    pub(crate) hides_the_culprit: bool,
    /// The sizes of the slices.
    pub(crate) slices: Mutex<Vec<usize>>,
    /// How many calls are under way, and the most there were.
    pub(crate) under_way: Mutex<(usize, usize)>,
}

struct UnderWay<'c>(&'c Clerk);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().0 -= 1;
    }
}

impl Clerk {
    /// By the event's type: `Permanent`, `Opaque`, `Transient`, `Panic`, `Hang`, `Stop`, `Skip`; others are
    /// fine.
    fn by_type(event: &RecordedEvent) -> Does {
        match event.event_type() {
            "Permanent" => Does::Of(ErrorKind::Constraint),
            "Opaque" => Does::Opaque,
            "Transient" => Does::Of(ErrorKind::Unavailable),
            "Fatal" => Does::Of(ErrorKind::AccessDenied),
            "Panic" => Does::Panics,
            "Hang" => Does::Hangs,
            "Park" => Does::Says(Verdict::Park),
            "Skip" => Does::Says(Verdict::Skip),
            "Stop" => Does::Says(Verdict::Stop),
            _ => Does::Fine,
        }
    }

    pub(crate) fn told(&self, script: impl Fn(&RecordedEvent) -> Does + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(Box::new(script));
    }

    pub(crate) fn mend(&self) {
        self.told(|_| Does::Fine);
    }

    pub(crate) fn positions(&self) -> Vec<Position> {
        self.handled.lock().unwrap().iter().map(RecordedEvent::position).collect()
    }

    pub(crate) fn calls_at(&self, position: Position) -> Vec<Moment> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(_, at)| *at == position).map(|(moment, _)| *moment).collect()
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    fn act(&self, event: &RecordedEvent) -> Does {
        self.calls.lock().unwrap().push((self.clock.now(), event.position()));
        let script = self.script.lock().unwrap().clone();
        script(event)
    }

    async fn one(&self, event: &RecordedEvent) -> Result<(), Failure> {
        {
            let mut under_way = self.under_way.lock().unwrap();
            under_way.0 += 1;
            under_way.1 = under_way.1.max(under_way.0);
        }
        let _under_way = UnderWay(self);
        match self.act(event) {
            Does::Fine => {}
            Does::Takes(time) => self.clock.sleep(time).await,
            Does::Opaque => Err("nobody knows")?,
            Does::Of(kind) => Err(Error::new(kind, "send a mail"))?,
            Does::Says(verdict) => return Err(Failure::new("the handler knows").verdict(verdict)),
            Does::Asks(time) => {
                Err(Error::new(ErrorKind::Unavailable, "send a mail").retry(Retry::After(time)))?;
            }
            Does::Panics => panic!("a panic in a handler"),
            Does::Hangs => std::future::pending::<()>().await,
        }
        self.handled.lock().unwrap().push(event.clone());
        Ok(())
    }
}

impl Handler for Clerk {
    async fn handle(&self, event: &RecordedEvent) -> Result<(), Failure> {
        self.one(event).await
    }

    async fn handle_batch(&self, events: &[RecordedEvent]) -> Result<(), Failure> {
        self.slices.lock().unwrap().push(events.len());
        for (index, event) in events.iter().enumerate() {
            let handled = self.one(event).await;
            handled.map_err(|failure| if self.hides_the_culprit { failure } else { failure.at(index) })?;
        }
        Ok(())
    }
}

/// Keeps what was seen, as text.
#[derive(Default)]
pub(crate) struct Diary(Mutex<Vec<String>>);

impl HandlerObserver for Diary {
    fn seen(&self, _group: &str, what: &HandlerSeen<'_>) {
        self.0.lock().unwrap().push(format!("{what:?}"));
    }
}

impl Diary {
    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(prefix)).count()
    }

    pub(crate) fn find(&self, prefix: &str) -> Option<String> {
        self.0.lock().unwrap().iter().find(|line| line.starts_with(prefix)).cloned()
    }
}

pub(crate) struct World {
    pub(crate) log: MemoryLog,
    pub(crate) checkpoints: MemoryCheckpoints,
    pub(crate) letters: MemoryDeadLetters,
    pub(crate) has_letters: bool,
    pub(crate) clerk: Arc<Clerk>,
    pub(crate) settings: CatchUpSettings,
    pub(crate) environment: Environment,
    pub(crate) diary: Arc<Diary>,
    pub(crate) clock: Arc<VirtualClock>,
    appended: AtomicU64,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(VirtualClock::new());
        let clerk = Clerk {
            script: Mutex::new(Arc::new(Box::new(Clerk::by_type))),
            clock: clock.clone(),
            calls: Mutex::default(),
            handled: Mutex::default(),
            hides_the_culprit: false,
            slices: Mutex::default(),
            under_way: Mutex::default(),
        };
        Self {
            log: MemoryLog::new(),
            checkpoints: MemoryCheckpoints::with_clock(clock.clone()),
            letters: MemoryDeadLetters::new(),
            has_letters: true,
            clerk: Arc::new(clerk),
            settings: CatchUpSettings::default(),
            environment: Environment {
                clock: clock.clone(),
                jitter: Arc::new(ScriptedJitter::seeded(7)),
                ..Environment::new()
            },
            diary: Arc::default(),
            clock,
            appended: AtomicU64::new(0),
        }
    }

    pub(crate) fn hide_the_culprit(&mut self) {
        Arc::get_mut(&mut self.clerk).unwrap().hides_the_culprit = true;
    }

    /// Appends an event of each type, each to a stream of its own.
    pub(crate) async fn append(&self, types: &[&str]) {
        for event_type in types {
            let n = self.appended.load(Ordering::Relaxed);
            self.append_in(&format!("s-{n}"), &[event_type]).await;
        }
    }

    /// Appends events to one stream, in one append call.
    pub(crate) async fn append_in(&self, stream: &str, types: &[&str]) {
        let n = self.appended.fetch_add(types.len() as u64, Ordering::Relaxed);
        let events = types.iter().zip(n..).map(|(event_type, n)| new_event(n, event_type)).collect();
        self.log.append(&[append_to(stream, events)]).await.unwrap();
    }

    /// Appends so many fine events to so many streams, one after the other.
    pub(crate) async fn append_over(&self, events: u64, streams: u64) {
        let mut appends = Vec::new();
        for _ in 0..events {
            let n = self.appended.fetch_add(1, Ordering::Relaxed);
            appends.push(append_to(&format!("t-{}", n % streams), vec![new_event(n, "Fine")]));
        }
        self.log.append(&appends).await.unwrap();
    }

    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// A process of its own, on the world's ports.
    pub(crate) fn machine(&self, owner: &str) -> Machine {
        self.machine_over(owner, self.checkpoints.clone())
    }

    pub(crate) fn machine_over(&self, owner: &str, store: impl OwnedCheckpoints + 'static) -> Machine {
        let board = CheckpointBoard::start(Arc::new(store), owner, CheckpointBoard::LEASE, &self.environment);
        let worker = Persistence::start(
            "memory",
            Arc::new(board.clone()),
            PersistenceSettings::default(),
            &self.environment,
            Arc::new(NoObserver),
        );
        Machine { board, writer: worker.unwrap() }
    }

    pub(crate) fn runner(&self, machine: &Machine) -> CatchUpRunner {
        let mut runner = CatchUpRunner::new(
            GROUP,
            Arc::new(self.log.clone()),
            self.clerk.clone(),
            machine.board.clone(),
            Arc::new(machine.writer.clone()),
            self.settings.clone(),
            self.environment.clone(),
        );
        runner.dead_letters =
            self.has_letters.then(|| Arc::new(self.letters.clone()) as Arc<dyn DeadLetters>);
        runner.observer = self.diary.clone();
        runner
    }

    /// Starts a runner in a process of its own.
    pub(crate) fn start(&self) -> Process {
        self.start_as("first")
    }

    pub(crate) fn start_as(&self, owner: &str) -> Process {
        let machine = self.machine(owner);
        Process::start(self.runner(&machine), machine)
    }

    /// Starts a runner whose ports fail as planned.
    pub(crate) fn start_faulty(&self, owner: &str, plan: &FaultPlan) -> Process {
        let machine = self.machine_over(owner, Faulty::new(self.checkpoints.clone(), plan));
        let mut runner = self.runner(&machine);
        runner.log = Arc::new(Faulty::new(self.log.clone(), plan));
        runner.dead_letters = Some(Arc::new(Faulty::new(self.letters.clone(), plan)));
        Process::start(runner, machine)
    }

    /// Runs until everything in the log is settled, then stops.
    pub(crate) async fn run(&self) -> CatchUpReport {
        let process = self.start();
        process.caught_up(self).await;
        process.stop().await
    }

    pub(crate) async fn head(&self) -> Option<Position> {
        self.log.head().await.unwrap()
    }

    /// The checkpoint that is stored.
    pub(crate) fn stored(&self) -> Option<Position> {
        let found = self.checkpoints.get(GROUP).now_or_never().expect("memory answers at once");
        found.unwrap().map(|checkpoint| checkpoint.position)
    }

    /// The positions of the events that match, in order.
    pub(crate) fn positions(&self, matches: impl Fn(&RecordedEvent) -> bool) -> Vec<Position> {
        self.log.all().iter().filter(|event| matches(event)).map(RecordedEvent::position).collect()
    }

    pub(crate) fn fine(&self) -> Vec<Position> {
        self.positions(|event| event.event_type() == "Fine")
    }

    /// The places of the dead letters.
    pub(crate) fn dead(&self) -> Vec<Position> {
        self.letters.all().iter().map(|letter| letter.event.position()).collect()
    }

    pub(crate) fn letter(&self) -> HandlerLetter {
        let mut letters = self.letters.all();
        assert_eq!(letters.len(), 1);
        letters.remove(0)
    }

    /// How often each event was handled.
    pub(crate) fn times(&self) -> BTreeMap<Position, u64> {
        let mut times = BTreeMap::new();
        for position in self.clerk.positions() {
            *times.entry(position).or_default() += 1;
        }
        times
    }

    /// Every event was handled at least once; answers how often too many.
    pub(crate) fn surplus(&self) -> u64 {
        let times = self.times();
        let missing: Vec<_> =
            self.positions(|_| true).into_iter().filter(|it| !times.contains_key(it)).collect();
        assert!(missing.is_empty(), "passed over: {missing:?}");
        times.values().sum::<u64>() - times.len() as u64
    }

    /// The first time that each event of a stream was handled is in the stream's order.
    pub(crate) fn assert_streams_in_order(&self) {
        let (mut seen, mut next) = (BTreeSet::new(), BTreeMap::new());
        for event in self.clerk.handled.lock().unwrap().iter() {
            if seen.insert(event.position()) {
                let last: Option<u64> = next.insert(event.stream().to_owned(), event.sequence());
                assert!(last < Some(event.sequence()), "{} of {}", event.sequence(), event.stream());
            }
        }
    }
}

/// What the runners of a process share.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) board: CheckpointBoard,
    pub(crate) writer: Persistence,
}

/// A runner in a task.
pub(crate) struct Process {
    pub(crate) status: CatchUpStatusCell,
    pub(crate) stop: CancellationToken,
    pub(crate) machine: Machine,
    task: JoinHandle<Result<CatchUpReport, Error>>,
}

impl Process {
    pub(crate) fn start(runner: CatchUpRunner, machine: Machine) -> Self {
        let status = runner.status.clone();
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(runner, stop.clone()));
        Self { status, stop, machine, task }
    }

    /// Waits until the status is as wanted. Under paused time this takes as long as it takes, and no more.
    pub(crate) async fn until(&self, wanted: impl Fn(&CatchUpStatus) -> bool) -> CatchUpStatus {
        let mut changes = self.status.subscribe();
        let hours = Duration::from_secs(24 * 3600);
        match tokio::time::timeout(hours, changes.wait_for(|status| wanted(status))).await {
            Ok(Ok(status)) => status.clone(),
            _ => panic!("never came to be; it is {:?}", self.status.get()),
        }
    }

    pub(crate) async fn phase(&self, phase: &str) -> CatchUpStatus {
        self.until(|status| status.phase.as_str() == phase).await
    }

    pub(crate) async fn caught_up(&self, world: &World) -> CatchUpStatus {
        let head = world.head().await;
        self.until(|status| status.phase == Phase::Live && status.position >= head).await
    }

    pub(crate) async fn stop(self) -> CatchUpReport {
        self.stop.cancel();
        self.end().await
    }

    pub(crate) async fn end(self) -> CatchUpReport {
        let hours = Duration::from_secs(24 * 3600);
        match tokio::time::timeout(hours, self.task).await {
            Ok(ended) => ended.unwrap().unwrap(),
            Err(_) => panic!("never ended; it is {:?}", self.status.get()),
        }
    }

    pub(crate) async fn fault(self) -> String {
        match self.end().await.end {
            CatchUpEnd::Faulted { reason } => reason,
            other => panic!("it ended otherwise: {other:?}"),
        }
    }

    /// Drops the runner; the process lives on.
    pub(crate) async fn drop_runner(self) -> Machine {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        self.machine
    }
}

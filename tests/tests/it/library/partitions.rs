//! Partitions of a projection in Rust: on SQLite, and in memory, where several instances share them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use highwater::core::model::Partition;
use highwater::core::ports::Clock;
use highwater::{
    AppendEvents as _, Environment, Failure, Highwater, OrVerdict as _, Outcome, Phase, Projection,
    RecordedEvent, Waited,
};
use highwater::{Error, Opened, Stage};
use highwater_testkit::fixtures::{append_to, new_event};
use highwater_testkit::memory::{MemoryLog, MemoryStore, MemoryTx};
use highwater_testkit::time::VirtualClock;
use highwater_tests::LIMIT;

use super::{Counted, Store, outcome, small, up_to};

const PARTITIONS: u32 = 3;

/// Which partition has the stream of a number, in [`Store::append`].
fn partition_of(number: i64) -> u32 {
    let stream = format!("s-{}", number % 10);
    let found = (0..PARTITIONS).find(|&index| Partition { index, of: PARTITIONS }.contains(&stream));
    found.expect("each stream is in one")
}

/// In the order in which they were written, by stream.
fn streams(numbers: &[i64]) -> Vec<Vec<i64>> {
    (0..10).map(|stream| numbers.iter().copied().filter(|number| number % 10 == stream).collect()).collect()
}

/// Waits for a commit, or a little: what the status says of one it says a little later.
async fn a_change(highwater: &Highwater) {
    let changed = highwater.control().changed();
    if let Ok(changed) = tokio::time::timeout(Duration::from_millis(20), changed).await {
        changed.expect("it can be watched");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e_10_partitions_on_sqlite_are_the_whole_and_each_stream_is_in_order() {
    let store = Store::with(500).await;
    // Cut off after some, again and again.
    for wanted in [20, 150, 300] {
        let highwater = store.start(Counted::all(), |o| small(10)(o).partitions(PARTITIONS)).await;
        let done = || store.database().try_number("SELECT count(*) FROM counted").unwrap_or(0) >= wanted;
        while !done() {
            highwater.control().changed().await.expect("it can be watched");
        }
        drop(highwater);
    }
    let report = store.run(Counted::all(), |o| small(10)(o).partitions(PARTITIONS)).await;
    assert_eq!(outcome(&report), &Outcome::CaughtUp);
    let parts = &report.projections[0].partitions;
    assert_eq!(parts.iter().map(|part| part.partition).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(parts.iter().map(|part| part.applied).sum::<u64>(), report.projections[0].applied);
    let numbers = store.numbers();
    assert_eq!(streams(&numbers), streams(&up_to(500)));
}

#[tokio::test(flavor = "multi_thread")]
async fn e_13_wait_for_waits_for_the_slowest_partition() {
    let store = Store::with(100).await;
    let stuck = partition_of(7);
    let away = Arc::new(AtomicBool::new(true));
    let judge = {
        let away = away.clone();
        move |number| match number {
            87 if away.load(Ordering::SeqCst) => Err("the service is away").or_retry(),
            _ => Ok(()),
        }
    };
    let highwater = store.start(Counted::new(judge), |o| small(10)(o).partitions(PARTITIONS)).await;
    let head = highwater.log().head().await.expect("the log answers").expect("it has events");
    loop {
        let others: Vec<_> =
            highwater.watch().partitions().into_iter().filter(|status| status.partition != stuck).collect();
        assert_eq!(others.len(), 2);
        if others.iter().all(|status| status.scanned >= Some(head)) {
            break;
        }
        a_change(&highwater).await;
    }
    let waited = highwater.wait_for("counted", head, Duration::from_millis(300)).await.expect("it answers");
    assert_eq!(waited, Waited::TimedOut, "one partition is behind");
    assert!(highwater.status()[0].scanned < Some(head), "{:?}", highwater.status());
    away.store(false, Ordering::SeqCst);
    assert_eq!(highwater.wait_for("counted", head, LIMIT).await.expect("it answers"), Waited::Reached);
    assert_eq!(streams(&store.numbers()), streams(&up_to(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn e_24_a_rebuild_and_a_pause_are_of_all_partitions() {
    let store = Store::with(100).await;
    let mut highwater = store.start(Counted::all(), |o| small(10)(o).partitions(PARTITIONS)).await;
    highwater.wait_for_head("counted", LIMIT).await.expect("it answers");
    assert_eq!(highwater.rebuild("counted").await.expect("it can be emptied"), 2);
    assert_eq!(highwater.wait_for_head("counted", LIMIT).await.expect("it answers"), Waited::Reached);
    assert_eq!(streams(&store.numbers()), streams(&up_to(100)));
    highwater.pause("counted").await.expect("it can be paused");
    let more = store.append(30).await;
    assert_eq!(highwater.wait_for("counted", more, LIMIT).await.expect("it answers"), Waited::Paused);
    assert_eq!(store.numbers().len(), 100);
    highwater.resume("counted").await.expect("it can be resumed");
    assert_eq!(highwater.wait_for("counted", more, LIMIT).await.expect("it answers"), Waited::Reached);
    assert_eq!(store.numbers().len(), 130);
}

#[tokio::test(flavor = "multi_thread")]
async fn e_6_a_changed_number_of_partitions_faults_until_a_rebuild() {
    let store = Store::with(50).await;
    store.run(Counted::all(), |o| small(10)(o).partitions(2)).await;
    for other in [1, 5] {
        let report = store.run(Counted::all(), |o| small(10)(o).partitions(other).accept_changes(true)).await;
        let Outcome::Faulted(reason) = outcome(&report) else { panic!("{report:?}") };
        assert!(reason.contains("number of partitions changed"), "{reason}");
    }
    assert_eq!(store.numbers().len(), 50);
    let mut highwater = store.start(Counted::all(), |o| small(10)(o).partitions(5)).await;
    assert_eq!(highwater.rebuild("counted").await.expect("it can be emptied"), 2);
    assert_eq!(highwater.wait_for_head("counted", LIMIT).await.expect("it answers"), Waited::Reached);
    assert_eq!(streams(&store.numbers()), streams(&up_to(50)));
}

/// On one thread, the runners that were started again have not had a turn when the waiting begins.
#[tokio::test]
async fn after_a_rebuild_the_fault_of_the_run_before_is_not_told() {
    let store = Store::with(50).await;
    store.run(Counted::all(), |o| small(10)(o).partitions(2)).await;
    let mut highwater = store.start(Counted::all(), |o| small(10)(o).partitions(3)).await;
    while !matches!(highwater.status()[0].phase, Phase::Faulted { .. }) {
        a_change(&highwater).await;
    }
    highwater.rebuild("counted").await.expect("it can be emptied");
    assert_eq!(highwater.wait_for_head("counted", LIMIT).await.expect("it answers"), Waited::Reached);
    assert_eq!(streams(&store.numbers()), streams(&up_to(50)));
}

/// Counts by stream.
struct Tally;

impl Projection<MemoryTx> for Tally {
    async fn apply(&self, event: &RecordedEvent, tx: &mut MemoryTx) -> Result<(), Failure> {
        tx.insert("once", &event.position().to_string(), event.stream())?;
        Ok(())
    }
}

/// Instances that share a store in memory, and its time.
struct Shared {
    store: MemoryStore,
    log: MemoryLog,
    clock: Arc<VirtualClock>,
    appended: u64,
}

struct InMemory(MemoryStore, MemoryLog);

impl Stage for InMemory {
    type Tx = MemoryTx;
    type Store = MemoryStore;

    async fn open(self) -> Result<Opened<MemoryStore>, Error> {
        let store = self.0.clone();
        Ok(Opened {
            store_for_projection: Box::new(move || store.clone()),
            control: Arc::new(self.0),
            log: Some(Arc::new(self.1)),
            handlers: None,
            classifier: None,
            close: None,
        })
    }
}

impl Shared {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::new());
        Self { store: MemoryStore::new(), log: MemoryLog::new(), clock, appended: 0 }
    }

    async fn append(&mut self, count: u64) {
        for n in self.appended..self.appended + count {
            let append = append_to(&format!("s-{}", n % 40), vec![new_event(n, "Counted")]);
            self.log.append(&[append]).await.expect("the log takes it");
        }
        self.appended += count;
    }

    async fn start(&self, process: &str) -> Highwater {
        let environment = Environment { clock: self.clock.clone(), ..Environment::new() };
        Highwater::builder()
            .store(InMemory(self.store.as_process(process), self.log.clone()))
            .environment(environment)
            .projection("tally", Tally, |o| o.partitions(8))
            .start()
            .await
            .expect("it starts")
    }

    /// Waits until they own so many each.
    async fn spread(&self, instances: &[&Highwater], wanted: &[usize]) {
        for _ in 0..10_000 {
            let owned = |instance: &&Highwater| {
                let parts = instance.watch().partitions();
                parts.iter().filter(|part| part.phase == Phase::Live).count()
            };
            if instances.iter().map(owned).collect::<Vec<_>>() == wanted {
                return;
            }
            self.clock.sleep(Duration::from_millis(20)).await;
        }
        panic!("it never came to {wanted:?}");
    }

    async fn settled(&self, any: &Highwater) {
        let waited = any.wait_for_head("tally", Duration::from_secs(3600)).await;
        assert_eq!(waited.expect("it answers"), Waited::Reached);
        assert_eq!(self.store.table("once").len() as u64, self.appended, "each event once");
    }
}

#[tokio::test(start_paused = true)]
async fn e_11_instances_share_the_partitions_and_take_over_from_one_that_goes() {
    let mut shared = Shared::new();
    shared.append(100).await;
    let first = shared.start("first").await;
    shared.spread(&[&first], &[8]).await;
    let second = shared.start("second").await;
    shared.spread(&[&first, &second], &[4, 4]).await;
    shared.append(100).await;
    shared.settled(&second).await;
    assert_eq!(first.status()[0].phase, Phase::Live, "some of it is another's, and all is well");

    let report = first.run_until(async {}).await;
    assert_eq!(report.projections[0].outcome, Outcome::Stopped);
    assert_eq!(report.projections[0].partitions.len(), 8);
    shared.spread(&[&second], &[8]).await;
    let third = shared.start("third").await;
    shared.spread(&[&second, &third], &[4, 4]).await;
    drop(second);
    shared.append(100).await;
    shared.settled(&third).await;
    let report = third.run_until_caught_up(std::future::pending()).await.expect("it runs");
    assert_eq!(report.projections[0].outcome, Outcome::CaughtUp);
}

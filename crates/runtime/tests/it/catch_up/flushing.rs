//! When the checkpoint is stored, and where (B-1, B-5, B-6, B-7).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::Error;
use highwater_core::model::{Filter, Position, RecordedEvent};
use highwater_core::ports::{EventBatch, EventLog, EventRange, EventReader, Limit};
use highwater_testkit::memory::MemoryLog;

use super::world::{Does, Process, World};

#[tokio::test(start_paused = true)]
async fn b_5_after_so_many_events_the_checkpoint_is_stored_before_more_are_begun() {
    let world = World::new();
    world.append_over(100, 5).await;
    let all = world.positions(|_| true);
    let store = world.checkpoints.clone();
    world.clerk.told(move |event| {
        let number = event.position();
        let stored = store.writes();
        // Event n of an append each is begun with all but the ten before it stored.
        assert!(stored * 10 + 10 >= number.commit(), "{stored} checkpoints at {number}");
        Does::Takes(Duration::from_millis(1))
    });
    world.run().await;
    assert_eq!(world.clerk.positions(), all);
    assert_eq!(world.checkpoints.writes(), 10, "no more often than it has to be");
}

#[tokio::test(start_paused = true)]
async fn b_5_after_so_long_the_checkpoint_is_stored() {
    let world = World::new();
    world.append_over(4, 1).await;
    world.clerk.told(|_| Does::Takes(Duration::from_millis(300)));
    let process = world.start();
    process.until(|status| status.stored.is_some()).await;
    let status = process.status.get();
    assert_eq!((status.totals.processed, world.stored()), (1, Some(Position::new(1, 0))), "at 500 ms");
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn b_5_at_the_end_of_the_log_and_at_a_stop() {
    let world = World::new();
    world.append_over(3, 1).await;
    let process = world.start();
    let begun = world.now();
    process.until(|status| status.stored.is_some()).await;
    assert_eq!((world.stored(), world.now()), (world.head().await, begun), "at once, with three of ten");
    world.append_over(1, 1).await;
    process.caught_up(&world).await;
    assert!(world.stored() < world.head().await);
    let report = process.stop().await;
    assert_eq!((report.stored, world.stored()), (world.head().await, world.head().await));
}

#[tokio::test(start_paused = true)]
async fn b_5_whoever_asks_has_the_mark_written_before_it_is_due() {
    let world = World::new();
    let machine = world.machine("first");
    let mut runner = world.runner(&machine);
    runner.settings.checkpoint_interval = Duration::from_secs(3_600);
    let process = Process::start(runner, machine);
    process.phase("live").await;
    world.append_over(3, 1).await;
    process.caught_up(&world).await;
    world.pass(Duration::from_secs(60)).await;
    assert!(world.stored() < world.head().await, "nothing is due yet");
    let begun = world.now();
    process.status.hand_over().await;
    process.until(|status| status.stored == status.position).await;
    assert_eq!((world.stored(), world.now()), (world.head().await, begun), "at once");
    process.status.hand_over().await;
    let cell = process.status.clone();
    process.stop().await;
    cell.hand_over().await;
    assert_eq!(world.now(), begun, "what is stored, and what has ended, is not waited for");
}

#[tokio::test(start_paused = true)]
async fn b_5_a_runner_that_is_dropped_leaves_its_mark_and_gives_the_group_back() {
    let world = World::new();
    world.append_over(3, 1).await;
    let process = world.start();
    process.until(|status| status.stored.is_some()).await;
    world.append_over(3, 1).await;
    process.caught_up(&world).await;
    assert!(world.stored() < world.head().await, "nothing is due yet");
    let machine = process.drop_runner().await;
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(world.stored(), world.head().await);
    assert_eq!(machine.board.standing("mailer"), None, "there is nothing left of it");

    let begun = world.now();
    let second = world.start_as("second");
    second.phase("live").await;
    assert!(world.now().since(begun) < Duration::from_millis(10), "nobody waits for the lease");
    second.stop().await;
    assert_eq!(world.surplus(), 0);
}

#[tokio::test(start_paused = true)]
async fn b_6_one_match_in_many_and_a_restart_reads_little() {
    let mut world = World::new();
    world.log = MemoryLog::scanning(1_000);
    world.append_over(20_000, 7).await;
    world.append(&["Rare"]).await;
    world.append_over(20_000, 7).await;
    let runner_over = |world: &World, machine: &super::world::Machine| {
        let mut runner = world.runner(machine);
        runner.filter = Filter::types(["Rare"]);
        runner
    };
    let machine = world.machine("first");
    let process = Process::start(runner_over(&world, &machine), machine);
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.clerk.positions().len(), 1);
    assert_eq!(world.stored(), world.head().await, "the end of what was looked at");

    // The process dies while it looks at the rest of another stretch.
    world.append_over(20_000, 7).await;
    let machine = world.machine("second");
    let (slow, reads) = Counting::new(world.log.clone());
    let mut runner = runner_over(&world, &machine);
    runner.log = Arc::new(slow);
    let process = Process::start(runner, machine);
    process.caught_up(&world).await;
    process.stop().await;
    assert!(reads() <= 22, "it began behind the checkpoint: {} reads of 1,000", reads());
}

/// A log that counts its reads, and returns what stands up to ten events before the place it is opened at.
struct Counting {
    log: MemoryLog,
    reads: Arc<std::sync::atomic::AtomicU64>,
    again: bool,
}

impl Counting {
    fn new(log: MemoryLog) -> (Self, impl Fn() -> u64) {
        let reads = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = reads.clone();
        (Self { log, reads, again: false }, move || counted.load(std::sync::atomic::Ordering::Relaxed))
    }
}

#[async_trait]
impl EventLog for Counting {
    async fn head(&self) -> Result<Option<Position>, Error> {
        self.log.head().await
    }

    async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error> {
        let earlier = |after: Position| Position::new(after.commit().saturating_sub(10), 0);
        let after = if self.again { after.map(earlier) } else { after };
        let reader = self.log.open(after, filter).await?;
        Ok(Box::new(CountingReader { reader, reads: self.reads.clone() }))
    }

    async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error> {
        self.log.event_at(position).await
    }

    async fn count_between(
        &self,
        after: Option<Position>,
        through: Option<Position>,
        filter: &Filter,
    ) -> Result<Option<u64>, Error> {
        self.log.count_between(after, through, filter).await
    }
}

struct CountingReader {
    reader: Box<dyn EventReader>,
    reads: Arc<std::sync::atomic::AtomicU64>,
}

#[async_trait]
impl EventReader for CountingReader {
    async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error> {
        self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.reader.next(limit).await
    }

    async fn next_range(&mut self, limit: Limit) -> Result<EventRange, Error> {
        self.reader.next_range(limit).await
    }

    async fn wait(&mut self) -> Result<(), Error> {
        self.reader.wait().await
    }
}

#[tokio::test(start_paused = true)]
async fn b_7_what_a_log_returns_again_is_dropped_and_counted() {
    let world = World::new();
    world.append_over(50, 3).await;
    world.run().await;
    world.append_over(50, 3).await;
    let machine = world.machine("second");
    let mut runner = world.runner(&machine);
    runner.log = Arc::new(Counting { again: true, ..Counting::new(world.log.clone()).0 });
    let process = Process::start(runner, machine);
    process.caught_up(&world).await;
    let report = process.stop().await;
    assert_eq!(report.totals.duplicates, 10);
    assert_eq!((world.surplus(), world.clerk.positions().len()), (0, 100));
}

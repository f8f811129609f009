//! Live running: hints, polls, progress, panics of the runner itself, what an event costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::Failure;
use highwater_core::model::RecordedEvent;
use highwater_core::ports::{Clock, DynHandler, Moment};
use highwater_runtime::catch_up::CatchUpRunners;
use highwater_testkit::faults::FaultPlan;
use highwater_testkit::time::VirtualClock;

use super::world::{GROUP, Process, World};

#[tokio::test(start_paused = true)]
async fn events_that_come_while_it_is_live_are_handled_at_once() {
    let world = World::new();
    let process = world.start();
    process.phase("live").await;
    for _ in 0..20 {
        let begun = world.now();
        world.append_over(3, 3).await;
        process.caught_up(&world).await;
        assert!(world.now().since(begun) < Duration::from_millis(1), "by the hint, not by the poll");
        assert_eq!(process.status.get().phase.as_str(), "live");
    }
    process.stop().await;
    assert_eq!((world.diary.count("CaughtUp"), world.surplus()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_is_lost_costs_a_poll_interval() {
    let world = World::new();
    let plan = FaultPlan::new();
    plan.fail("reader.wait:before", u64::MAX, highwater_core::ErrorKind::Unsupported);
    let process = world.start_faulty("first", &plan);
    process.phase("live").await;
    let begun = world.now();
    world.append_over(3, 3).await;
    process.caught_up(&world).await;
    assert!(world.now().since(begun) <= Duration::from_millis(1_250));
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_every_hundred_events() {
    let world = World::new();
    world.append_over(1_050, 7).await;
    world.run().await;
    assert_eq!(world.diary.count("Progress"), 10);
    assert_eq!(world.diary.count("Started"), 1);
    assert!(world.diary.find("Completed").unwrap().contains("processed: 1050"));
}

/// Panics once where no call of the handler is there to catch it: as its future is dropped by a time-out.
struct DiesInDrop(AtomicBool);

struct Bomb<'d>(&'d AtomicBool);

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        assert!(self.0.swap(true, Ordering::Relaxed), "a panic outside of every call");
    }
}

#[async_trait]
impl DynHandler for DiesInDrop {
    async fn handle_slice(&self, _events: &[RecordedEvent]) -> Result<(), Failure> {
        if !self.0.load(Ordering::Relaxed) {
            let _bomb = Bomb(&self.0);
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_panics_is_started_again_behind_its_checkpoint() {
    for lanes in [1, 4] {
        let mut world = World::new();
        world.settings.lanes = lanes;
        world.append_over(20, 1).await;
        let machine = world.machine("first");
        let mut runner = world.runner(&machine);
        runner.handler = Arc::new(DiesInDrop(AtomicBool::new(false)));
        let runners = CatchUpRunners::new();
        let handle = runners.start(runner).unwrap();
        let mut changes = handle.cell().subscribe();
        changes.wait_for(|status| status.totals.processed == 20).await.unwrap();
        let report = runners.stop(GROUP).await.unwrap();
        assert_eq!(report.stored, world.head().await, "{lanes} lanes");
        assert!(world.diary.find("Stalled").unwrap().contains("a panic outside of every call"));
    }
}

/// Counts what is asked of it.
struct CountingClock {
    clock: Arc<VirtualClock>,
    asked: AtomicU64,
    sleeps: AtomicU64,
}

#[async_trait]
impl Clock for CountingClock {
    fn now(&self) -> Moment {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.clock.now()
    }

    fn wall_micros(&self) -> i64 {
        self.clock.wall_micros()
    }

    async fn sleep(&self, duration: Duration) {
        self.sleeps.fetch_add(1, Ordering::Relaxed);
        self.clock.sleep(duration).await;
    }
}

struct Nothing;

#[async_trait]
impl DynHandler for Nothing {
    async fn handle_slice(&self, _events: &[RecordedEvent]) -> Result<(), Failure> {
        Ok(())
    }
}

/// Time itself is measured by the benchmarks; what costs it is counted here.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_handled_at_once_costs_no_timer_and_its_bookkeeping_is_shared() {
    const EVENTS: u64 = 10_000;
    let mut world = World::new();
    let clock = Arc::new(CountingClock {
        clock: world.clock.clone(),
        asked: AtomicU64::new(0),
        sleeps: AtomicU64::new(0),
    });
    world.settings.checkpoint_batch_size = 100;
    world.append_over(EVENTS, 50).await;
    let machine = world.machine("first");
    world.environment.clock = clock.clone();
    let mut runner = world.runner(&machine);
    runner.handler = Arc::new(Nothing);
    let process = Process::start(runner, machine);
    process.until(|status| status.totals.processed == EVENTS).await;
    let (asked, sleeps) = (clock.asked.load(Ordering::Relaxed), clock.sleeps.load(Ordering::Relaxed));
    assert!(asked < EVENTS * 3 / 2, "{asked} looks at the clock");
    assert!(sleeps < EVENTS / 20, "{sleeps} timers");
    let told = world.diary.count("");
    assert!(told < 400, "{told} things told: progress and checkpoints, each 100 times");
    assert_eq!(world.checkpoints.writes(), EVENTS / 100);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lanes_on_many_threads_keep_the_order_of_each_stream() {
    let mut world = World::new();
    world.settings.lanes = 16;
    world.settings.stop_on_caught_up = true;
    world.append_over(3_000, 100).await;
    world.append(&["Permanent", "Panic", "Skip"]).await;
    world.append_over(3_000, 100).await;
    world.settings.retry_delay = Duration::from_millis(1);
    let report = world.start().end().await;
    assert_eq!((report.totals.processed, report.totals.dead_lettered, report.totals.skipped), (6_000, 2, 1));
    assert_eq!(world.clerk.positions().len(), 6_000);
    world.assert_streams_in_order();
    assert_eq!(report.stored, world.head().await);
}

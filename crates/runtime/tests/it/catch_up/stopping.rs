//! How a run ends (B-11, B-12, X-6).

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_runtime::catch_up::CatchUpEnd;
use highwater_testkit::faults::FaultPlan;

use super::world::{Does, SECOND, World};

#[tokio::test(start_paused = true)]
async fn b_11_a_stop_finishes_what_is_under_way_flushes_releases_and_reports() {
    let mut world = World::new();
    world.settings.lanes = 4;
    world.append_over(100, 40).await;
    world.clerk.told(|_| Does::Takes(SECOND));
    let process = world.start();
    process.until(|status| status.in_flight == 4 && status.totals.processed >= 8).await;
    let begun = world.now();
    let report = process.stop().await;
    assert!(world.now().since(begun) <= SECOND, "one call, and no new one");
    assert_eq!((&report.end, report.abandoned), (&CatchUpEnd::Stopped, 0));
    assert_eq!(report.totals.processed, world.clerk.positions().len() as u64);
    assert_eq!((report.stored, world.stored()), (report.position, report.position));
    assert!(report.unflushed.is_none());
    assert_eq!((world.diary.count("StopRequested"), world.diary.count("Completed")), (1, 1));

    let begun = world.now();
    world.clerk.mend();
    let second = world.start_as("second");
    second.caught_up(&world).await;
    assert!(world.now().since(begun) < SECOND, "the group was given back");
    second.stop().await;
    assert!(world.surplus() <= 4, "what was done above the mark: {}", world.surplus());
}

#[tokio::test(start_paused = true)]
async fn b_11_calls_that_take_too_long_are_abandoned_and_made_again() {
    let mut world = World::new();
    (world.settings.lanes, world.settings.drain) = (4, Duration::from_secs(3));
    world.append_over(8, 8).await;
    world.clerk.told(|_| Does::Hangs);
    let process = world.start();
    let flying = process.until(|status| status.in_flight >= 2).await.in_flight;
    let begun = world.now();
    let report = process.stop().await;
    assert_eq!((world.now().since(begun), report.abandoned), (Duration::from_secs(3), flying as u64));
    tokio::task::yield_now().await;
    assert_eq!(world.clerk.under_way.lock().unwrap().0, 0, "they are dropped");
    world.clerk.mend();
    world.run().await;
    assert_eq!(world.surplus(), 0);
}

#[tokio::test(start_paused = true)]
async fn b_11_a_flush_that_fails_at_the_stop_is_returned_and_the_mark_is_not_lost() {
    let world = World::new();
    world.append_over(5, 2).await;
    let process = world.start();
    process.caught_up(&world).await;
    world.append_over(3, 2).await;
    process.caught_up(&world).await;
    world.checkpoints.set_outage(true);
    let machine = process.machine.clone();
    let report = process.stop().await;
    assert_eq!(report.unflushed.unwrap().kind(), ErrorKind::Unavailable);
    assert!(report.stored < report.position);
    world.checkpoints.set_outage(false);
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.stored(), world.head().await, "the worker has got it through");
    drop(machine);
}

#[tokio::test(start_paused = true)]
async fn x_6_a_stop_waits_for_no_port_that_hangs() {
    for point in ["reader.next:before", "log.open:before", "checkpoints.claim:before"] {
        let world = World::new();
        world.append_over(5, 2).await;
        let plan = FaultPlan::new();
        plan.hang(point);
        let process = world.start_faulty("first", &plan);
        plan.wait_hanging(1).await;
        let begun = world.now();
        process.stop().await;
        assert!(world.now().since(begun) < Duration::from_millis(10), "{point}");
    }
}

#[tokio::test(start_paused = true)]
async fn b_11_an_idle_stop_is_immediate() {
    let world = World::new();
    let process = world.start();
    process.phase("live").await;
    let begun = world.now();
    process.stop().await;
    assert!(world.now().since(begun) < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn b_12_it_ends_behind_the_event_that_was_last_at_the_start_flushed() {
    for lanes in [1, 8] {
        let mut world = World::new();
        (world.settings.stop_on_caught_up, world.settings.lanes) = (true, lanes);
        world.append_over(100, 10).await;
        let head = world.head().await;
        world.clerk.told(|_| Does::Takes(Duration::from_millis(5)));
        let process = world.start();
        process.until(|status| status.totals.processed >= 5).await;
        world.append_over(50, 10).await;
        let report = process.end().await;
        assert_eq!(report.end, CatchUpEnd::CaughtUp);
        assert_eq!((report.position, report.stored, world.stored()), (head, head, head));
        assert_eq!(world.clerk.positions().len(), 100, "not one more");
        let report = world.start().end().await;
        assert_eq!((report.totals.processed, world.surplus()), (50, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn b_12_with_nothing_to_do_it_ends_at_once() {
    let mut world = World::new();
    world.settings.stop_on_caught_up = true;
    assert_eq!(world.start().end().await.end, CatchUpEnd::CaughtUp);
    world.append_over(10, 3).await;
    assert_eq!(world.start().end().await.totals.processed, 10);
    let report = world.start().end().await;
    assert_eq!((report.totals.processed, report.end), (0, CatchUpEnd::CaughtUp));
}

#[tokio::test(start_paused = true)]
async fn b_12_an_event_that_is_retried_is_waited_for() {
    let mut world = World::new();
    world.settings.stop_on_caught_up = true;
    world.append(&["Fine", "Opaque", "Fine", "Opaque"]).await;
    let report = world.start().end().await;
    assert_eq!((report.totals.processed, report.totals.dead_lettered), (2, 2));
    assert_eq!(world.stored(), world.head().await);
}

#[tokio::test(start_paused = true)]
async fn a_paused_runner_begins_nothing_and_goes_on_where_it_was() {
    let world = World::new();
    world.append_over(20, 3).await;
    world.clerk.told(|_| Does::Takes(Duration::from_millis(50)));
    let process = world.start();
    process.until(|status| status.totals.processed >= 3).await;
    process.status.pause();
    let paused = process.until(|status| status.phase.as_str() == "paused" && status.in_flight == 0).await;
    world.pass(Duration::from_secs(600)).await;
    assert!(process.status.get().totals.processed <= paused.totals.processed + 1);
    process.status.resume();
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.surplus(), 0);
    assert_eq!((world.diary.count("Paused"), world.diary.count("Resumed")), (1, 1));
}

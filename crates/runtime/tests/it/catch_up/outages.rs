//! Outages of everything a runner needs: no event is passed over, and none is given up for it (B-2, B-13).

use std::sync::Arc;
use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_core::policy::is_outage;
use highwater_core::ports::{Clock, Moment};
use highwater_testkit::time::VirtualClock;

use super::world::{Does, World};

const TEN_MINUTES: Duration = Duration::from_secs(600);

fn fails_until(world: &World, healed: Moment, does: Does) {
    let clock: Arc<VirtualClock> = world.clock.clone();
    world.clerk.told(move |_| if clock.now() < healed { does } else { Does::Fine });
}

#[tokio::test(start_paused = true)]
async fn b_2_a_handler_that_fails_for_ten_minutes_loses_nothing_and_keeps_the_order() {
    for does in [
        Does::Of(ErrorKind::Unavailable),
        Does::Says(highwater_core::Verdict::Retry),
        Does::Opaque,
        Does::Panics,
        Does::Hangs,
        Does::Asks(Duration::from_secs(20)),
    ] {
        for lanes in [1, 8] {
            let mut world = World::new();
            world.settings.lanes = lanes;
            world.append_over(30, 20).await;
            world.run().await;
            fails_until(&world, world.now() + TEN_MINUTES, does);
            world.append_over(200, 20).await;
            let process = world.start_as("second");
            process.phase("stalled").await;
            process.caught_up(&world).await;
            let report = process.stop().await;
            assert!(world.dead().is_empty(), "{does:?}, {lanes} lanes: {:?}", world.dead());
            assert_eq!((world.surplus(), report.totals.processed), (0, 200), "{does:?}, {lanes} lanes");
            world.assert_streams_in_order();
            if lanes == 1 {
                assert_eq!(world.clerk.positions(), world.positions(|_| true), "{does:?}");
            }
            assert_eq!(world.stored(), world.head().await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn b_2_an_outage_that_begins_in_the_middle_gives_up_nothing_either() {
    let world = World::new();
    world.append_over(400, 20).await;
    let (from, until) = (world.now() + Duration::from_secs(1), world.now() + TEN_MINUTES);
    let clock = world.clock.clone();
    world.clerk.told(move |_| {
        let now = clock.now();
        if now >= from && now < until { Does::Opaque } else { Does::Takes(Duration::from_millis(10)) }
    });
    let process = world.start();
    process.phase("stalled").await;
    process.caught_up(&world).await;
    process.stop().await;
    assert!(world.dead().is_empty());
    assert_eq!(world.clerk.positions(), world.positions(|_| true));
}

#[tokio::test(start_paused = true)]
async fn five_different_events_failing_alike_are_an_outage_and_four_are_not() {
    for bad in [1, 4, 5, 9] {
        let world = World::new();
        world.append(&["Fine"]).await;
        world.append(&vec!["Opaque"; bad]).await;
        world.append(&["Fine", "Fine"]).await;
        let process = world.start();
        if is_outage(bad) {
            process.phase("stalled").await;
            world.pass(Duration::from_secs(3_600)).await;
            assert!(world.dead().is_empty());
            assert_eq!(world.clerk.positions().len(), 1, "nothing behind them is done");
            world.clerk.mend();
        }
        process.caught_up(&world).await;
        process.stop().await;
        let given_up = if is_outage(bad) { 0 } else { bad };
        assert_eq!(world.dead().len(), given_up, "{bad} bad events");
        let rest = world.positions(|event| given_up == 0 || event.event_type() == "Fine");
        assert_eq!(world.clerk.positions(), rest, "in order");
        assert!(world.letters.all().iter().all(|letter| letter.attempts == 4));
    }
}

#[tokio::test(start_paused = true)]
async fn fewer_events_than_an_outage_needs_are_given_up_when_the_log_ends_behind_them() {
    let world = World::new();
    world.append(&["Fine", "Opaque", "Opaque", "Opaque"]).await;
    world.run().await;
    assert_eq!(world.dead().len(), 3);
    assert_eq!(world.stored(), world.head().await);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_stays_bad_after_an_outage_is_given_up_and_the_others_are_not() {
    let world = World::new();
    world.append(&["Fine", "Bad", "Fine", "Fine", "Fine", "Fine", "Fine", "Fine"]).await;
    let (healed, clock) = (world.now() + TEN_MINUTES, world.clock.clone());
    world.clerk.told(move |event| {
        if clock.now() < healed || event.event_type() == "Bad" { Does::Opaque } else { Does::Fine }
    });
    let process = world.start();
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.clerk.positions(), world.fine());
    assert_eq!(world.dead(), world.positions(|event| event.event_type() == "Bad"));
    assert_eq!(world.letter().attempts, 4, "what failed in the outage counts for nothing");
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_the_checkpoint_store_hold_the_handler_and_lose_nothing() {
    let world = World::new();
    world.append_over(30, 3).await;
    let process = world.start();
    process.caught_up(&world).await;
    process.until(|status| status.stored == status.position).await;
    world.checkpoints.set_outage(true);
    world.append_over(100, 3).await;
    process.phase("stalled").await;
    world.pass(TEN_MINUTES).await;
    let status = process.status.get();
    assert!(status.totals.processed <= 40, "no more than the bound: {}", status.totals.processed);
    world.checkpoints.set_outage(false);
    process.caught_up(&world).await;
    process.until(|status| status.stored == status.position).await;
    let report = process.stop().await;
    assert!(report.unflushed.is_none() && world.dead().is_empty());
    assert_eq!(world.clerk.positions(), world.positions(|_| true));
    assert!(world.diary.count("Stalled") >= 1 && world.diary.count("Healed") >= 1);
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_without_the_log_pass_over_nothing() {
    let world = World::new();
    world.append_over(30, 3).await;
    let process = world.start();
    process.caught_up(&world).await;
    world.log.set_outage(true);
    process.phase("stalled").await;
    world.pass(TEN_MINUTES).await;
    world.log.set_outage(false);
    world.append_over(30, 3).await;
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.clerk.positions(), world.positions(|_| true));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_away_at_the_start_is_waited_for() {
    let mut world = World::new();
    world.settings.stop_on_caught_up = true;
    world.append_over(30, 3).await;
    world.log.set_outage(true);
    let process = world.start();
    process.phase("stalled").await;
    world.log.set_outage(false);
    let report = process.end().await;
    assert_eq!(report.totals.processed, 30);
}

//! The breaker in front of the handler (B-14).

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_core::breaker::BreakerState;

use super::world::{Does, Process, World};

#[tokio::test(start_paused = true)]
async fn b_14_an_open_breaker_pauses_uses_up_no_attempts_and_lets_one_probe_through() {
    let mut world = World::new();
    world.settings.lanes = 8;
    world.append_over(100, 50).await;
    world.clerk.told(|_| Does::Of(ErrorKind::Unavailable));
    let machine = world.machine("first");
    let runner = world.runner(&machine);
    let breaker = runner.breaker.clone();
    let process = Process::start(runner, machine);
    while breaker.snapshot(world.now()).state != BreakerState::Open {
        world.pass(Duration::from_millis(100)).await;
    }
    process.phase("stalled").await;
    assert_eq!(world.diary.count("BreakerOpened"), 1);
    let calls = world.clerk.calls();
    assert!(calls <= 8, "one call a lane: {calls}");
    for probes in 1..=5 {
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(world.clerk.calls(), calls + probes, "one probe in each open time");
    }
    assert!(world.dead().is_empty());
    world.clerk.mend();
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!((world.diary.count("BreakerClosed"), world.surplus()), (1, 0));
    world.assert_streams_in_order();
}

#[tokio::test(start_paused = true)]
async fn b_14_a_sink_that_was_not_asked_is_not_to_blame() {
    let world = World::new();
    world.append_over(20, 3).await;
    world.clerk.told(|_| Does::Of(ErrorKind::CircuitOpen));
    let machine = world.machine("first");
    let runner = world.runner(&machine);
    let breaker = runner.breaker.clone();
    let process = Process::start(runner, machine);
    process.until(|status| status.totals.errors == 9).await;
    assert_eq!(breaker.snapshot(world.now()).trips, 0, "the sink's own breaker is open");
    world.clerk.mend();
    process.caught_up(&world).await;
    process.stop().await;
    assert!(world.dead().is_empty());
    assert_eq!(world.surplus(), 0);
}

#[tokio::test(start_paused = true)]
async fn b_14_bad_events_do_not_open_it() {
    let world = World::new();
    world
        .append(&["Fine", "Permanent", "Permanent", "Permanent", "Permanent", "Permanent", "Permanent"])
        .await;
    let machine = world.machine("first");
    let runner = world.runner(&machine);
    let breaker = runner.breaker.clone();
    let process = Process::start(runner, machine);
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!((breaker.snapshot(world.now()).trips, world.dead().len()), (0, 6), "the other side answered");
}

#[tokio::test(start_paused = true)]
async fn b_14_runners_that_share_a_breaker_are_held_together_and_go_on_together() {
    let world = World::new();
    world.append_over(20, 3).await;
    let machine = world.machine("first");
    let runner = world.runner(&machine);
    let mut other = world.runner(&machine);
    other.group = "other".into();
    other.status = highwater_runtime::catch_up::CatchUpStatusCell::new("other");
    other.breaker = runner.breaker.clone();
    let breaker = runner.breaker.clone();
    world.clerk.told(|_| Does::Of(ErrorKind::Unavailable));
    let (first, second) = (Process::start(runner, machine.clone()), Process::start(other, machine));
    while breaker.snapshot(world.now()).state != BreakerState::Open {
        world.pass(Duration::from_millis(100)).await;
    }
    let calls = world.clerk.calls();
    world.pass(Duration::from_secs(50)).await;
    assert_eq!(world.clerk.calls(), calls, "neither is called");
    world.clerk.mend();
    first.caught_up(&world).await;
    second.caught_up(&world).await;
    first.stop().await;
    second.stop().await;
    assert_eq!(world.surplus(), 20, "each of the two has handled all");
}

#[tokio::test(start_paused = true)]
async fn b_14_an_operator_closes_it_by_hand() {
    let world = World::new();
    world.append_over(20, 3).await;
    world.clerk.told(|_| Does::Of(ErrorKind::Unavailable));
    let machine = world.machine("first");
    let runner = world.runner(&machine);
    let breaker = runner.breaker.clone();
    let process = Process::start(runner, machine);
    while breaker.snapshot(world.now()).state != BreakerState::Open {
        world.pass(Duration::from_millis(100)).await;
    }
    world.clerk.mend();
    let begun = world.now();
    assert!(breaker.reset().is_some());
    process.caught_up(&world).await;
    assert!(world.now().since(begun) < Duration::from_secs(40), "{:?}", world.now().since(begun));
    process.stop().await;
}

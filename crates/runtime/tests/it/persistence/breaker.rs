//! The circuit breaker of a worker.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::breaker::BreakerState;
use highwater_core::{ErrorKind, Retry};

use super::world::{SECOND, World, names};

#[tokio::test(start_paused = true)]
async fn c_7_five_failed_calls_open_it_and_one_probe_a_minute_decides() {
    let world = World::new();
    let worker = world.open().await;
    let opened = world.now();
    assert_eq!(world.target.calls().len(), 5);
    for key in names(300) {
        worker.request_now(&key).unwrap();
    }
    world.pass(59 * SECOND).await;
    assert_eq!(world.target.calls().len(), 5, "nobody is asked");
    world.pass(2 * SECOND).await;
    assert_eq!(world.target.calls().len(), 6, "one probe");
    let breaker = worker.stats().breaker;
    assert_eq!((breaker.state, breaker.trips, breaker.failures), (BreakerState::Open, 2, 6));
    world.pass(50 * SECOND).await;
    world.target.tell(|script| script.outage = false);
    world.pass(50 * SECOND).await;
    let stats = worker.stats();
    assert_eq!((stats.breaker.state, stats.breaker.trips, stats.pending), (BreakerState::Closed, 2, 0));
    assert!(world.now() - opened < 170 * SECOND);
    let changes: Vec<String> =
        world.diary.lines().into_iter().filter(|line| line.starts_with("BreakerChanged")).collect();
    let states = [
        "Closed, to: Open",
        "Open, to: HalfOpen",
        "HalfOpen, to: Open",
        "Open, to: HalfOpen",
        "HalfOpen, to: Closed",
    ];
    assert_eq!(changes.len(), states.len());
    for (change, states) in changes.iter().zip(states) {
        assert!(change.contains(states), "{change} is not {states}");
    }
}

#[tokio::test(start_paused = true)]
async fn c_7_exactly_one_probe_is_on_its_way_while_half_open() {
    let world = World::new();
    let worker = world.open().await;
    world.target.forget_calls();
    world.target.tell(|script| script.latency = 10 * SECOND);
    for key in names(300) {
        worker.request_now(&key).unwrap();
    }
    world.pass(65 * SECOND).await;
    assert_eq!(worker.stats().breaker.state, BreakerState::HalfOpen);
    for key in names(300) {
        worker.request_now(&key).unwrap();
    }
    world.pass(4 * SECOND).await;
    assert_eq!(world.target.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn c_3_c_7_a_key_that_hangs_its_calls_does_not_keep_the_breaker_open_for_others() {
    let world = World::new();
    world.target.tell(|script| script.hanging.insert("stuck".to_owned()));
    let worker = world.start();
    worker.request_now("stuck").unwrap();
    while worker.stats().breaker.state != BreakerState::Open {
        world.pass(SECOND).await;
    }
    world.pass(50 * SECOND).await;
    let begun = world.now();
    worker.request_now("well").unwrap();
    worker.flushed("well").await.unwrap();
    assert!(world.now() - begun < 11 * SECOND, "the next probe is made with it");
    assert_eq!(worker.stats().breaker.state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn c_7_a_cancelled_probe_and_backpressure_count_for_nothing() {
    let mut world = World::new();
    world.settings.max_pending = 2;
    let worker = world.open().await;
    worker.request("b").unwrap();
    for _ in 0..100 {
        worker.request("c").unwrap_err();
    }
    assert_eq!(worker.stats().breaker.failures, 5);
    world.target.tell(|script| script.latency = 100 * SECOND);
    world.pass(60 * SECOND).await;
    assert_eq!(worker.stats().breaker.state, BreakerState::HalfOpen);
    let mut settings = worker.settings();
    settings.operation_timeout = SECOND;
    settings.shutdown_timeout = SECOND;
    worker.reconfigure(settings).unwrap();
    let report = worker.shutdown().await;
    assert_eq!(report.residue.len(), 2);
    let stats = worker.stats();
    assert_eq!((stats.breaker.state, stats.breaker.trips), (BreakerState::HalfOpen, 1), "it was given back");
    assert_eq!((stats.requests, stats.failed, stats.in_flight), (6, 6, 0), "what was given up has failed");
}

#[tokio::test(start_paused = true)]
async fn c_8_open_ticks_flush_nothing_and_everything_stays_dirty() {
    let world = World::new();
    let worker = world.open().await;
    world.target.forget_calls();
    for key in names(20) {
        worker.request(&key).unwrap();
    }
    world.pass(55 * SECOND).await;
    assert_eq!((world.target.calls().len(), worker.stats().pending), (0, 21));
    assert_eq!(worker.stats().breaker.trips, 1);
}

#[tokio::test(start_paused = true)]
async fn c_8_force_is_circuit_open_unless_overridden() {
    let world = World::new();
    let worker = world.open().await;
    world.pass(10 * SECOND).await;
    world.target.forget_calls();
    let error = worker.force(None, None, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CircuitOpen);
    let Retry::After(rest) = error.retryable() else { panic!("{error:?}") };
    assert!(rest > 49 * SECOND && rest <= 50 * SECOND, "{rest:?}");
    assert_eq!((world.target.calls().len(), worker.stats().pending), (0, 1), "nothing was tried or lost");

    let report = worker.force(None, None, true).await.unwrap();
    assert_eq!((report.failed.len(), report.snapshot()), (1, 1), "still cut off");
    worker.request("other").unwrap();
    world.target.tell(|script| script.outage = false);
    let only = ["a".to_owned()];
    let report = worker.force(None, Some(&only), true).await.unwrap();
    assert_eq!(report.flushed, only);
    let stats = worker.stats();
    assert_eq!((stats.breaker.state, stats.pending), (BreakerState::Open, 1), "the others wait on");
    assert_eq!(stats.breaker.failures, 5, "it learned nothing from it");
    let clean = worker.force(None, Some(&only), false).await.unwrap();
    assert_eq!(clean.snapshot(), 0, "where nothing is dirty, nothing is refused");
}

#[tokio::test(start_paused = true)]
async fn c_8_a_reset_by_hand_closes_keeps_the_trips_and_tries_at_once() {
    let world = World::new();
    let worker = world.open().await;
    world.target.tell(|script| script.outage = false);
    let begun = world.now();
    worker.reset_circuit_breaker();
    worker.flushed("a").await.unwrap();
    assert!(world.now() - begun < Duration::from_millis(5), "nothing rests any longer");
    let breaker = worker.stats().breaker;
    assert_eq!((breaker.state, breaker.trips, breaker.failures), (BreakerState::Closed, 1, 0));
    worker.reset_circuit_breaker();
    assert_eq!(world.diary.count("BreakerChanged"), 2, "opened and closed; a second reset is no change");
}

#[tokio::test(start_paused = true)]
async fn c_9_each_target_has_a_breaker_of_its_own() {
    let world = World::new();
    let worker = world.open().await;
    let mut other = World::new();
    (other.clock, other.environment) = (world.clock.clone(), world.environment.clone());
    let well = other.start_as("other").unwrap();
    well.request_now("a").unwrap();
    well.flushed("a").await.unwrap();
    assert_eq!(well.stats().breaker.state, BreakerState::Closed);
    assert_eq!(worker.stats().breaker.state, BreakerState::Open);
    assert_eq!(Arc::strong_count(&world.diary), 2, "and an observer of its own");
}

#[tokio::test(start_paused = true)]
async fn c_9_a_permanent_error_of_one_key_does_not_trip_it() {
    let world = World::new();
    world.target.tell(|script| script.bad.insert("bad".to_owned(), ErrorKind::Unstorable));
    let worker = world.start();
    worker.request_now("bad").unwrap();
    world.pass(3600 * SECOND).await;
    let stats = worker.stats();
    assert!(stats.failed > 50, "alone in its call, and refused each time: {stats:?}");
    assert_eq!(
        (stats.breaker.state, stats.breaker.trips, stats.breaker.failures),
        (BreakerState::Closed, 0, 0)
    );
    assert_eq!(stats.last_success_micros, None);
    assert!(stats.response.is_some(), "a refusal is an answer");
}

//! What a failing target does to its keys.

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_core::breaker::BreakerState;

use super::world::{SECOND, World, names, texts};

#[tokio::test(start_paused = true)]
async fn c_3_a_bad_key_does_not_hold_up_the_others_and_is_tried_ever_more_rarely() {
    let world = World::new();
    world.target.tell(|script| script.bad.insert("bad".to_owned(), ErrorKind::Unstorable));
    let worker = world.start();
    worker.request("bad").unwrap();
    for key in names(250) {
        worker.request(&key).unwrap();
    }
    world.pass(6 * SECOND).await;
    assert_eq!((worker.stats().successful, worker.stats().pending), (250, 1));
    world.target.forget_calls();
    for _ in 0..600 {
        world.pass(SECOND).await;
        worker.request_now("bad").unwrap();
    }
    let tries = world.target.calls().len();
    assert!((15..30).contains(&tries), "{tries} tries in ten minutes, though each second marks it as due");
    world.target.tell(|script| script.bad.clear());
    world.pass(38 * SECOND).await;
    assert_eq!(
        (worker.stats().pending, world.target.written("bad")),
        (0, Some(0)),
        "and in the end it heals"
    );
}

#[tokio::test(start_paused = true)]
async fn c_3_failures_keep_the_age_and_the_oldest_goes_first() {
    let mut world = World::new();
    world.settings.max_batch_size = 2;
    world.target.tell(|script| script.outage = true);
    let worker = world.start();
    for key in ["a", "b", "c"] {
        worker.request_now(key).unwrap();
        world.pass(Duration::from_millis(1)).await;
    }
    world.pass(SECOND / 2).await;
    let oldest = worker.stats().oldest_pending.unwrap();
    assert!(oldest > SECOND / 2, "a failure makes nothing younger: {oldest:?}");
    world.target.tell(|script| script.outage = false);
    world.pass(40 * SECOND).await;
    assert_eq!(worker.stats().pending, 0);
    assert_eq!(world.target.calls()[0], texts(&["a"]), "the first mark");
}

#[tokio::test(start_paused = true)]
async fn c_3_a_key_that_hangs_its_call_is_found_by_halving_and_the_others_are_written() {
    let world = World::new();
    let keys = names(100);
    world.target.tell(|script| script.hanging.insert(keys[17].clone()));
    let worker = world.start();
    for key in &keys {
        worker.request(key).unwrap();
    }
    let mut stats = worker.stats();
    while (stats.successful, stats.in_flight) != (99, 0) {
        world.pass(SECOND).await;
        stats = worker.stats();
        assert!(world.now() < 200 * SECOND, "{:?}", world.target.sizes());
    }
    assert_eq!(stats.pending, 1);
    assert_eq!(world.target.sizes()[..3], [100, 50, 50], "the call that timed out, then its halves");
    assert_eq!((stats.breaker.state, stats.breaker.trips), (BreakerState::Closed, 0), "no outage");
    // Halving has found it; it is alone and rests.
    world.target.forget_calls();
    world.target.tell(|script| script.hanging.clear());
    world.pass(60 * SECOND).await;
    assert_eq!(world.target.calls(), [vec![keys[17].clone()]]);
    assert_eq!(worker.stats().pending, 0);
}

#[tokio::test(start_paused = true)]
async fn c_3_keys_that_come_later_are_written_while_another_hangs() {
    let world = World::new();
    world.target.tell(|script| script.hanging.insert("stuck".to_owned()));
    let worker = world.start();
    worker.request_now("stuck").unwrap();
    let mut slowest = Duration::ZERO;
    for key in names(30) {
        world.pass(7 * SECOND).await;
        let begun = world.now();
        worker.request_now(&key).unwrap();
        worker.flushed(&key).await.unwrap();
        slowest = slowest.max(world.now() - begun);
    }
    assert!(slowest <= 21 * SECOND, "one call that hangs and the pause behind it: {slowest:?}");
    assert_eq!((worker.stats().pending, worker.stats().breaker.trips), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn c_4_a_time_out_is_an_unknown_outcome() {
    let world = World::new();
    world.target.tell(|script| script.mute = true);
    let worker = world.start();
    world.target.set("a", 1);
    worker.request_now("a").unwrap();
    world.pass(14 * SECOND).await;
    assert_eq!((worker.stats().in_flight, worker.stats().breaker.failures), (1, 0));
    world.pass(SECOND + Duration::from_millis(5)).await;
    let stats = worker.stats();
    assert_eq!(world.target.written("a"), Some(1), "it was written, but nobody knows");
    assert_eq!((stats.pending, stats.successful, stats.failed, stats.in_flight), (1, 0, 1, 0));
    assert_eq!((stats.breaker.failures, stats.response, stats.last_success_micros), (1, None, None));
    world.target.tell(|script| script.mute = false);
    worker.flushed("a").await.unwrap();
    assert_eq!((worker.stats().pending, world.target.written("a")), (0, Some(1)), "again is harmless");
}

#[tokio::test(start_paused = true)]
async fn c_14_answers_that_do_not_fit_the_keys_confirm_nothing() {
    let world = World::new();
    world.target.tell(|script| script.miscounts = true);
    let worker = world.start();
    for key in ["a", "b"] {
        worker.request_now(key).unwrap();
    }
    world.pass(SECOND / 10).await;
    let stats = worker.stats();
    assert_eq!((stats.pending, stats.successful, stats.failed), (2, 0, 2));
    assert!(stats.last_error.unwrap().contains("the target answered for 1 of 2 keys"));
    assert_eq!(world.diary.count("Flushed"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_panics_at_a_key_is_a_failed_call_and_the_key_is_found() {
    let world = World::new();
    world.target.tell(|script| script.panics_at = Some("key-0003".to_owned()));
    let worker = world.start();
    for key in names(8) {
        worker.request(&key).unwrap();
    }
    world.pass(14 * SECOND).await;
    let stats = worker.stats();
    assert_eq!((stats.successful, stats.pending, stats.breaker.trips), (7, 1, 0));
    assert!(stats.last_error.unwrap().contains("the target panicked: a defect in the target"));
    assert_eq!(world.diary.count("WorkerPanicked"), 0, "the worker itself is well");
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_does_not_open_the_breaker_however_often_keys_are_due() {
    let world = World::new();
    let worker = world.start();
    world.target.tell(|script| script.outage = true);
    for n in 0..400 {
        worker.request_now(&format!("key-{}", n % 7)).unwrap();
        world.pass(Duration::from_millis(10)).await;
    }
    let stats = worker.stats();
    assert_eq!((stats.breaker.state, stats.breaker.trips), (BreakerState::Closed, 0));
    assert!((2..5).contains(&stats.breaker.failures), "{stats:?}");
    world.target.tell(|script| script.outage = false);
    world.pass(20 * SECOND).await;
    assert_eq!((worker.stats().pending, worker.stats().breaker.failures), (0, 0));
}

//! Marks, what becomes of them, and the places for them.

use std::time::Duration;

use futures_util::FutureExt;
use highwater_core::ErrorKind;

use super::world::{SECOND, World, names, texts};

#[tokio::test(start_paused = true)]
async fn c_1_a_mark_during_a_flush_keeps_the_key_dirty_until_a_flush_that_began_after_it() {
    let world = World::new();
    world.target.tell(|script| script.latency = SECOND);
    let worker = world.start();
    world.target.set("a", 1);
    worker.request_now("a").unwrap();
    let first = worker.flushed("a");
    world.pass(SECOND / 2).await;
    world.target.set("a", 2);
    worker.request("a").unwrap();
    let second = worker.flushed("a");
    first.await.unwrap();
    assert_eq!(world.target.written("a"), Some(1));
    assert_eq!(worker.stats().pending, 1, "what was marked on the way is not written");
    let mut second = Box::pin(second);
    assert!((&mut second).now_or_never().is_none());
    second.await.unwrap();
    assert_eq!((world.target.written("a"), worker.stats().pending), (Some(2), 0));
    assert_eq!(world.target.calls().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn c_1_flushed_waits_for_the_present_mark_and_not_for_later_ones() {
    let world = World::new();
    world.target.tell(|script| script.latency = SECOND);
    let worker = world.start();
    worker.flushed("never marked").await.unwrap();
    worker.request_now("a").unwrap();
    let flushed = worker.flushed("a");
    for _ in 0..30 {
        world.pass(SECOND / 10).await;
        worker.request_now("a").unwrap();
    }
    assert_eq!(flushed.now_or_never().map(|waited| waited.is_ok()), Some(true), "two flushes ago");
    assert_eq!(worker.stats().pending, 1);
}

#[tokio::test(start_paused = true)]
async fn c_2_marks_coalesce_and_a_key_is_in_flight_once() {
    let world = World::new();
    world.target.tell(|script| script.latency = Duration::from_millis(700));
    let worker = world.start();
    for round in 0..1_000 {
        worker.request("a").unwrap();
        // Whatever is asked while a call is on its way, the target refuses to see a key twice at a time.
        if round % 100 == 0 {
            worker.request_now("b").unwrap();
            world.pass(Duration::from_millis(110)).await;
        }
    }
    let stats = worker.stats();
    assert_eq!((stats.pending, world.target.calls().concat().contains(&"a".to_owned())), (2, false));
    world.pass(5 * SECOND).await;
    assert_eq!(world.target.calls().concat().iter().filter(|key| *key == "a").count(), 1);
    assert_eq!(
        (worker.stats().pending, world.diary.count("CallFailed")),
        (0, 0),
        "{:?}",
        world.diary.lines()
    );
}

#[tokio::test(start_paused = true)]
async fn b_5_a_key_that_is_due_goes_out_at_once_and_the_others_wait_for_the_pass() {
    let world = World::new();
    let worker = world.start();
    worker.request("later").unwrap();
    worker.request_now("now").unwrap();
    worker.flushed("now").await.unwrap();
    assert_eq!((world.now(), world.target.calls()), (Duration::ZERO, vec![texts(&["now"])]));
    worker.request_now("later").unwrap();
    worker.flushed("later").await.unwrap();
    assert_eq!(world.now(), Duration::ZERO, "due after all");
}

#[tokio::test(start_paused = true)]
async fn c_6_a_million_requests_use_no_more_than_max_pending_places() {
    let world = World::new();
    let worker = world.start();
    let mut refused = 0;
    for n in 0..1_000_000_u32 {
        match worker.request(&format!("key-{n}")) {
            Ok(()) => assert!(n < 1_000),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Backpressure);
                refused += 1;
            }
        }
    }
    worker.request("key-7").expect("a dirty key coalesces");
    let stats = worker.stats();
    assert_eq!((stats.pending, stats.refused, refused), (1_000, 999_000, 999_000));
    assert_eq!(world.diary.count("NearlyFull { pending: 800, max_pending: 1000 }"), 1);
    assert_eq!(world.diary.count("NearlyFull"), 1);
    let error = worker.request("one-too-many").unwrap_err();
    let text = error.chain();
    assert!(text.contains("one-too-many") && text.contains("`max_pending`"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn c_6_a_new_key_waits_for_a_place_and_hurries_those_that_have_one() {
    let mut world = World::new();
    world.settings.max_pending = 3;
    world.target.tell(|script| script.latency = SECOND);
    let worker = world.start();
    for key in ["a", "b", "c"] {
        worker.request(key).unwrap();
    }
    let begun = world.now();
    worker.request_within("d", 10 * SECOND).await.unwrap();
    assert_eq!(world.now() - begun, SECOND, "a call, and no interval before it");
    assert_eq!((worker.stats().pending, worker.stats().refused), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn c_6_a_new_key_waits_no_longer_than_its_deadline_and_marks_nothing_then() {
    let mut world = World::new();
    world.settings.max_pending = 1;
    world.target.tell(|script| script.latency = 10 * SECOND);
    let worker = world.start();
    worker.request("a").unwrap();
    let begun = world.now();
    let error = worker.request_within("b", 3 * SECOND).await.unwrap_err();
    assert_eq!((error.kind(), world.now() - begun), (ErrorKind::Backpressure, 3 * SECOND));
    assert_eq!((worker.stats().pending, worker.stats().refused), (1, 1));
    worker.request_within("a", Duration::ZERO).await.expect("a dirty key waits for nothing");
    let waiting = tokio::spawn({
        let worker = worker.clone();
        async move { worker.request_within("c", 100 * SECOND).await }
    });
    world.pass(SECOND).await;
    let stopping = world.now();
    let report = worker.shutdown().await;
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed, "a stop ends the wait");
    assert!(world.now() - stopping <= 15 * SECOND && report.residue.len() <= 1, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn c_6_each_crossing_of_80_percent_is_warned_about_once() {
    let mut world = World::new();
    world.settings.max_pending = 10;
    let worker = world.start();
    for crossing in 1..=3 {
        for key in names(10) {
            worker.request(&key).unwrap();
            worker.request(&key).unwrap();
        }
        assert_eq!(world.diary.count("NearlyFull { pending: 8, max_pending: 10 }"), crossing);
        worker.force(None, None, false).await.unwrap();
        assert_eq!((worker.stats().pending, world.diary.count("NearlyFull")), (0, crossing));
    }
    for key in names(7) {
        worker.request(&key).unwrap();
    }
    assert_eq!(world.diary.count("NearlyFull"), 3, "below the line");
}

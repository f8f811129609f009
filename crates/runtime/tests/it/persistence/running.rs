//! The rhythm of the worker, its statistics and its settings.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_core::breaker::BreakerState;
use highwater_core::ports::Clock;
use highwater_runtime::persistence::ResponseTimes;
use highwater_testkit::time::ScriptedJitter;

use super::world::{SECOND, World, names};

#[tokio::test(start_paused = true)]
async fn c_12_the_delay_is_fixed_and_passes_do_not_overlap() {
    let world = World::new();
    world.target.tell(|script| script.latency = 7 * SECOND);
    let worker = world.start();
    for _ in 0..60 {
        worker.request("a").unwrap();
        world.pass(SECOND).await;
    }
    let times = world.target.times();
    let seconds: Vec<u64> = times.iter().map(|time| (*time + SECOND / 2).as_secs()).collect();
    assert_eq!(seconds, [5, 17, 29, 41, 53], "5 s behind the end of each call of 7 s");
}

#[tokio::test(start_paused = true)]
async fn c_12_the_first_tick_is_jittered_and_idle_ticks_are_kept() {
    for (random, first) in [(0, Duration::from_millis(3_750)), (u64::MAX, Duration::from_millis(6_250))] {
        let mut world = World::new();
        world.environment.jitter = Arc::new(ScriptedJitter::replaying([random], 1));
        let worker = world.start();
        worker.request("a").unwrap();
        worker.flushed("a").await.unwrap();
        let begun = world.target.times()[0];
        assert!(begun >= first && begun <= first + Duration::from_millis(2), "{begun:?}");
        // Nobody asks for a while; then the next tick comes when it would have come.
        world.pass(Duration::from_millis(12_000)).await;
        worker.request("a").unwrap();
        worker.flushed("a").await.unwrap();
        let second = world.target.times()[1] - begun;
        let tick = 15 * SECOND;
        assert!(second >= tick && second <= tick + Duration::from_millis(5), "{second:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn b_5_a_thousand_keys_go_out_batch_after_batch_without_a_pause() {
    let world = World::new();
    world.target.tell(|script| script.latency = Duration::from_millis(2));
    let worker = world.start();
    for key in names(1_000) {
        worker.request(&key).unwrap();
    }
    world.pass(Duration::from_millis(5_050)).await;
    assert_eq!((world.target.sizes(), worker.stats().pending), (vec![100; 10], 0));
    let times = world.target.times();
    assert!(times[9] - times[0] <= Duration::from_millis(20), "{times:?}");
    let in_order: Vec<String> = world.target.calls().concat();
    assert_eq!(in_order, names(1_000), "oldest first");
}

#[tokio::test(start_paused = true)]
async fn c_13_statistics_answer_while_a_call_hangs() {
    let world = World::new();
    world.target.tell(|script| script.hanging.insert("key-0000".to_owned()));
    let worker = world.start();
    let fresh = worker.stats();
    assert_eq!((&*fresh.target, fresh.requests, fresh.pending), ("checkpoints", 0, 0));
    assert_eq!((fresh.response, fresh.oldest_pending, fresh.last_error), (None, None, None));
    assert_eq!(
        (fresh.last_success_micros, fresh.last_failure_micros, fresh.last_persistence_micros),
        (None, None, None)
    );
    for key in names(3) {
        worker.request_now(&key).unwrap();
    }
    world.pass(3 * SECOND).await;
    let made = world.clock.wall_micros() - 3_000_000;
    let begun = world.now();
    let hung = worker.stats();
    worker.request("more").unwrap();
    assert_eq!(world.now(), begun, "neither waits");
    assert_eq!((hung.requests, hung.in_flight, hung.pending), (3, 3, 3));
    assert_eq!(hung.last_persistence_micros.map(|at| (at - made).abs() < 5_000), Some(true));
    assert_eq!((hung.response, hung.last_failure_micros), (None, None));
    assert_eq!(hung.oldest_pending, Some(3 * SECOND));
    assert_eq!(hung.uptime, 3 * SECOND);
    world.clock.step_wall_back(3600 * SECOND);
    world.pass(SECOND).await;
    assert_eq!(worker.stats().uptime, 4 * SECOND, "the wall clock has no say in a duration");
}

#[tokio::test(start_paused = true)]
async fn c_13_response_times_and_sums() {
    let world = World::new();
    let worker = world.start();
    for millis in [200, 40, 60] {
        world.target.tell(|script| script.latency = Duration::from_millis(millis));
        worker.request_now("a").unwrap();
        worker.flushed("a").await.unwrap();
    }
    let ms = Duration::from_millis;
    let stats = worker.stats();
    assert_eq!(stats.response, Some(ResponseTimes { min: ms(40), mean: ms(100), max: ms(200) }));
    world.target.tell(|script| {
        script.bad.insert("bad".to_owned(), ErrorKind::Unstorable);
        script.hanging.insert("hung".to_owned());
    });
    for key in ["b", "bad", "hung"] {
        worker.request_now(key).unwrap();
    }
    for _ in 0..200 {
        world.pass(SECOND).await;
        let stats = worker.stats();
        assert_eq!(stats.requests, stats.successful + stats.failed + stats.in_flight);
    }
    let stats = worker.stats();
    assert_eq!((stats.successful, stats.pending), (4, 2));
    assert!(stats.last_failure_micros > stats.last_success_micros);
    assert_eq!(stats.response.unwrap().max, ms(200), "a time-out is no answer");
}

#[tokio::test(start_paused = true)]
async fn c_5_a_worker_takes_no_settings_that_break_the_rules_and_names_all_of_them() {
    let mut world = World::new();
    world.settings.operation_timeout = 60 * SECOND;
    world.settings.max_batch_size = 0;
    let error = world.start_as("checkpoints").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.chain();
    for part in ["checkpoints", "`force_persistence_timeout`", "`shutdown_timeout`", "`max_batch_size`"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let broken = std::mem::replace(&mut world.settings, World::new().settings);
    let worker = world.start();
    assert_eq!(worker.reconfigure(broken).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(worker.settings(), world.settings, "the old ones go on");
}

#[tokio::test(start_paused = true)]
async fn other_settings_hold_at_run_time() {
    let mut world = World::new();
    world.settings.persistence_interval = 600 * SECOND;
    let worker = world.start();
    for key in names(10) {
        worker.request(&key).unwrap();
    }
    world.pass(SECOND).await;
    let mut settings = world.settings.clone();
    settings.persistence_interval = 2 * SECOND;
    settings.max_batch_size = 4;
    settings.max_pending = 12;
    settings.breaker_failure_threshold = 2;
    settings.breaker_open_time = 3 * SECOND;
    worker.reconfigure(settings.clone()).unwrap();
    assert_eq!((worker.settings(), world.diary.count("Reconfigured")), (settings, 1));
    assert_eq!(world.diary.count("NearlyFull { pending: 10, max_pending: 12 }"), 1);
    world.pass(Duration::from_millis(2_010)).await;
    assert_eq!(world.target.sizes(), [4, 4, 2], "within the new interval, in the new batches");

    for key in names(12) {
        worker.request(&key).unwrap();
    }
    assert_eq!(worker.request("one-more").unwrap_err().kind(), ErrorKind::Backpressure);
    world.target.tell(|script| script.outage = true);
    world.pass(4 * SECOND).await;
    assert_eq!(worker.stats().breaker.state, BreakerState::Open);
    world.target.tell(|script| script.outage = false);
    world.pass(40 * SECOND).await;
    assert_eq!((worker.stats().breaker.state, worker.stats().pending), (BreakerState::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn other_settings_make_room_for_those_who_wait() {
    let mut world = World::new();
    world.settings.max_pending = 1;
    world.target.tell(|script| script.outage = true);
    let worker = world.start();
    worker.request("a").unwrap();
    let waiting = tokio::spawn({
        let worker = worker.clone();
        async move { worker.request_within("b", 3600 * SECOND).await }
    });
    // No call of the target is due at this time, whose end would wake the one who waits.
    world.pass(SECOND / 2).await;
    let mut settings = worker.settings();
    settings.max_pending = 2;
    worker.reconfigure(settings).unwrap();
    let begun = world.now();
    waiting.await.unwrap().unwrap();
    assert_eq!((world.now(), worker.stats().pending), (begun, 2));
}

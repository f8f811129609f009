//! Stops, and panics of the worker's task.

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_core::breaker::BreakerState;

use super::world::{SECOND, World, names, texts};

#[tokio::test(start_paused = true)]
async fn c_11_a_stop_flushes_what_is_dirty_and_a_second_one_is_harmless() {
    let world = World::new();
    world.target.tell(|script| script.latency = SECOND / 10);
    let worker = world.start();
    for key in names(250) {
        worker.request(&key).unwrap();
    }
    let report = worker.shutdown().await;
    assert_eq!((report.flushed, report.residue.len(), report.panic.clone()), (250, 0, None));
    assert_eq!((world.target.sizes(), world.now()), (vec![100, 100, 50], SECOND * 3 / 10));
    for refused in [worker.request("late"), worker.request_now("late")] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
    }
    assert_eq!(worker.force(None, None, false).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(worker.shutdown().await, report, "as the first one said");
    assert_eq!(world.diary.count("Stopped"), 1);
}

#[tokio::test(start_paused = true)]
async fn c_11_the_last_pass_tries_each_key_once_also_one_that_rests() {
    let mut world = World::new();
    world.settings.max_batch_size = 2;
    world.target.tell(|script| script.bad.insert("bad".to_owned(), ErrorKind::Unstorable));
    let worker = world.start();
    worker.request_now("bad").unwrap();
    world.pass(SECOND / 10).await;
    for key in ["a", "b", "c"] {
        worker.request(key).unwrap();
    }
    world.target.forget_calls();
    let begun = world.now();
    let report = worker.shutdown().await;
    assert_eq!((report.flushed, report.residue), (3, texts(&["bad"])));
    assert_eq!(world.target.calls(), [texts(&["bad", "a"]), texts(&["b", "c"])]);
    assert_eq!(world.now(), begun, "it waits for nothing");
    assert_eq!(
        world.diary.count(r#"Stopped { flushed: 3, residue: ["bad"] }"#),
        1,
        "{:?}",
        world.diary.lines()
    );
}

#[tokio::test(start_paused = true)]
async fn c_11_a_hung_target_does_not_hold_up_the_stop() {
    let mut world = World::new();
    world.settings.max_batch_size = 1;
    world.target.tell(|script| script.hanging.insert("hung".to_owned()));
    let worker = world.start();
    for key in ["hung", "b", "c"] {
        worker.request(key).unwrap();
    }
    let waiting = worker.flushed("c");
    // The call began at 5 s and times out at 20 s; the stop may take until 22 s.
    world.pass(7 * SECOND).await;
    let begun = world.now();
    let report = worker.shutdown().await;
    assert!(world.now() - begun <= 15 * SECOND, "{:?}", world.now() - begun);
    assert_eq!((report.flushed, report.residue), (2, texts(&["hung"])));
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c_11_what_a_stop_could_not_write_is_returned_oldest_first_and_waiters_learn_it() {
    let world = World::new();
    world.target.tell(|script| script.outage = true);
    let worker = world.start();
    for key in ["z", "a", "m"] {
        worker.request(key).unwrap();
    }
    let waiting = worker.flushed("a");
    let report = worker.shutdown().await;
    assert_eq!((report.flushed, report.residue), (0, texts(&["z", "a", "m"])));
    assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(world.target.calls().len(), 1, "once");
}

#[tokio::test(start_paused = true)]
async fn c_11_while_the_breaker_is_open_a_stop_tries_nothing() {
    let world = World::new();
    let worker = world.open().await;
    world.target.forget_calls();
    let begun = world.now();
    let report = worker.shutdown().await;
    assert_eq!((report.residue, world.target.calls().len()), (texts(&["a"]), 0));
    assert_eq!((world.now(), worker.stats().breaker.state), (begun, BreakerState::Open));
}

#[tokio::test(start_paused = true)]
async fn c_11_dropping_the_last_handle_stops_the_worker_as_well() {
    let world = World::new();
    let worker = world.start();
    let other = worker.clone();
    worker.request("a").unwrap();
    drop(worker);
    world.pass(SECOND).await;
    assert_eq!(world.target.calls().len(), 0, "somebody may still have something to write");
    drop(other);
    world.pass(SECOND).await;
    assert_eq!(world.target.calls(), [texts(&["a"])]);
    assert_eq!(world.diary.count("Stopped { flushed: 1, residue: [] }"), 1);
}

#[tokio::test(start_paused = true)]
async fn c_11_a_worker_that_panics_loses_nothing_and_goes_on() {
    let world = World::new();
    let worker = world.start();
    world.diary.panic_at(&["Flushed"]);
    worker.request_now("a").unwrap();
    worker.flushed("a").await.unwrap();
    world.diary.panic_at(&[]);
    worker.request_now("b").unwrap();
    worker.flushed("b").await.unwrap();
    assert_eq!(world.diary.count("WorkerPanicked"), 1);
    assert_eq!(world.diary.count("Started"), 2);
    let report = worker.shutdown().await;
    assert_eq!(
        (report.residue.len(), report.panic.as_deref()),
        (0, Some("panicked: a defect in the observer"))
    );
}

#[tokio::test(start_paused = true)]
async fn c_11_the_residue_is_returned_after_the_worker_panicked_in_its_last_pass() {
    let mut world = World::new();
    world.settings.max_batch_size = 1;
    let worker = world.start();
    for key in ["a", "b", "c"] {
        worker.request(key).unwrap();
    }
    world.diary.panic_at(&["Flushed"]);
    let report = worker.shutdown().await;
    assert_eq!((report.flushed, report.residue), (1, texts(&["b", "c"])));
    assert_eq!(world.diary.count(r#"Stopped { flushed: 1, residue: ["b", "c"] }"#), 1, "and logged");
}

#[tokio::test(start_paused = true)]
async fn c_11_the_residue_is_returned_after_the_workers_task_died() {
    let world = World::new();
    world.target.tell(|script| script.outage = true);
    let worker = world.start();
    // The panic is caught, and telling it panics as well: now the task is gone.
    world.diary.panic_at(&["CallFailed", "WorkerPanicked"]);
    worker.request_now("a").unwrap();
    worker.request("b").unwrap();
    world.pass(SECOND).await;
    assert_eq!(worker.request("c").unwrap_err().kind(), ErrorKind::Closed, "nobody would write it");
    assert_eq!(worker.flushed("a").await.unwrap_err().kind(), ErrorKind::Closed);
    let report = worker.shutdown().await;
    assert_eq!(report.residue, texts(&["a", "b"]));
    assert!(report.panic.unwrap().contains("a defect in the observer"));
    assert_eq!(world.diary.count("Stopped"), 1, "whoever stops it logs it");
    assert_eq!(worker.shutdown().await.residue.len(), 2);
    assert_eq!(world.diary.count("Stopped"), 1);
}

#[tokio::test(start_paused = true)]
async fn c_11_a_dropped_shutdown_goes_on() {
    let world = World::new();
    world.target.tell(|script| script.latency = SECOND);
    let worker = world.start();
    worker.request("a").unwrap();
    let dropped = tokio::time::timeout(SECOND / 10, worker.shutdown()).await;
    assert!(dropped.is_err());
    world.pass(SECOND).await;
    assert_eq!(world.target.written("a"), Some(0));
    assert_eq!(worker.shutdown().await.flushed, 1);
    assert!(world.now() < Duration::from_secs(2));
}

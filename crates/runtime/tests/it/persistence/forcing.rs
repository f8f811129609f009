//! Forced flushes.

use std::time::Duration;

use highwater_core::ErrorKind;

use super::world::{SECOND, World, names, texts};

#[tokio::test(start_paused = true)]
async fn c_10_every_key_of_the_snapshot_is_reported_once() {
    let mut world = World::new();
    world.settings.max_batch_size = 3;
    world.target.tell(|script| {
        script.bad.insert("b-bad".to_owned(), ErrorKind::Unstorable);
        script.hanging.insert("d-hung".to_owned());
    });
    let worker = world.start();
    for key in ["a", "b-bad", "c", "d-hung", "e", "f", "g"] {
        worker.request(key).unwrap();
        world.pass(Duration::from_millis(1)).await;
    }
    // [a b c] is answered, [d e f] hangs until 15 s, [g] is answered, [d e] is still on its way at 20 s, [f]
    // waits.
    let begun = world.now();
    let report = worker.force(Some(20 * SECOND), None, false).await.unwrap();
    assert_eq!(world.now() - begun, 20 * SECOND);
    assert_eq!(report.flushed, texts(&["a", "c", "g"]));
    assert_eq!(report.failed.len(), 1);
    assert_eq!((&*report.failed[0].key, report.failed[0].error.kind()), ("b-bad", ErrorKind::Unstorable));
    let mut timed_out = report.timed_out.clone();
    timed_out.sort();
    assert_eq!(timed_out, texts(&["d-hung", "e", "f"]), "they were tried once, and may have been written");
    assert_eq!((report.snapshot(), report.not_attempted.len(), report.is_complete()), (7, 0, false));

    worker.request("h").unwrap();
    let report = worker.force(Some(5 * SECOND), Some(&texts(&["h", "not dirty"])), false).await.unwrap();
    assert_eq!(report.not_attempted, texts(&["h"]), "[d e] is on its way until 30 s");
    assert_eq!(report.snapshot(), 1, "what is not dirty is not in the snapshot");
}

#[tokio::test(start_paused = true)]
async fn c_10_a_key_that_times_out_alone_is_done_with() {
    let world = World::new();
    world.target.tell(|script| script.hanging.insert("hung".to_owned()));
    let worker = world.start();
    for key in ["hung", "well"] {
        worker.request(key).unwrap();
    }
    let begun = world.now();
    let report = worker.force(Some(600 * SECOND), None, false).await.unwrap();
    assert_eq!((report.flushed, report.timed_out), (texts(&["well"]), texts(&["hung"])));
    assert!(world.now() - begun < 35 * SECOND, "two calls, and not ten minutes");
}

#[tokio::test(start_paused = true)]
async fn c_10_force_takes_keys_that_rest_and_waits_for_the_call_that_is_on_its_way() {
    let world = World::new();
    world.target.tell(|script| {
        script.latency = 4 * SECOND;
        script.bad.insert("bad".to_owned(), ErrorKind::Unstorable);
    });
    let worker = world.start();
    worker.request_now("bad").unwrap();
    world.pass(SECOND).await;
    worker.request("bad").unwrap();
    let begun = world.now();
    let report = worker.force(None, None, false).await.unwrap();
    assert_eq!(report.failed.len(), 1);
    assert_eq!(
        world.now() - begun,
        7 * SECOND,
        "the failure of a call from before says nothing: it is tried again"
    );

    world.target.tell(|script| script.bad.clear());
    let report = worker.force(None, None, false).await.unwrap();
    assert!(report.is_complete() && report.snapshot() == 1, "{report:?}");
    let nothing = worker.force(None, None, false).await.unwrap();
    assert!(nothing.is_complete() && nothing.snapshot() == 0);
}

#[tokio::test(start_paused = true)]
async fn c_10_a_callers_cancel_cancels_nobody_else() {
    let world = World::new();
    world.target.tell(|script| script.latency = 3 * SECOND);
    let worker = world.start();
    for key in names(150) {
        worker.request(&key).unwrap();
    }
    let force = |deadline: Duration| {
        let worker = worker.clone();
        tokio::spawn(async move { worker.force(Some(deadline), None, false).await })
    };
    let (dropped, short, long) = (force(30 * SECOND), force(4 * SECOND), force(30 * SECOND));
    world.pass(SECOND).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    let short = short.await.unwrap().unwrap();
    assert_eq!(
        (short.flushed.len(), short.timed_out.len(), short.snapshot()),
        (100, 50, 150),
        "on their way"
    );
    assert!(long.await.unwrap().unwrap().is_complete());
    assert_eq!((world.target.sizes(), worker.stats().failed), (vec![100, 50], 0));
}

#[tokio::test(start_paused = true)]
async fn c_10_a_breaker_that_opens_on_the_way_ends_it_with_the_rest_not_attempted() {
    let mut world = World::new();
    world.settings.max_batch_size = 10;
    world.settings.breaker_failure_threshold = 3;
    world.target.tell(|script| script.outage = true);
    let worker = world.start();
    for key in names(100) {
        worker.request(&key).unwrap();
    }
    let report = worker.force(None, None, false).await.unwrap();
    assert_eq!((report.failed.len(), report.not_attempted.len(), report.snapshot()), (30, 70, 100));
    assert!(report.failed.iter().all(|failure| failure.error.kind() == ErrorKind::Unavailable));
    assert_eq!((worker.stats().pending, worker.stats().breaker.trips), (100, 1));
}

//! The handle of what runs: waiting, taking over, rebuilding, and what is refused at the start.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater::{Highwater, OrVerdict as _, Outcome, Phase, Position, StartError, Waited};
use highwater_tests::{CLOCK, Database, LIMIT};

use super::{Counted, Store, small, up_to};

#[tokio::test(flavor = "multi_thread")]
async fn e_11_two_handlers_never_process_concurrently() {
    let store = Store::with(400).await;
    let busy = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let projection = |who: &'static str| {
        let (busy, seen) = (busy.clone(), seen.clone());
        Counted::new(move |_| {
            assert!(!busy.swap(true, Ordering::SeqCst), "two at a time");
            seen.lock().expect("nobody panicked").insert(who);
            std::thread::yield_now();
            busy.store(false, Ordering::SeqCst);
            Ok(())
        })
    };
    let first = store.start(projection("first"), small(10)).await;
    let second = store.start(projection("second"), small(10)).await;
    assert_eq!(first.wait_for_head("counted", LIMIT).await.expect("it answers"), Waited::Reached);
    assert_eq!(store.numbers(), up_to(400));
    assert_eq!(seen.lock().expect("nobody panicked").len(), 1, "one of them did it all");
    let standing_by = [&first, &second].map(|one| one.status()[0].phase == Phase::StandingBy);
    assert_eq!(standing_by.iter().filter(|by| **by).count(), 1, "{standing_by:?}");

    // The owner goes; the other one takes over.
    let (owner, other) = if standing_by[0] { (second, first) } else { (first, second) };
    drop(owner);
    let began = CLOCK.now();
    let more = store.append(5).await;
    assert_eq!(other.wait_for("counted", more, LIMIT).await.expect("it answers"), Waited::Reached);
    let took = CLOCK.now().since(began);
    assert!(took < Duration::from_secs(2), "promised within 1 s, with 1 s for a busy machine: {took:?}");
    assert_eq!(store.numbers().len(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn e_13_wait_for_answers_what_became_of_a_position() {
    let store = Store::with(10).await;
    let judge = |number| if number == 666 { Err("refused").or_park() } else { Ok(()) };
    let highwater = store.start(Counted::new(judge), small(10)).await;
    let wait = |position, limit| highwater.wait_for("counted", position, limit);
    assert_eq!(highwater.wait_for_head("counted", LIMIT).await.expect("it answers"), Waited::Reached);
    for number in [1, 2, 3] {
        let position = store.append_one(store.call("s-1", "Counted", [number])).await;
        assert_eq!(wait(position, LIMIT).await.expect("it answers"), Waited::Reached);
        assert_eq!(store.numbers().last(), Some(&number), "read your own writes");
    }
    let parked = store.append_one(store.call("s-1", "Counted", [666])).await;
    assert_eq!(wait(parked, LIMIT).await.expect("it answers"), Waited::Parked);
    let behind = store.append_one(store.call("s-1", "Counted", [4])).await;
    assert_eq!(
        wait(behind, LIMIT).await.expect("it answers"),
        Waited::Reached,
        "what is behind it is settled"
    );
    let beyond = Position::new(behind.commit() + 1, 0);
    assert_eq!(wait(beyond, Duration::from_millis(100)).await.expect("it answers"), Waited::TimedOut);
    highwater.pause("counted").await.expect("it can be paused");
    assert_eq!(wait(beyond, LIMIT).await.expect("it answers"), Waited::Paused);
    let error = highwater.wait_for("nobody", beyond, LIMIT).await.expect_err("there is no such projection");
    assert!(error.to_string().contains("nobody"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_24_rebuild_fills_the_read_model_again() {
    let store = Store::with(100).await;
    let mut highwater = store.start(Counted::all(), small(10)).await;
    highwater.wait_for_head("counted", LIMIT).await.expect("it answers");
    Database::write(&store.path()).run("DELETE FROM counted WHERE number % 2 = 0");
    assert_eq!(highwater.rebuild("counted").await.expect("it can be emptied"), 2);
    assert_eq!(highwater.wait_for_head("counted", LIMIT).await.expect("it answers"), Waited::Reached);
    assert_eq!(store.numbers(), up_to(100));
    assert!(highwater.rebuild("nobody").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn e_14_all_that_is_wrong_with_a_builder_is_said_at_once() {
    let store = Store::new().await;
    let started = Highwater::builder()
        .sqlite(store.path())
        .projection("twice", Counted::all(), |o| o)
        .projection("twice", Counted::all(), |o| o)
        .projection("not a name", Counted::all(), |o| o)
        .projection("zero", Counted::all(), |o| o.settings(|settings| settings.max_failures = 0))
        .start()
        .await;
    let Err(StartError::Invalid(problems)) = started else { panic!("it must be refused") };
    let all = problems.join("\n");
    for named in ["twice", "not a name", "zero", "max_failures"] {
        assert!(all.contains(named), "{named} is not named:\n{all}");
    }
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_14_two_rust_projections_that_create_one_table_are_refused_also_later() {
    let store = Store::with(20).await;
    store.run(Counted::all(), small(10)).await;
    // Years later, in another process: another name, the same table.
    let builder = Highwater::builder().sqlite(store.path()).projection("thief", Counted::all(), small(10));
    let highwater = builder.start().await.expect("what a set-up creates is known when it runs");
    let report = highwater.run_until_caught_up(std::future::pending()).await.expect("it ends");
    let Outcome::Faulted(reason) = &report.projections[0].outcome else { panic!("{report:?}") };
    for named in ["thief", "counted", "a table has one projection"] {
        assert!(reason.contains(named), "{named} is not named: {reason}");
    }
    assert_eq!(store.numbers(), up_to(20), "nothing was touched");
    let states = store.database().texts("SELECT name FROM highwater_projection");
    assert_eq!(states, ["counted"], "nothing is left of the refused start");
}

//! The search for an event that cannot be applied, inside the server: the same as a savepoint for each event would find.

use std::collections::BTreeSet;

use highwater_core::failure::Failure;
use highwater_core::model::RecordedEvent;
use highwater_core::ports::{DynProjection, Until};
use highwater_postgres::{Database, Ownership};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use super::support::{Running, With, World, def, error_of, event};

const TABLE: &str = "CREATE TABLE t (stream text PRIMARY KEY, n bigint NOT NULL CHECK (n < 1000000))";
const APPLY: &str = "INSERT INTO t SELECT stream, sum((data->>'n')::bigint) FROM events GROUP BY 1
     ON CONFLICT (stream) DO UPDATE SET n = t.n + excluded.n";

fn one(n: u64, payload: &str) -> RecordedEvent {
    // Some in the same place, with an offset each.
    event((n / 3 + 1, n % 3), &format!("s-{}", n % 4), "A", payload.to_owned())
}

fn events(len: u64, bad: &BTreeSet<u64>) -> Vec<RecordedEvent> {
    let payload = |n| match (bad.contains(&n), n % 2) {
        (false, _) => r#"{"n":1}"#,
        (true, 0) => r#"{"n":"none"}"#,
        (true, _) => r#"{"n":1000000}"#,
    };
    (0..len).map(|n| one(n, payload(n))).collect()
}

/// As the runner does it: what was applied stays, and nothing else.
async fn until(running: &mut Running<'_>, events: &[RecordedEvent], known: bool) -> Result<Until, Failure> {
    running.world.execute("BEGIN; SAVEPOINT slice").await;
    let found = running.projection.apply_until(events, known, &mut running.world.connection).await;
    if found.is_err() {
        running.world.execute("ROLLBACK TO slice").await;
    }
    running.world.execute("RELEASE slice; COMMIT").await;
    found
}

/// All events, one search behind the other; those that were found.
async fn work(running: &mut Running<'_>, events: &[RecordedEvent]) -> BTreeSet<u64> {
    let (mut at, mut found) = (0, BTreeSet::new());
    while at < events.len() {
        match until(running, &events[at..], false).await.unwrap() {
            Until::All => break,
            Until::Before { index, failure } => {
                let failure = failure.expect("each fails alone");
                assert_eq!(failure.index(), Some(index));
                found.insert(u64::try_from(at + index).unwrap());
                at += index + 1;
            }
        }
    }
    found
}

#[tokio::test]
async fn e_19_what_the_server_finds_is_what_a_savepoint_an_event_finds() {
    let Some(mut world) = World::new().await else { return };
    let cases = (1..40_u64).prop_flat_map(|len| {
        (Just(len), proptest::collection::btree_set(0..len, 0..=usize::try_from(len.min(6)).unwrap()))
    });
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..40 {
        let (len, bad) = cases.new_tree(&mut runner).unwrap().current();
        let events = events(len, &bad);
        let mut running = world.running(def().schema(TABLE).apply(APPLY), &events).await;
        assert_eq!(work(&mut running, &events).await, bad, "of {len}");
        let expected = {
            let mut counts = std::collections::BTreeMap::new();
            for n in (0..len).filter(|n| !bad.contains(n)) {
                *counts.entry(n % 4).or_insert(0) += 1;
            }
            counts.into_iter().map(|(stream, n)| format!("s-{stream},{n}")).collect::<Vec<_>>()
        };
        assert_eq!(running.world.lines("SELECT * FROM t ORDER BY 1").await, expected, "{bad:?} of {len}");
    }
}

#[tokio::test]
async fn e_16_the_failure_of_the_one_that_was_found_is_that_of_the_event_alone() {
    let Some(mut world) = World::new().await else { return };
    let all = events(20, &[7].into());
    let mut running = world.running(def().schema(TABLE).apply(APPLY), &all).await;
    for known in [true, false] {
        running.world.execute("TRUNCATE t").await;
        let Ok(Until::Before { index: 7, failure: Some(failure) }) = until(&mut running, &all, known).await
        else {
            panic!("it is the eighth");
        };
        assert_eq!(error_of(&failure).backend_code(), Some("23514"));
        assert_eq!(running.world.lines("SELECT sum(n) FROM t").await, ["7"]);
        let alone = running.apply(&all[7..8]).await.unwrap_err();
        assert_eq!(error_of(&failure).kind(), error_of(&alone).kind());
        assert!(failure.message().contains("in apply.sql, line 1"), "{failure}");
        assert!(failure.message().contains("t_n_check"), "{failure}");
    }
}

#[tokio::test]
async fn e_19_events_that_fail_only_together_are_told_apart_from_a_bad_one() {
    let Some(mut world) = World::new().await else { return };
    let all = events(4, &BTreeSet::new());
    // One event a slice: the server gets there, and blames nobody.
    let apply = "INSERT INTO t SELECT 's-' || count(*) || min(data->>'n'), 1 / (2 - count(*)) FROM events
         ON CONFLICT (stream) DO UPDATE SET n = t.n + 1";
    let mut running = world.running(def().schema(TABLE).apply(apply), &all).await;
    let Ok(Until::Before { index, failure: None }) = until(&mut running, &all[..2], true).await else {
        panic!("nobody is to blame");
    };
    assert_eq!(index, 2);
    assert_eq!(running.world.lines("SELECT n FROM t").await, ["2"]);
}

#[tokio::test]
async fn e_19_what_tells_nothing_of_an_event_is_no_find_and_nothing_of_it_stays() {
    let Some(mut world) = World::new().await else { return };
    let all = events(20, &BTreeSet::new());
    let mut running = world.running(def().schema(TABLE).apply(APPLY), &all).await;
    running.world.execute("DROP TABLE t").await;
    let failure = until(&mut running, &all, false).await.unwrap_err();
    assert_eq!((error_of(&failure).backend_code(), failure.index()), (Some("42P01"), None));
}

#[tokio::test]
async fn e_11_behind_a_pooler_a_search_leaves_nothing_in_the_session() {
    let Some(mut world) = World::new().await else { return };
    world.database =
        Database::open(&world.place.url(), &world.place.options().ownership(Ownership::Lease)).await.unwrap();
    let all = events(20, &[6, 7].into());
    let mut running = world.running(def().schema(TABLE).apply(APPLY), &all).await;
    assert_eq!(work(&mut running, &all).await, [6, 7].into());
    let left = "SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()
         UNION ALL SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'hw\\_%'";
    assert_eq!(running.world.lines(left).await, ["0", "0"]);
}

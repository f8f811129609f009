//! What cannot be applied, and what the policy makes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater::sqlite::SqliteTx;
use highwater::{Failure, OnFailure, OrVerdict as _, Outcome, Projection, RecordedEvent, Waited};
use highwater_tests::LIMIT;

use super::{Counted, Store, outcome, small, up_to, without};

#[tokio::test(flavor = "multi_thread")]
async fn e_16_individual_failures_are_isolated() {
    for policy in [OnFailure::RetryInOrder, OnFailure::RecordAndContinue] {
        for bad in [vec![0], vec![57], vec![99], vec![0, 1, 2, 50, 98, 99]] {
            let store = Store::with(100).await;
            let culprits = bad.clone();
            let judge =
                move |number| if culprits.contains(&number) { Err("refused").or_park() } else { Ok(()) };
            let report = store.run(Counted::new(judge), |o| small(100)(o).on_failure(policy)).await;
            assert_eq!(outcome(&report), &Outcome::CaughtUp, "{policy} {bad:?}");
            assert_eq!(store.numbers(), without(100, &bad), "{policy} {bad:?}: what failed has no effect");
            let state = if policy == OnFailure::RetryInOrder { "parked" } else { "recorded" };
            assert_eq!(usize::try_from(store.failed(state)).expect("a count"), bad.len(), "{policy} {bad:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e_16_the_whole_effect_of_an_event_is_rolled_back_on_a_database_error() {
    struct TwoTables;
    impl Projection<SqliteTx> for TwoTables {
        async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
            let number: i64 = event.json()?;
            tx.execute("INSERT INTO first VALUES (?1)", [number])?;
            tx.execute("INSERT INTO second VALUES (?1)", [number % 50])?; // the 51st event: not unique
            tx.execute("INSERT INTO third VALUES (?1)", [number])?;
            Ok(())
        }
        async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
            let tables = "CREATE TABLE first (n); CREATE TABLE second (n UNIQUE); CREATE TABLE third (n)";
            Ok(tx.execute_batch(tables)?)
        }
    }
    let store = Store::with(60).await;
    store.run(TwoTables, small(60)).await;
    let database = store.database();
    for table in ["first", "second", "third"] {
        assert_eq!(database.number(&format!("SELECT count(*) FROM {table}")), 50, "{table}");
    }
    assert_eq!(store.failed("parked"), 10, "a constraint is permanent: parked at the first attempt");
    let state = "SELECT count(*) FROM highwater_failed_event WHERE class = 'permanent' AND attempts = 1";
    assert_eq!(database.number(state), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn e_15_a_batch_in_which_every_event_fails() {
    for policy in [OnFailure::RetryInOrder, OnFailure::RecordAndContinue, OnFailure::ParkStream] {
        let store = Store::with(40).await;
        let report =
            store.run(Counted::new(|_| Err("never").or_park()), |o| small(40)(o).on_failure(policy)).await;
        assert_eq!(outcome(&report), &Outcome::CaughtUp, "{policy}");
        assert_eq!(store.numbers(), [] as [i64; 0]);
        let found = (store.failed("parked"), store.failed("recorded"), store.failed("held"));
        let wanted = match policy {
            OnFailure::RecordAndContinue => (0, 40, 0),
            OnFailure::ParkStream => (10, 0, 30),
            _ => (40, 0, 0),
        };
        assert_eq!(found, wanted, "{policy}");
        let more = store.append(1).await;
        let highwater = store.start(Counted::all(), |o| small(40)(o).on_failure(policy)).await;
        let waited = highwater.wait_for("counted", more, LIMIT).await.expect("it answers");
        let wanted = if policy == OnFailure::ParkStream { Waited::Parked } else { Waited::Reached };
        assert_eq!(waited, wanted, "{policy}: it goes on behind them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e_15_halt_stops_before_the_bad_event() {
    let store = Store::with(100).await;
    let judge = |number| if number == 57 { Err("refused").or_park() } else { Ok(()) };
    let report = store.run(Counted::new(judge), |o| small(40)(o).on_failure(OnFailure::Halt)).await;
    assert!(matches!(outcome(&report), Outcome::Faulted(reason) if reason.contains("refused")), "{report:?}");
    assert_eq!(store.numbers(), up_to(57));
    let report = store.run(Counted::all(), |o| small(40)(o).on_failure(OnFailure::Halt)).await;
    assert_eq!(outcome(&report), &Outcome::CaughtUp);
    assert_eq!(store.numbers(), up_to(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_code_states_wins_over_the_classification() {
    let store = Store::with(50).await;
    let trouble = Arc::new(AtomicU64::new(0));
    let times = trouble.clone();
    let judge = move |number| match number {
        10 => Err("left out").or_skip(),
        20 => Err("given up").or_park(),
        30 if times.fetch_add(1, Ordering::SeqCst) < 20 => Err("not yet").or_retry(),
        _ => Ok(()),
    };
    let report = store.run(Counted::new(judge), small(50)).await;
    assert_eq!(outcome(&report), &Outcome::CaughtUp);
    assert_eq!(store.numbers(), without(50, &[10, 20]));
    assert_eq!((store.failed("recorded"), store.failed("parked")), (1, 1));
    assert_eq!(trouble.load(Ordering::SeqCst), 21, "what is retried is never counted and never given up");

    let store = Store::with(50).await;
    let judge = |number| if number == 20 { Err("stop here").or_stop() } else { Ok(()) };
    let report = store.run(Counted::new(judge), small(50)).await;
    assert!(matches!(outcome(&report), Outcome::Faulted(reason) if reason.contains("stop here")));
    assert_eq!(store.numbers(), up_to(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_counts_as_a_failure_of_its_event() {
    let store = Store::with(50).await;
    let judge = |number| {
        assert!(number != 30, "a bug in the projection");
        Ok(())
    };
    let projection = Counted::new(judge);
    let report = store.run(projection, small(50)).await;
    assert_eq!(outcome(&report), &Outcome::CaughtUp);
    assert_eq!(store.numbers(), without(50, &[30]));
    let row = "SELECT attempts FROM highwater_failed_event WHERE state = 'parked' AND class = 'unclassified'
               AND message LIKE '%a bug in the projection%'";
    assert_eq!(store.database().number(row), 3, "max_failures attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_error_is_retried_in_order_until_it_passes() {
    let store = Store::with(50).await;
    let times = AtomicU64::new(0);
    let judge = move |number| match number {
        30 if times.fetch_add(1, Ordering::SeqCst) < 2 => Err(Failure::new("who knows")),
        _ => Ok(()),
    };
    store.run(Counted::new(judge), small(50)).await;
    assert_eq!(store.numbers(), up_to(50), "in order, nothing twice");
    assert_eq!(
        (store.failed("parked"), store.failed("retrying")),
        (0, 0),
        "E-18: a row goes with the success"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e_9_a_projection_cannot_end_the_transaction() {
    struct Commits;
    impl Projection<SqliteTx> for Commits {
        async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
            let number: i64 = event.json()?;
            tx.execute("INSERT INTO counted VALUES (?1)", [number])?;
            if number == 5 {
                tx.execute_batch("COMMIT")?;
            }
            Ok(())
        }
        async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
            Ok(tx.execute_batch("CREATE TABLE counted (number)")?)
        }
    }
    let store = Store::with(10).await;
    let report = store.run(Commits, small(10)).await;
    assert!(matches!(outcome(&report), Outcome::Faulted(_)), "refused and fatal: {report:?}");
    let there = store.numbers();
    assert!(!there.contains(&5), "{there:?}");
    assert_eq!(there, up_to(i64::try_from(there.len()).expect("a count")));
}

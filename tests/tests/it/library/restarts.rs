//! Runs that end, in order or not, and the runs behind them.

use std::sync::Arc;

use highwater::sqlite::SqliteTx;
use highwater::{Failure, Highwater, Outcome, Projection, RecordedEvent};
use highwater_tests::LIMIT;

use super::{Counted, Store, outcome, small, up_to, without};

#[tokio::test(flavor = "multi_thread")]
async fn e_10_nothing_is_reprocessed_after_a_restart() {
    let store = Store::with(300).await;
    let first = Counted::all();
    let report = store.run(first.clone(), small(40)).await;
    assert_eq!((outcome(&report), report.projections[0].applied), (&Outcome::CaughtUp, 300));
    assert_eq!(first.calls(), 300);
    let second = Counted::all();
    let report = store.run(second.clone(), small(40)).await;
    assert_eq!((second.calls(), report.projections[0].applied, report.projections[0].duplicates), (0, 0, 0));
    store.append(5).await;
    store.run(second.clone(), small(40)).await;
    assert_eq!(second.calls(), 5);
    assert_eq!(store.numbers(), [up_to(300), up_to(5)].concat());
}

/// Waits where it is told to, so that a test can cut a batch off in its middle.
struct Stuck {
    inner: Counted,
    at: i64,
    reached: Arc<tokio::sync::Notify>,
}

impl Projection<SqliteTx> for Stuck {
    async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
        self.inner.apply(event, tx).await?;
        let number: i64 = event.json()?;
        if number == self.at {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        Projection::setup(&self.inner, tx).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e_10_resumes_from_the_exact_position_after_a_crash() {
    let store = Store::with(300).await;
    for at in [0, 1, 55, 139, 140, 299] {
        let reached = Arc::new(tokio::sync::Notify::new());
        let stuck = Stuck { inner: Counted::all(), at, reached: reached.clone() };
        let highwater = store.start(stuck, small(40)).await;
        let within = tokio::time::timeout(LIMIT, reached.notified()).await;
        within.unwrap_or_else(|_| panic!("event {at} was not reached"));
        // No drain, no goodbye: as if the process were gone.
        drop(highwater);
        let there = store.numbers();
        assert_eq!(there, up_to(i64::try_from(there.len()).expect("a count")), "whole batches, in order");
        assert!(!there.contains(&at), "the batch in which it hung is rolled back");
    }
    let report = store.run(Counted::all(), small(40)).await;
    assert_eq!(outcome(&report), &Outcome::CaughtUp);
    assert_eq!(store.numbers(), up_to(300));
    assert_eq!(store.failed("parked"), 0);
}

/// Names the database of a process that dies.
const DEADLY: &str = "HIGHWATER_TESTS_DEADLY";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "another test runs it, as a process that dies"]
async fn deadly() {
    let path = std::env::var_os(DEADLY).expect("the other test names the database");
    let judge = |number| if number == 150 { std::process::abort() } else { Ok(()) };
    let builder = Highwater::builder().sqlite(path).projection("counted", Counted::new(judge), small(100));
    let highwater = builder.start().await.expect("it starts");
    let report = highwater.run_until_caught_up(std::future::pending()).await.expect("it runs");
    assert_eq!(outcome(&report), &Outcome::CaughtUp);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_the_process_is_cornered_and_parked() {
    let store = Store::with(300).await;
    let test = std::env::current_exe().expect("a running test has an executable");
    let mut deaths = 0;
    loop {
        let mut command = std::process::Command::new(&test);
        command.args(["--exact", "library::restarts::deadly", "--ignored"]).env(DEADLY, store.path());
        let output = command.output().expect("it starts");
        if output.status.success() {
            break;
        }
        assert_eq!(output.status.code(), None, "it aborts: {}", String::from_utf8_lossy(&output.stdout));
        deaths += 1;
        assert!(deaths < 10, "the event is never given up");
    }
    assert_eq!(store.numbers(), without(300, &[150]));
    assert_eq!(store.failed("parked"), 1);
    // One for each of three attempts that count, and a few to corner it: the batch of 100, the one behind the
    // first small one, the small one, and the one that begins with it.
    assert!((3..=3 + 4).contains(&deaths), "{deaths} processes died");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_running_batch_commit() {
    let store = Store::with(200).await;
    let highwater = store.start(Counted::all(), small(10)).await;
    let report = highwater.run_until(std::future::ready(())).await;
    assert_eq!(outcome(&report), &Outcome::Stopped);
    let (there, applied) =
        (store.database().try_number("SELECT count(*) FROM counted"), report.projections[0].applied);
    assert_eq!(u64::try_from(there.unwrap_or(0)).expect("a count"), applied, "it reports what it committed");
    store.run(Counted::all(), small(10)).await;
    assert_eq!(store.numbers(), up_to(200));
}

//! How the log is cut into batches, and that nothing depends on it.

use std::sync::Arc;
use std::time::Duration;

use highwater::sqlite::{SqliteLog, SqliteTx};
use highwater::{
    Append, AppendEvents as _, EventLog as _, Expected, Failure, Highwater, NewEvent, OrVerdict as _,
    Outcome, Projection, RecordedEvent, Waited,
};
use highwater_tests::LIMIT;

use super::{Counted, Store, outcome, small, up_to, without};

#[tokio::test(flavor = "multi_thread")]
async fn e_21_many_batches_run_continuously_while_behind() {
    let store = Store::with(1_000).await;
    // Were there a pause between full batches, an hour would be it.
    let hour =
        |options| small(10)(options).settings(|settings| settings.poll_interval = Duration::from_secs(3600));
    let report = tokio::time::timeout(LIMIT, store.run(Counted::all(), hour)).await;
    let report = report.expect("a full batch is followed by the next at once");
    assert_eq!(report.projections[0].batches, 100);
    assert_eq!(store.numbers(), up_to(1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_events_at_one_position_are_told_apart() {
    let store = Store::new().await;
    for call in 0..10 {
        store.append_one(store.call("s-1", "Counted", call * 5..call * 5 + 5)).await;
    }
    // Batches of three cut through the calls of five; a bad one stands in the middle of a call.
    let judge = |number| if number == 22 { Err("refused").or_park() } else { Ok(()) };
    store.run(Counted::new(judge), small(3)).await;
    assert_eq!(store.numbers(), without(50, &[22]));
    let database = store.database();
    let places = "SELECT count(DISTINCT position) FROM highwater_event";
    assert_eq!(database.number(places), 10);
    let place = "SELECT count(*) FROM highwater_failed_event WHERE position = 5 AND \"offset\" = 2";
    assert_eq!(database.number(place), 1, "the third event of the fifth call");
}

#[tokio::test(flavor = "multi_thread")]
async fn e_27_empty_batches_move_the_bound_and_nothing_else() {
    let store = Store::with(500).await;
    let wanted = Counted::all();
    let only = |options| small(20)(options).types(["Wanted"]);
    let report = store.run(wanted.clone(), only).await;
    assert_eq!((outcome(&report), wanted.calls()), (&Outcome::CaughtUp, 0));
    let database = store.database();
    let scanned = "SELECT scanned FROM highwater_projection WHERE name = 'counted'";
    let head = "SELECT max(position) FROM highwater_event";
    assert_eq!(
        database.number(scanned),
        database.number(head),
        "E-4: foreign events are passed over for good"
    );
    let position = store.append_one(store.call("s-1", "Wanted", [7])).await;
    let highwater = store.start(wanted.clone(), only).await;
    assert_eq!(highwater.wait_for("counted", position, LIMIT).await.expect("it answers"), Waited::Reached);
    assert_eq!((store.numbers(), wanted.calls()), (vec![7], 1));
    let report = highwater.run_until(std::future::ready(())).await;
    assert_eq!(outcome(&report), &Outcome::Stopped);
}

/// Writes one more event into the log for each that it applies.
struct Answers(Arc<SqliteLog>);

impl Projection<SqliteTx> for Answers {
    async fn apply(&self, event: &RecordedEvent, tx: &mut SqliteTx) -> Result<(), Failure> {
        tx.prepare_cached("INSERT INTO answered (position) VALUES (?1)")?
            .execute([event.position().to_string()])?;
        let events = vec![NewEvent::json("Answered", "1")];
        let answer = Append { stream: "answers-1".into(), category: None, expected: Expected::Any, events };
        self.0.append(&[answer]).await?;
        Ok(())
    }

    async fn setup(&self, tx: &mut SqliteTx) -> Result<(), Failure> {
        tx.execute_batch("CREATE TABLE answered (position TEXT PRIMARY KEY)")?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g_events_appended_during_a_catch_up_do_not_prolong_it() {
    let store = Store::with(10).await;
    // The log in a file of its own: a batch holds the store's write lock.
    let log = Arc::new(store.log.clone());
    let read_models = store.folder.path().join("read-models.db");
    let builder = Highwater::builder().sqlite(&read_models).log(log.clone());
    let builder = builder.projection("answers", Answers(log.clone()), small(5));
    let highwater = builder.start().await.expect("it starts");
    let run = highwater.run_until_caught_up(std::future::pending());
    let report = tokio::time::timeout(LIMIT, run).await.expect("the head at the start ends it");
    let report = report.expect("it runs");
    assert_eq!(outcome(&report), &Outcome::CaughtUp);
    let applied = report.projections[0].applied;
    assert!(applied >= 10, "everything that was there at the start is settled: {applied}");
    let head = log.head().await.expect("the log answers").expect("it is not empty");
    assert_eq!(head.commit(), 10 + applied, "an answer to each, so ten were never applied");
}

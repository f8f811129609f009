//! Faults, and the crash test that they are for.

use std::time::Duration;

use highwater_core::model::{Filter, LastEvent, Position, ProjectionKey, ProjectionName, ProjectionState};
use highwater_core::ports::{CheckpointStore, Claim, EventLog, Limit, Locked, ReadModelStore, UnitOfWork};
use highwater_core::{Error, ErrorKind};
use highwater_testkit::faults::{FaultPlan, Faulty};
use highwater_testkit::fixtures::append_n;
use highwater_testkit::memory::{MemoryCheckpoints, MemoryLog, MemoryStore};

const DEADLINE: Duration = Duration::from_secs(60);
const LIMIT: Limit = Limit { events: 3, bytes: 1 << 20 };

fn key() -> ProjectionKey {
    ProjectionKey { name: ProjectionName::new("sums").unwrap(), version: 1, partition: 0 }
}

/// One run of a small runner: claims, creates the state, and applies the log to its end.
async fn run<L: EventLog, S: ReadModelStore<Tx = highwater_testkit::memory::MemoryTx>>(
    log: &L,
    store: &S,
) -> Result<(), Error> {
    let Claim::Owned(_lease) = store.claim(&key().part()).await? else {
        return Err(Error::new(ErrorKind::Busy, "claim"));
    };
    let state = store.transact(DEADLINE, |mut unit| async move {
        match unit.lock(&key()).await? {
            Locked::Acquired(acquired) => Ok(acquired.state),
            Locked::Busy => Err(Error::new(ErrorKind::Busy, "lock")),
            Locked::Missing => {
                let new = ProjectionState::new(key(), None, String::new(), String::new());
                unit.create_state(&new).await?;
                unit.commit(&new, &new).await?;
                Ok(new)
            }
        }
    });
    let mut state = state.await?;
    let mut reader = log.open(state.resume_after(), &Filter::all()).await?;
    loop {
        let batch = reader.next(LIMIT).await?;
        let (read, caught_up) = (state.clone(), batch.caught_up);
        let applied = store.transact(DEADLINE, move |mut unit| async move {
            let Locked::Acquired(acquired) = unit.lock(&key()).await? else {
                return Err(Error::new(ErrorKind::Busy, "lock"));
            };
            if acquired.state.scanned != read.scanned {
                return Err(Error::new(ErrorKind::LostOwnership, "compare the state"));
            }
            unit.savepoint().await?;
            for event in &batch.events {
                unit.tx().increment("sums", event.stream(), 1)?;
            }
            unit.release().await?;
            let last = batch.events.last().map(LastEvent::from).or(read.last.clone());
            let next = ProjectionState { last, scanned: batch.scanned, ..read.clone() };
            unit.commit(&read, &next).await?;
            Ok(next)
        });
        state = applied.await?;
        if caught_up {
            return Ok(());
        }
    }
}

async fn filled() -> MemoryLog {
    let log = MemoryLog::new();
    append_n(&log, 10).await.unwrap();
    log
}

#[tokio::test]
async fn e_10_a_crash_at_any_point_leaves_exactly_once() {
    let log = filled().await;
    let expected = {
        let store = MemoryStore::new();
        run(&log, &store).await.unwrap();
        store.texts("sums")
    };
    assert_eq!(expected.values().map(String::as_str).collect::<Vec<_>>(), ["3", "3", "2", "2"]);

    let counted = FaultPlan::new();
    run(&Faulty::new(log.clone(), &counted), &Faulty::new(MemoryStore::new(), &counted)).await.unwrap();
    assert!(counted.points() > 40, "{:?}", counted.trace());

    let mut lost_answers = 0;
    for number in 0..counted.points() {
        let store = MemoryStore::new();
        let plan = FaultPlan::crash_at(number);
        let error =
            run(&Faulty::new(log.clone(), &plan), &Faulty::new(store.clone(), &plan)).await.unwrap_err();
        plan.wait_crashed().await;
        assert!(plan.crashed());
        assert_eq!(plan.trace(), counted.trace()[..=number], "the same way up to the crash");
        match error.kind() {
            ErrorKind::OutcomeUnknown => lost_answers += 1,
            kind => assert_eq!(kind, ErrorKind::Closed, "{error:?}"),
        }
        let state_after_crash = store.state(&key());
        run(&log, &store).await.unwrap();
        assert_eq!(store.texts("sums"), expected, "after a crash at {:?}", plan.trace().last());
        assert_eq!(store.state(&key()).unwrap().scanned, log.head().await.unwrap());
        if error.kind() == ErrorKind::OutcomeUnknown {
            assert!(state_after_crash.is_some(), "the commit had happened");
        }
    }
    assert_eq!(lost_answers, counted.passed("unit.commit:after"));
}

#[tokio::test]
async fn after_a_crash_nothing_succeeds() {
    let plan = FaultPlan::new();
    plan.crash_on("checkpoints.set_if_newer:after", 1);
    let memory = MemoryCheckpoints::new();
    let store = Faulty::new(memory.clone(), &plan);
    store.set_if_newer("k", Position::new(1, 0)).await.unwrap();
    let lost = store.set_if_newer("k", Position::new(2, 0)).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Closed);
    assert_eq!(
        memory.get("k").await.unwrap().unwrap().position,
        Position::new(2, 0),
        "the effect has happened"
    );
    plan.heal();
    assert_eq!(store.get("k").await.unwrap_err().kind(), ErrorKind::Closed, "a crash stays a crash");
    store.delete("k").await.unwrap_err();
    assert!(memory.get("k").await.unwrap().is_some(), "and has no further effect");
}

#[tokio::test]
async fn a_named_point_fails_as_often_as_it_was_told() {
    let plan = FaultPlan::new();
    let store = Faulty::new(MemoryCheckpoints::new(), &plan);
    plan.fail_after("checkpoints.get:before", 1, 2, ErrorKind::Timeout);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(store.get("k").await.map_err(|error| error.kind()));
    }
    assert_eq!(answers, [Ok(None), Err(ErrorKind::Timeout), Err(ErrorKind::Timeout), Ok(None)]);
    plan.fail_nth(plan.points() + 1, ErrorKind::Corrupt);
    assert_eq!(
        store.get("k").await.unwrap_err().kind(),
        ErrorKind::Corrupt,
        "the point behind the next call"
    );
    plan.fail("checkpoints.get:before", 9, ErrorKind::Timeout);
    plan.heal();
    store.get("k").await.unwrap();
    assert!(!plan.crashed());
}

#[tokio::test]
async fn a_lost_answer_of_a_read_is_given_again() {
    let log = filled().await;
    let plan = FaultPlan::new();
    let faulty = Faulty::new(log.clone(), &plan);
    let mut reader = faulty.open(None, &Filter::all()).await.unwrap();
    plan.fail("reader.next:after", 1, ErrorKind::Unavailable);
    plan.fail("reader.next_range:after", 1, ErrorKind::Unavailable);
    reader.next(LIMIT).await.unwrap_err();
    let batch = reader.next(LIMIT).await.unwrap();
    assert_eq!(batch.events[0].position(), Position::new(1, 0), "the reader stands where it stood");
    reader.next_range(LIMIT).await.unwrap_err();
    let range = reader.next_range(LIMIT).await.unwrap();
    assert_eq!((range.events, range.last), (3, Some(Position::new(6, 0))));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_ends_when_it_is_dropped() {
    let plan = FaultPlan::new();
    let memory = MemoryStore::new();
    let store = Faulty::new(memory.clone(), &plan);
    plan.hang("unit.lock:after");
    let log = filled().await;
    let hanging = tokio::time::timeout(Duration::from_secs(30), run(&log, &store));
    let (answer, ()) = tokio::join!(hanging, plan.wait_hanging(1));
    assert!(answer.is_err(), "it does not return");
    run(&log, &store).await.unwrap();
    assert_eq!(memory.texts("sums").len(), 4, "the lock and the lease ended with the call");
}

#[test]
#[should_panic(expected = "is no point")]
fn a_misspelled_point_is_refused() {
    FaultPlan::new().fail("unit.comit:after", 1, ErrorKind::Other);
}

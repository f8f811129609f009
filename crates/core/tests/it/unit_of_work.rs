//! A scripted transaction: the dance of savepoints around a bad event, and what its errors mean.

use std::sync::Arc;

use bytes::Bytes;
use highwater_core::mocks::{FakeTx, MockUnit, ready};
use highwater_core::model::{
    ContentType, EventParts, Position, ProjectionKey, ProjectionName, ProjectionState, RecordedEvent,
};
use highwater_core::policy::{Action, Class, Classifier, OnFailure, Segments, decide};
use highwater_core::ports::{Acquired, ApplySlice, DynProjection, Locked, Projection, UnitOfWork};
use highwater_core::{Error, ErrorKind, Failure};
use mockall::Sequence;
use uuid::Uuid;

use crate::run;

/// Writes each event's type down; refuses `Bad`.
struct Notes;

impl Projection<FakeTx> for Notes {
    async fn apply(&self, event: &RecordedEvent, tx: &mut FakeTx) -> Result<(), Failure> {
        match event.event_type() {
            "Bad" => Err(Failure::new(Error::new(ErrorKind::Constraint, "insert the note"))),
            good => {
                tx.0.push(good.to_owned());
                Ok(())
            }
        }
    }
}

fn event(commit: u64, event_type: &str) -> RecordedEvent {
    RecordedEvent::new(EventParts {
        position: Position::new(commit, 0),
        id: Uuid::nil(),
        stream: "s".into(),
        category: "s".into(),
        sequence: commit,
        event_type: event_type.into(),
        time_micros: 0,
        content_type: ContentType::Json,
        data: Bytes::new(),
        metadata: Bytes::new(),
    })
}

fn state() -> ProjectionState {
    let name = ProjectionName::new("notes").expect("a valid name");
    ProjectionState::new(ProjectionKey { name, version: 1, partition: 0 }, None, String::new(), String::new())
}

/// One pass over `events`, a savepoint a segment: what a batch does, without recording failures.
async fn pass<U: UnitOfWork>(
    mut unit: U,
    projection: &dyn DynProjection<U::Tx>,
    events: &[RecordedEvent],
    segments: &mut Segments,
) -> Result<Option<Failure>, Error> {
    let key = state().key;
    let Locked::Acquired(read) = unit.lock(&key).await? else {
        unit.rollback().await?;
        return Ok(None);
    };
    let mut failed = None;
    for events in events.chunks(segments.size(events.len())) {
        unit.savepoint().await?;
        let slice = ApplySlice::Events { events, contiguous: true };
        match projection.apply_slice(slice, unit.tx()).await {
            Ok(()) => unit.release().await?,
            Err(failure) => {
                unit.rollback_to().await?;
                unit.release().await?;
                failed = Some(failure);
                break;
            }
        }
    }
    if failed.is_some() {
        segments.found()
    } else {
        segments.passed(events.len())
    }
    let next = ProjectionState { scanned: events.last().map(RecordedEvent::position), ..read.state.clone() };
    unit.commit(&read.state, &next).await?;
    Ok(failed)
}

fn acquired() -> Result<Locked, Error> {
    Ok(Locked::Acquired(Box::new(Acquired { state: state(), retrying: None, replay: None })))
}

#[test]
fn e_19_a_clean_pass_has_one_savepoint_around_all_of_it() {
    let mut steps = Sequence::new();
    let mut unit = MockUnit::new();
    unit.expect_lock().once().in_sequence(&mut steps).returning(|_key| ready(acquired()));
    unit.expect_savepoint().once().in_sequence(&mut steps).returning(|| ready(Ok(())));
    unit.expect_tx().once().in_sequence(&mut steps).return_var(FakeTx::default());
    unit.expect_release().once().in_sequence(&mut steps).returning(|| ready(Ok(())));
    unit.expect_commit()
        .once()
        .in_sequence(&mut steps)
        .withf(|read, next| read.scanned.is_none() && next.scanned == Some(Position::new(2, 0)))
        .returning(|_read, _next| ready(Ok(())));
    let events = [event(1, "A"), event(2, "B")];
    let mut segments = Segments::default();
    let failed = run(pass(unit, &Notes, &events, &mut segments)).expect("commits");
    assert!(failed.is_none());
}

#[test]
fn e_16_a_bad_event_is_rolled_back_to_the_savepoint_and_the_transaction_lives() {
    let mut steps = Sequence::new();
    let mut unit = MockUnit::new();
    unit.expect_lock().once().in_sequence(&mut steps).returning(|_key| ready(acquired()));
    unit.expect_savepoint().once().in_sequence(&mut steps).returning(|| ready(Ok(())));
    unit.expect_tx().once().in_sequence(&mut steps).return_var(FakeTx::default());
    unit.expect_rollback_to().once().in_sequence(&mut steps).returning(|| ready(Ok(())));
    unit.expect_release().once().in_sequence(&mut steps).returning(|| ready(Ok(())));
    unit.expect_commit().once().in_sequence(&mut steps).returning(|_read, _next| ready(Ok(())));
    let events = [event(1, "A"), event(2, "Bad"), event(3, "C")];
    let mut segments = Segments::default();
    let failure = run(pass(unit, &Notes, &events, &mut segments)).expect("commits").expect("one is bad");
    assert_eq!(failure.index(), Some(1), "the default `apply_batch` knows the culprit");
    let decided = Classifier::new().failure(&failure);
    assert_eq!(decided.class, Class::Permanent);
    assert!(matches!(decide(OnFailure::Halt, &decided, failure.stated(), 1, 5), Action::Fault));
    assert_eq!(segments.size(1_000), 50, "the next batch is cut");
}

#[test]
fn e_12_an_owner_that_lost_its_claim_waits_and_is_not_faulted() {
    let mut unit = MockUnit::new();
    unit.expect_lock().once().returning(|_key| ready(acquired()));
    unit.expect_commit()
        .once()
        .returning(|_read, _next| ready(Err(Error::new(ErrorKind::LostOwnership, "move the state"))));
    let error = run(pass(unit, &Notes, &[], &mut Segments::default())).expect_err("scripted");
    assert_eq!(error.kind(), ErrorKind::LostOwnership);
    assert_eq!(Classifier::new().error(&error).class, Class::Transient);
}

#[test]
fn e_11_a_busy_state_is_rolled_back_untouched() {
    let mut unit = MockUnit::new();
    unit.expect_lock().once().returning(|_key| ready(Ok(Locked::Busy)));
    unit.expect_rollback().once().returning(|| ready(Ok(())));
    let projection: Arc<dyn DynProjection<FakeTx>> = Arc::new(Notes);
    let failed = run(pass(unit, &*projection, &[event(1, "A")], &mut Segments::default()));
    assert!(failed.expect("rolls back").is_none());
}

//! One batch over a scripted transaction: every way in which it can end, and what was called on the way.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::mocks::{FakeTx, MockEventLog, MockEventReader, MockUnit, ready};
use highwater_core::model::{
    FailedEvent, FailedState, Filter, Position, ProjectionKey, ProjectionName, ProjectionState, RecordedEvent,
};
use highwater_core::policy::{Class, OnFailure, Segments};
use highwater_core::ports::{Acquired, EventBatch, EventReader, Limit, Locked, Projection};
use highwater_core::settings::ProjectionSettings;
use highwater_core::{Error, ErrorKind, Failure, OrVerdict};
use highwater_runtime::Environment;
use highwater_runtime::flow::source::{Piece, Source};
use highwater_runtime::projection::ProjectionDefinition;
use highwater_runtime::projection::batch::apply_in_unit;
use highwater_runtime::projection::isolate::Halted;
use highwater_runtime::projection::work::{Batch, BatchOutcome, Committed, Work};
use highwater_testkit::fixtures::event;

const DEADLINE: Duration = Duration::from_secs(60);

/// Fails by the event's type.
struct Picky;

impl Projection<FakeTx> for Picky {
    async fn apply(&self, event: &RecordedEvent, tx: &mut FakeTx) -> Result<(), Failure> {
        match event.event_type() {
            "Permanent" => Err(Error::new(ErrorKind::Constraint, "insert"))?,
            "Opaque" => Err("nobody knows")?,
            "Transient" => Err("try later").or_retry()?,
            "Stop" => Err("enough").or_stop()?,
            "Skip" => Err("not for us").or_skip()?,
            "Panic" => panic!("boom"),
            _ => tx.0.push(event.position().to_string()),
        }
        Ok(())
    }
}

fn definition(change: impl FnOnce(&mut ProjectionSettings)) -> Arc<ProjectionDefinition<FakeTx>> {
    let mut settings = ProjectionSettings::default();
    change(&mut settings);
    Arc::new(ProjectionDefinition {
        name: ProjectionName::new("p").unwrap(),
        version: 1,
        filter: Filter::all(),
        sql_fingerprint: String::new(),
        projection: Arc::new(Picky),
        settings,
    })
}

fn state() -> ProjectionState {
    let key = ProjectionKey { name: ProjectionName::new("p").unwrap(), version: 1, partition: 0 };
    ProjectionState { epoch: 7, ..ProjectionState::new(key, None, String::new(), String::new()) }
}

/// The events `1..` with these types, read behind `after`.
async fn piece(after: Option<Position>, types: &[&str]) -> Piece {
    let events: Vec<_> =
        types.iter().zip(1..).map(|(event_type, n)| event(n, event_type, &format!("s-{n}"))).collect();
    let scanned = events.last().map(RecordedEvent::position);
    let mut log = MockEventLog::new();
    log.expect_open().return_once(move |_, _| {
        let mut reader = MockEventReader::new();
        reader.expect_next().return_once(move |_| Ok(EventBatch { events, scanned, caught_up: true }));
        Ok(Box::new(reader) as Box<dyn EventReader>)
    });
    let limit = Limit { events: 1000, bytes: usize::MAX };
    Source::new(Arc::new(log), Filter::all(), 0).next(after, limit).await.unwrap()
}

fn batch(definition: Arc<ProjectionDefinition<FakeTx>>, piece: Piece) -> Batch<FakeTx> {
    Batch {
        definition,
        environment: Environment::new(),
        epoch: 7,
        work: Work::Events(piece),
        segments: Segments::default(),
        attempt_recorded: false,
        failed_first: None,
    }
}

fn locked(acquired: Acquired) -> MockUnit {
    let mut unit = MockUnit::new();
    unit.expect_lock().times(1).return_once(move |_| ready(Ok(Locked::Acquired(Box::new(acquired)))));
    unit
}

fn acquired(state: ProjectionState) -> Acquired {
    Acquired { state, retrying: None, replay: None }
}

/// Savepoints may be set and ended as often as needed.
fn with_savepoints(mut unit: MockUnit) -> MockUnit {
    unit.expect_savepoint().returning(|| ready(Ok(())));
    unit.expect_release().returning(|| ready(Ok(())));
    unit.expect_rollback_to().returning(|| ready(Ok(())));
    unit.expect_statement_timeout().returning(|_| ready(Ok(())));
    unit.expect_open_failures().returning(|_| ready(Ok(1)));
    unit.expect_tx().return_var(FakeTx::default());
    unit
}

fn commits(unit: &mut MockUnit) {
    unit.expect_commit().times(1).return_once(|_, _| ready(Ok(())));
}

fn rolls_back(unit: &mut MockUnit) {
    unit.expect_rollback().times(1).return_once(|| ready(Ok(())));
}

fn records(unit: &mut MockUnit, expected: FailedState, letter: bool) {
    unit.expect_record_failed()
        .withf(move |row, kept| row.state == expected && kept.is_some() == letter)
        .times(1)
        .returning(|_, _| ready(Ok(())));
}

fn committed(outcome: BatchOutcome) -> Committed {
    match outcome {
        BatchOutcome::Committed(committed) => *committed,
        other => panic!("expected a commit, got {other:?}"),
    }
}

fn retrying(n: u64, attempts: u32, next_attempt_micros: Option<i64>) -> FailedEvent {
    let event = event(n, "Opaque", "s");
    FailedEvent {
        key: state().key,
        generation: 1,
        position: event.position(),
        id: event.id(),
        stream: event.shared_stream().clone(),
        sequence: event.sequence(),
        event_type: event.event_type().into(),
        state: FailedState::Retrying,
        class: Class::Unclassified,
        code: None,
        message: "nobody knows".to_owned(),
        attempts,
        first_failed_micros: 1,
        last_failed_micros: 1,
        next_attempt_micros,
        replay_requested: false,
    }
}

#[tokio::test]
async fn a_state_that_another_transaction_has_is_busy_and_nothing_is_touched() {
    let mut unit = MockUnit::new();
    unit.expect_lock().return_once(|_| ready(Ok(Locked::Busy)));
    rolls_back(&mut unit);
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), piece(None, &["T"]).await), DEADLINE).await;
    assert!(matches!(outcome, Ok(BatchOutcome::Busy)), "{outcome:?}");
}

#[tokio::test]
async fn a_state_row_that_is_gone_is_an_error() {
    let mut unit = MockUnit::new();
    unit.expect_lock().return_once(|_| ready(Ok(Locked::Missing)));
    rolls_back(&mut unit);
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), piece(None, &["T"]).await), DEADLINE).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::CheckpointMismatch);
}

#[tokio::test]
async fn e_12_another_epoch_applies_nothing() {
    let mut unit = locked(acquired(ProjectionState { epoch: 8, ..state() }));
    rolls_back(&mut unit);
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), piece(None, &["T"]).await), DEADLINE).await;
    assert!(matches!(outcome, Ok(BatchOutcome::LostOwnership)), "{outcome:?}");
}

#[tokio::test]
async fn a_paused_projection_applies_nothing() {
    let mut unit = locked(acquired(ProjectionState { paused: true, ..state() }));
    rolls_back(&mut unit);
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), piece(None, &["T"]).await), DEADLINE).await;
    assert!(matches!(outcome, Ok(BatchOutcome::Paused)), "{outcome:?}");
}

#[tokio::test]
async fn e_4_a_prefetched_batch_counts_only_if_the_state_is_where_it_was_read_from() {
    let moved = ProjectionState { scanned: Some(Position::new(1, 0)), ..state() };
    let mut unit = locked(acquired(moved.clone()));
    rolls_back(&mut unit);
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), piece(None, &["T"]).await), DEADLINE).await;
    assert!(matches!(outcome, Ok(BatchOutcome::Moved(state)) if *state == moved));
}

#[tokio::test]
async fn e_27_an_empty_batch_writes_nothing() {
    let mut unit = locked(acquired(state()));
    rolls_back(&mut unit);
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), piece(None, &[]).await), DEADLINE).await;
    assert!(matches!(outcome, Ok(BatchOutcome::Idle)), "{outcome:?}");
}

#[tokio::test]
async fn e_19_a_clean_batch_uses_one_savepoint() {
    let mut unit = locked(acquired(state()));
    unit.expect_savepoint().times(1).returning(|| ready(Ok(())));
    unit.expect_release().times(1).returning(|| ready(Ok(())));
    unit.expect_rollback_to().never();
    unit.expect_statement_timeout().returning(|_| ready(Ok(())));
    unit.expect_tx().return_var(FakeTx::default());
    commits(&mut unit);
    let types = ["T"; 200];
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), piece(None, &types).await), DEADLINE).await;
    let done = committed(outcome.unwrap());
    assert_eq!((done.applied, done.halted), (200, Halted::No));
    assert!(done.caught_up);
}

#[tokio::test]
async fn e_16_a_permanent_failure_commits_the_others_and_its_own_row_together() {
    let mut unit = with_savepoints(locked(acquired(state())));
    records(&mut unit, FailedState::Parked, true);
    commits(&mut unit);
    let read = piece(None, &["T", "T", "Permanent", "T"]).await;
    let last = read.events()[3].position();
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert_eq!((done.applied, done.failed.len()), (3, 1));
    assert_eq!(done.state.scanned, Some(last));
    assert_eq!(done.halted, Halted::No, "a parked event is settled: nothing waits for it");
}

#[tokio::test]
async fn e_15_record_and_continue_goes_on_behind_the_bad_event_in_the_same_transaction() {
    let mut unit = with_savepoints(locked(acquired(state())));
    records(&mut unit, FailedState::Recorded, false);
    commits(&mut unit);
    let definition = definition(|settings| settings.on_failure = OnFailure::RecordAndContinue);
    let read = piece(None, &["T", "Permanent", "T"]).await;
    let done = committed(apply_in_unit(unit, batch(definition, read), DEADLINE).await.unwrap());
    assert_eq!((done.applied, done.failed.len(), done.halted), (2, 1, Halted::No));
}

#[tokio::test]
async fn e_15_halt_faults_at_the_first_bad_event_with_the_prefix_committed() {
    let mut unit = with_savepoints(locked(acquired(state())));
    records(&mut unit, FailedState::Retrying, false);
    commits(&mut unit);
    let definition = definition(|settings| settings.on_failure = OnFailure::Halt);
    let read = piece(None, &["T", "Permanent", "T"]).await;
    let first = read.events()[0].position();
    let done = committed(apply_in_unit(unit, batch(definition, read), DEADLINE).await.unwrap());
    assert!(matches!(done.halted, Halted::Fault { .. }), "{:?}", done.halted);
    assert_eq!((done.applied, done.state.scanned), (1, Some(first)));
}

#[tokio::test]
async fn an_unclassified_failure_is_recorded_and_retried_in_order() {
    for bad in ["Opaque", "Panic"] {
        let mut unit = with_savepoints(locked(acquired(state())));
        records(&mut unit, FailedState::Retrying, false);
        commits(&mut unit);
        let read = piece(None, &["T", bad, "T"]).await;
        let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
        assert!(matches!(done.halted, Halted::RetryAt { .. }), "{bad}: {:?}", done.halted);
        assert_eq!((done.applied, done.failed[0].attempts), (1, 1));
    }
}

#[tokio::test]
async fn a_transient_failure_is_waited_out_and_never_recorded() {
    let mut unit = with_savepoints(locked(acquired(state())));
    unit.expect_record_failed().never();
    commits(&mut unit);
    let read = piece(None, &["T", "Transient"]).await;
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert!(matches!(done.halted, Halted::Wait { .. }), "{:?}", done.halted);
    assert_eq!(done.applied, 1, "the prefix is kept");
}

#[tokio::test]
async fn a_stated_skip_leaves_a_record_and_a_stated_stop_faults() {
    let mut unit = with_savepoints(locked(acquired(state())));
    records(&mut unit, FailedState::Recorded, false);
    commits(&mut unit);
    let read = piece(None, &["Skip"]).await;
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert_eq!(done.halted, Halted::No);

    let mut unit = with_savepoints(locked(acquired(state())));
    records(&mut unit, FailedState::Retrying, false);
    commits(&mut unit);
    let read = piece(None, &["Stop"]).await;
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert!(matches!(done.halted, Halted::Fault { .. }));
}

#[tokio::test]
async fn a_retry_waits_for_its_time_without_a_transaction() {
    let due = Environment::new().clock.wall_micros() + 20_000_000;
    let waiting = Acquired { retrying: Some(retrying(1, 1, Some(due))), ..acquired(state()) };
    let mut unit = locked(waiting);
    rolls_back(&mut unit);
    let read = piece(None, &["Opaque", "T"]).await;
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await;
    assert!(matches!(outcome, Ok(BatchOutcome::RetryAt { micros }) if micros == due), "{outcome:?}");
}

#[tokio::test]
async fn e_1_a_clock_that_was_set_back_an_hour_does_not_put_a_retry_off() {
    let an_hour = Environment::new().clock.wall_micros() + 3_600_000_000;
    let waiting = Acquired { retrying: Some(retrying(1, 3, Some(an_hour))), ..acquired(state()) };
    let mut unit = with_savepoints(locked(waiting));
    unit.expect_resolve_failed().times(1).return_once(|_, _| ready(Ok(())));
    commits(&mut unit);
    let read = piece(None, &["T", "T"]).await;
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert_eq!(done.applied, 1);
}

#[tokio::test]
async fn a_retry_runs_the_event_alone_and_its_row_goes_when_it_is_applied() {
    let due = Acquired { retrying: Some(retrying(1, 3, Some(1))), ..acquired(state()) };
    let mut unit = with_savepoints(locked(due));
    unit.expect_resolve_failed().times(1).return_once(|_, _| ready(Ok(())));
    commits(&mut unit);
    let read = piece(None, &["T", "T", "T"]).await;
    let first = read.events()[0].position();
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert_eq!((done.applied, done.state.scanned), (1, Some(first)));
    assert!(done.recovered.is_some());
    assert!(!done.caught_up, "there is more behind it");
}

#[tokio::test]
async fn an_exhausted_event_is_parked_when_the_next_event_passes() {
    let due = Acquired { retrying: Some(retrying(1, 4, Some(1))), ..acquired(state()) };
    let mut unit = with_savepoints(locked(due));
    records(&mut unit, FailedState::Parked, true);
    commits(&mut unit);
    let read = piece(None, &["Opaque", "T"]).await;
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert_eq!(done.failed[0].attempts, 5);
}

#[tokio::test]
async fn five_different_events_in_a_row_failing_alike_are_an_outage_and_nothing_is_parked() {
    let due = Acquired { retrying: Some(retrying(1, 4, Some(1))), ..acquired(state()) };
    let mut unit = with_savepoints(locked(due));
    unit.expect_record_failed().never();
    rolls_back(&mut unit);
    let read = piece(None, &["Opaque"; 6]).await;
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert!(matches!(done.halted, Halted::Outage { .. }), "{:?}", done.halted);
    assert_eq!(done.state, state(), "the position is kept");
}

#[tokio::test]
async fn four_events_failing_alike_are_no_outage() {
    let due = Acquired { retrying: Some(retrying(1, 4, Some(1))), ..acquired(state()) };
    let mut unit = with_savepoints(locked(due));
    records(&mut unit, FailedState::Parked, true);
    commits(&mut unit);
    let read = piece(None, &["Opaque", "Opaque", "Opaque", "Opaque", "T"]).await;
    committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
}

#[tokio::test]
async fn e_12_a_commit_that_finds_another_state_is_lost_ownership() {
    let mut unit = with_savepoints(locked(acquired(state())));
    unit.expect_commit().return_once(|_, _| ready(Err(Error::new(ErrorKind::LostOwnership, "commit"))));
    let read = piece(None, &["T"]).await;
    let outcome = apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::LostOwnership);
}

#[tokio::test]
async fn a_failure_at_the_release_is_a_failure_of_the_slice() {
    let mut unit = locked(acquired(state()));
    unit.expect_savepoint().returning(|| ready(Ok(())));
    unit.expect_rollback_to().returning(|| ready(Ok(())));
    unit.expect_statement_timeout().returning(|_| ready(Ok(())));
    unit.expect_open_failures().returning(|_| ready(Ok(1)));
    unit.expect_tx().return_var(FakeTx::default());
    let mut releases = 0;
    unit.expect_release().returning(move || {
        releases += 1;
        // The batch of one is released once with a deferred violation, then after its rollback.
        ready(if releases == 1 { Err(Error::new(ErrorKind::Constraint, "deferred")) } else { Ok(()) })
    });
    records(&mut unit, FailedState::Parked, true);
    commits(&mut unit);
    let read = piece(None, &["T"]).await;
    let done = committed(apply_in_unit(unit, batch(definition(|_| ()), read), DEADLINE).await.unwrap());
    assert_eq!((done.applied, done.failed.len()), (0, 1));
}

#[tokio::test]
async fn the_first_events_all_failing_faults_the_runner() {
    let mut unit = with_savepoints(locked(acquired(state())));
    unit.expect_record_failed().returning(|_, _| ready(Ok(())));
    commits(&mut unit);
    let definition = definition(|settings| {
        settings.on_failure = OnFailure::RecordAndContinue;
        settings.max_first_failures = 3;
    });
    let mut batch = batch(definition, piece(None, &["Permanent"; 5]).await);
    batch.failed_first = Some(0);
    let done = committed(apply_in_unit(unit, batch, DEADLINE).await.unwrap());
    assert!(matches!(done.halted, Halted::Fault { .. }), "{:?}", done.halted);
    assert_eq!(done.failed.len(), 3);
}

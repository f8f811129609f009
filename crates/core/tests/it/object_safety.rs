//! Every mock stands in for its port behind a pointer.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::mocks::{
    MockAppendEvents, MockCheckpointStore, MockClassifyError, MockClock, MockConsumer, MockDeadLetters,
    MockDynHandler, MockEventLog, MockEventReader, MockJitter, MockObserver, MockOwnedCheckpoints,
    MockPersistTarget, MockPersistenceObserver, MockProjectionControl, MockSubscriptions,
};
use highwater_core::model::{Filter, Position, ProjectionName};
use highwater_core::policy::{ClassifyError, jittered};
use highwater_core::ports::{
    AppendEvents, CheckpointPage, CheckpointStore, Clock, Consumer, DeadLetters, DynHandler, EventBatch,
    EventLog, EventReader, Jitter, Limit, Moment, Observer, OwnedCheckpoints, PersistTarget,
    PersistenceObserver, ProjectionControl, Seen, Subscriptions,
};
use highwater_core::progress::FlushRule;

use crate::run;

/// Compiles only for a port that is object safe, and a mock that implements it and may cross threads.
fn stands_in<Port: ?Sized + Send>(_mock: &Port) {}

#[test]
fn every_mock_is_its_port_behind_a_pointer() {
    stands_in::<dyn EventLog>(&MockEventLog::new());
    stands_in::<dyn EventReader>(&MockEventReader::new());
    stands_in::<dyn AppendEvents>(&MockAppendEvents::new());
    stands_in::<dyn CheckpointStore>(&MockCheckpointStore::new());
    stands_in::<dyn CheckpointStore>(&MockOwnedCheckpoints::new());
    stands_in::<dyn OwnedCheckpoints>(&MockOwnedCheckpoints::new());
    stands_in::<dyn DeadLetters>(&MockDeadLetters::new());
    stands_in::<dyn DynHandler>(&MockDynHandler::new());
    stands_in::<dyn Subscriptions>(&MockSubscriptions::new());
    stands_in::<dyn Consumer>(&MockConsumer::new());
    stands_in::<dyn PersistTarget>(&MockPersistTarget::new());
    stands_in::<dyn ProjectionControl>(&MockProjectionControl::new());
    stands_in::<dyn Clock>(&MockClock::new());
    stands_in::<dyn Jitter>(&MockJitter::new());
    stands_in::<dyn Observer>(&MockObserver::new());
    stands_in::<dyn PersistenceObserver>(&MockPersistenceObserver::new());
    stands_in::<dyn ClassifyError>(&MockClassifyError::new());
}

#[test]
fn a_log_opens_a_scripted_reader() {
    let mut log = MockEventLog::new();
    log.expect_open().once().returning(|after, _filter| {
        let mut reader = MockEventReader::new();
        reader
            .expect_next()
            .once()
            .returning(move |_limit| Ok(EventBatch { events: Vec::new(), scanned: after, caught_up: true }));
        Ok(Box::new(reader))
    });
    let after = Some(Position::new(7, 0));
    let mut reader = run(log.open(after, &Filter::all())).expect("scripted");
    let batch = run(reader.next(Limit { events: 1, bytes: 1 })).expect("scripted");
    assert_eq!((batch.scanned, batch.caught_up), (after, true));
}

#[test]
fn a_scan_is_driven_page_by_page() {
    let mut store = MockCheckpointStore::new();
    store.expect_scan().times(2).returning(|_prefix, after, _limit| {
        let next = after.is_none().then(|| "a".to_owned());
        Ok(CheckpointPage { checkpoints: Vec::new(), next })
    });
    let store: Arc<dyn CheckpointStore> = Arc::new(store);
    let first = run(store.scan("prod:", None, 500)).expect("scripted");
    let last = run(store.scan("prod:", first.next.as_deref(), 500)).expect("scripted");
    assert_eq!(last.next, None);
}

#[test]
fn x_4_time_and_chance_are_scripted() {
    let mut clock = MockClock::new();
    let mut seconds = 0;
    clock.expect_now().times(2).returning_st(move || {
        seconds += 1;
        Moment::at(Duration::from_secs(seconds))
    });
    let mut jitter = MockJitter::new();
    jitter.expect_next_u64().once().return_const(0_u64);
    let rule = FlushRule { every: 10, interval: Duration::from_secs(1) };
    assert!(rule.due(1, clock.now(), clock.now()));
    assert_eq!(jittered(Duration::from_secs(4), jitter.next_u64()), Duration::from_secs(3));
}

#[test]
fn an_observer_sees_what_it_is_told() {
    let mut observer = MockObserver::new();
    observer
        .expect_seen()
        .once()
        .withf(|name, seen| name.as_str() == "delays" && matches!(seen, Seen::Stalled { reason: "no disk" }))
        .return_const(());
    let name = ProjectionName::new("delays").expect("a valid name");
    observer.seen(&name, &Seen::Stalled { reason: "no disk" });
}

//! What a failure does (spec §2, E-15 … E-20), over a log and a store in memory and virtual time.

use std::time::Duration;

use highwater_core::model::{FailedState, ProjectionState, RecordedEvent};
use highwater_core::policy::{Class, OnFailure};
use highwater_core::ports::{FailedQuery, ProjectionControl};
use highwater_core::settings::SavepointMode;
use proptest::prelude::*;

use crate::world::{Culprit, World};

fn fine(event: &RecordedEvent) -> bool {
    event.event_type() == "Fine"
}

fn world(on_failure: OnFailure) -> World {
    let mut world = World::new();
    world.settings.on_failure = on_failure;
    world
}

/// The bad event first, in the middle, last, alone, and nothing but bad ones.
const PLACES: [&[&str]; 5] = [
    &["Permanent", "Fine", "Fine"],
    &["Fine", "Permanent", "Fine"],
    &["Fine", "Fine", "Permanent"],
    &["Permanent"],
    &["Permanent", "Permanent", "Permanent"],
];

#[tokio::test(start_paused = true)]
async fn e_15_retry_in_order_parks_a_permanent_failure_and_goes_on() {
    for types in PLACES {
        for culprit in [Culprit::Named, Culprit::Hidden, Culprit::Found] {
            let mut world = world(OnFailure::RetryInOrder);
            world.ledger.culprit = culprit;
            world.append(types).await;
            world.run().await;
            world.assert_exactly(fine);
            let bad = types.iter().filter(|kind| **kind != "Fine").count();
            assert_eq!(world.failed_states().await, vec![FailedState::Parked; bad], "{types:?}");
            for row in world.failed().await {
                let letter = world.store.dead_letter(&row.key, row.position).await.unwrap().unwrap();
                assert_eq!(letter.event.id(), row.id, "the payload is kept with it");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn e_15_record_and_continue_keeps_a_row_and_no_payload() {
    for types in PLACES {
        let world = world(OnFailure::RecordAndContinue);
        world.append(types).await;
        let status = world.run().await;
        world.assert_exactly(fine);
        let bad = types.iter().filter(|kind| **kind != "Fine").count();
        assert_eq!(world.failed_states().await, vec![FailedState::Recorded; bad]);
        assert_eq!(status.batches, 1, "it goes on in the same transaction");
        for row in world.failed().await {
            assert!(world.store.dead_letter(&row.key, row.position).await.unwrap().is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn e_15_halt_stops_at_the_bad_event_with_everything_before_it_applied() {
    for types in PLACES {
        let world = world(OnFailure::Halt);
        world.append(types).await;
        let reason = world.start().fault().await;
        assert!(reason.contains("Permanent"), "{reason}");
        let before = types.iter().take_while(|kind| **kind == "Fine").count() as u64;
        assert_eq!(world.applied().len() as u64, before);
        assert_eq!(world.state().unwrap().fault, Some(reason), "other processes see why");
        // The same event stops it again, until it can be applied.
        world.start().fault().await;
        assert_eq!(world.failed().await[0].attempts, 2);
        assert_eq!(world.applied().len() as u64, before);
    }
}

#[tokio::test(start_paused = true)]
async fn e_15_park_stream_holds_later_events_of_the_stream_in_order() {
    let world = world(OnFailure::ParkStream);
    world.append_in("a-1", &["Fine", "Permanent-until-mended", "Fine"]).await;
    world.append_in("b-1", &["Fine"]).await;
    world.append_in("a-1", &["Fine"]).await;
    world.run().await;
    let state = |states: &[FailedState]| states.to_vec();
    let (parked, held) = (FailedState::Parked, FailedState::Held);
    assert_eq!(world.failed_states().await, state(&[parked, held, held]));
    world.assert_exactly(|event| event.stream() == "b-1" || event.sequence() == 0);

    // Held across a restart, too.
    world.append_in("a-1", &["Fine"]).await;
    world.run().await;
    assert_eq!(world.failed_states().await, state(&[parked, held, held, held]));

    // Mended and asked for: the parked event, then what waited behind it, in order.
    world.ledger.mend();
    let process = world.start();
    process.caught_up(&world).await;
    let query = FailedQuery { states: vec![FailedState::Parked], ..FailedQuery::default() };
    assert_eq!(world.store.request_replay(&query).await.unwrap(), 1);
    process.until(|status| status.recovered == 4).await;
    process.stop().await;
    assert!(world.failed().await.is_empty());
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn a_held_event_is_not_replayed_before_what_it_waits_for() {
    let world = world(OnFailure::ParkStream);
    world.append_in("a-1", &["Permanent", "Fine"]).await;
    world.run().await;
    let held = FailedQuery { states: vec![FailedState::Held], ..FailedQuery::default() };
    world.store.request_replay(&held).await.unwrap();
    world.run().await;
    world.assert_exactly(|_| false);
    let row = &world.store.failed_events(&held, 10).await.unwrap()[0];
    assert!(row.message.contains("retry or discard that first"), "{}", row.message);

    // Its head is given up: now it may go.
    let parked = FailedQuery { states: vec![FailedState::Parked], ..FailedQuery::default() };
    assert_eq!(world.store.discard(&parked).await.unwrap(), 1);
    world.store.request_replay(&held).await.unwrap();
    let process = world.start();
    process.until(|status| status.recovered == 1).await;
    process.stop().await;
    world.assert_exactly(|event| event.sequence() == 1);
}

#[tokio::test(start_paused = true)]
async fn e_18_a_parked_event_is_replayed_and_its_row_goes_with_the_transaction_that_applies_it() {
    for (on_failure, state) in [
        (OnFailure::RetryInOrder, FailedState::Parked),
        (OnFailure::RecordAndContinue, FailedState::Recorded),
    ] {
        let world = world(on_failure);
        world.append(&["Fine", "Permanent-until-mended", "Fine"]).await;
        let process = world.start();
        process.caught_up(&world).await;
        assert_eq!(world.failed_states().await, [state]);
        // A replay that fails again leaves the row, with one more attempt, and is not repeated.
        world.store.request_replay(&FailedQuery::default()).await.unwrap();
        while world.failed().await[0].attempts < 2 {
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        assert!(!world.failed().await[0].replay_requested);
        world.ledger.mend();
        world.store.request_replay(&FailedQuery::default()).await.unwrap();
        process.until(|status| status.recovered == 1).await;
        process.stop().await;
        assert!(world.failed().await.is_empty());
        world.assert_exactly(|_| true);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unclassified_failure_is_retried_in_order_with_backoff_and_then_parked() {
    for kind in ["Opaque", "Panic", "Swallows"] {
        let world = world(OnFailure::RetryInOrder);
        world.append(&["Fine", kind, "Fine"]).await;
        let begun = world.stopwatch();
        world.run().await;
        world.assert_exactly(fine);
        let failed = world.failed().await;
        assert_eq!((failed[0].state, failed[0].attempts), (FailedState::Parked, 5), "{kind}");
        assert_eq!(failed[0].class, Class::Unclassified);
        // 0.2 + 0.4 + 0.8 + 1.6 s, each a quarter more or less.
        let waited = begun.elapsed();
        assert!(waited > Duration::from_millis(2_200) && waited < Duration::from_secs(5), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_succeeds_removes_the_row_and_counts_once() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Fine", "Opaque-until-mended", "Fine"]).await;
    let process = world.start();
    process.phase("retrying-event").await;
    assert_eq!(world.failed_states().await, [FailedState::Retrying]);
    world.assert_exactly(|event| event.position() == world.log.all()[0].position());
    world.ledger.mend();
    process.caught_up(&world).await;
    let status = process.stop().await;
    assert_eq!((status.applied, status.recovered), (3, 1));
    assert!(world.failed().await.is_empty());
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_across_restarts() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Opaque", "Fine"]).await;
    for attempts in 1..=4 {
        let process = world.start();
        process.until(|status| status.last_error.is_some()).await;
        while world.failed().await.first().is_none_or(|row| row.attempts < attempts) {
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        process.stop().await;
        assert_eq!(world.failed().await[0].attempts, attempts);
    }
    world.run().await;
    assert_eq!(world.failed_states().await, [FailedState::Parked]);
    world.assert_exactly(fine);
}

#[tokio::test(start_paused = true)]
async fn five_different_events_failing_alike_are_an_outage_nothing_is_parked_and_it_heals() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Fine"]).await;
    world.append(&["Opaque-until-mended"; 8]).await;
    let process = world.start();
    process.phase("stalled").await;
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(world.failed_states().await, [FailedState::Retrying], "nothing is parked");
    assert_eq!(world.applied().len(), 1, "the position is kept");
    world.ledger.mend();
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.diary.count("Healed"), 1);
    assert!(world.failed().await.is_empty());
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_never_counts_and_never_parks() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Fine", "Transient-until-mended", "Fine"]).await;
    let process = world.start();
    process.phase("stalled").await;
    world.pass(Duration::from_secs(600)).await;
    assert!(world.failed().await.is_empty());
    assert_eq!(world.applied().len(), 1);
    world.ledger.mend();
    process.caught_up(&world).await;
    process.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_9_ending_the_transaction_is_refused_and_fatal() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Fine", "Ends", "Fine"]).await;
    let reason = world.start().fault().await;
    assert!(reason.contains("end a transaction"), "{reason}");
    world.assert_exactly(|event| event.position() == world.log.all()[0].position());
}

#[tokio::test(start_paused = true)]
async fn e_17_an_attempt_whose_transaction_was_lost_is_recorded_and_reaches_its_limit() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Fine", "Loses", "Fine"]).await;
    world.run().await;
    world.assert_exactly(fine);
    let failed = world.failed().await;
    assert_eq!((failed[0].state, failed[0].attempts), (FailedState::Parked, 5));
}

#[tokio::test(start_paused = true)]
async fn e_17_an_event_that_always_times_out_is_parked() {
    let mut world = world(OnFailure::RetryInOrder);
    world.settings.statement_timeout = Duration::from_secs(2);
    world.settings.batch_deadline = Duration::from_secs(5);
    world.append(&["Fine", "Endless", "Fine"]).await;
    world.run().await;
    world.assert_exactly(fine);
    let failed = world.failed().await;
    assert_eq!((failed[0].state, failed[0].class), (FailedState::Parked, Class::Unclassified));
}

#[tokio::test(start_paused = true)]
async fn e_20_three_200_ms_events_under_a_500_ms_deadline_are_all_applied() {
    let mut world = world(OnFailure::RetryInOrder);
    world.settings.statement_timeout = Duration::from_millis(300);
    world.settings.batch_deadline = Duration::from_millis(500);
    world.settings.commit_grace = Duration::ZERO;
    world.append(&["Slow", "Slow", "Slow"]).await;
    world.run().await;
    world.assert_exactly(|_| true);
    assert!(world.failed().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn e_19_deferred_constraints_are_the_events_failure() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Fine", "Deferred", "Fine"]).await;
    world.run().await;
    world.assert_exactly(fine);
    assert_eq!(world.failed_states().await, [FailedState::Parked]);
}

#[tokio::test(start_paused = true)]
async fn too_many_open_dead_letters_fault_the_runner() {
    let mut world = world(OnFailure::RetryInOrder);
    world.settings.max_dead_letters = 3;
    world.append(&["Fine"]).await;
    world.append(&["Permanent"; 10]).await;
    let reason = world.start().fault().await;
    assert!(reason.contains("max_dead_letters = 3"), "{reason}");
    assert_eq!(world.failed().await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_first_hundred_events_all_failing_fault_the_runner() {
    let world = world(OnFailure::RecordAndContinue);
    world.append(&["Permanent"; 150]).await;
    let reason = world.start().fault().await;
    assert!(reason.contains("first 100 events"), "{reason}");
    assert_eq!(world.failed().await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_stated_skip_leaves_a_record_and_no_letter() {
    use highwater_core::{Failure, OrVerdict};
    struct Skips;
    impl highwater_core::ports::Projection<highwater_testkit::memory::MemoryTx> for Skips {
        async fn apply(
            &self,
            _event: &RecordedEvent,
            _tx: &mut highwater_testkit::memory::MemoryTx,
        ) -> Result<(), Failure> {
            Err("not for us").or_skip()
        }
    }
    let world = World::new();
    world.append(&["Fine"]).await;
    let mut runner = world.runner(world.store.clone(), std::sync::Arc::new(world.log.clone()));
    let definition = highwater_runtime::projection::ProjectionDefinition {
        projection: std::sync::Arc::new(Skips),
        ..world.definition()
    };
    runner.definition = std::sync::Arc::new(definition);
    let process = crate::world::Process::start(runner);
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.failed_states().await, [FailedState::Recorded]);
}

/// What is applied, and what failed how, is the same for every way of finding the culprit.
fn outcome(
    types: &[&str],
    on_failure: OnFailure,
    mode: SavepointMode,
    culprit: Culprit,
    batch: usize,
) -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = world(on_failure);
        world.settings.savepoint = mode;
        world.settings.min_batch = batch;
        world.settings.batch = batch;
        world.settings.max_batch = batch;
        world.ledger.culprit = culprit;
        for (n, kind) in types.iter().enumerate() {
            world.append_in(&format!("s-{}", n % 5), &[kind]).await;
        }
        let process = world.start();
        let head = world.head().await;
        let status =
            process.until(|status| status.phase.as_str() == "faulted" || status.scanned >= head).await;
        if status.phase.as_str() != "faulted" {
            process.stop().await;
        }
        let failed = world.failed().await;
        Outcome {
            applied: world.applied(),
            failed: failed.iter().map(|row| (row.position.to_string(), row.state)).collect(),
            scanned: world.state().map(|state: ProjectionState| state.scanned),
        }
    })
}

#[derive(Debug, PartialEq)]
struct Outcome {
    applied: Vec<String>,
    failed: Vec<(String, FailedState)>,
    scanned: Option<Option<highwater_core::model::Position>>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn e_19_applied_and_failed_are_what_a_savepoint_per_event_gives(
        kinds in proptest::collection::vec(prop_oneof![6 => Just("Fine"), 2 => Just("Permanent"), 1 => Just("Deferred")], 1..60),
        policy in prop_oneof![
            Just(OnFailure::RetryInOrder), Just(OnFailure::RecordAndContinue),
            Just(OnFailure::ParkStream), Just(OnFailure::Halt),
        ],
        batch in 1_usize..70,
    ) {
        let reference = outcome(&kinds, policy, SavepointMode::PerEvent, Culprit::Named, batch);
        for culprit in [Culprit::Named, Culprit::Hidden, Culprit::Found, Culprit::NotFound] {
            let optimistic = outcome(&kinds, policy, SavepointMode::Optimistic, culprit, batch);
            prop_assert_eq!(&optimistic, &reference, "the culprit is {:?}", culprit);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn e_17_eight_events_that_lose_their_transaction_are_an_outage_and_nothing_is_parked() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Fine"]).await;
    world.append(&["Loses-until-mended"; 8]).await;
    let process = world.start();
    process.phase("stalled").await;
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(world.failed_states().await, [FailedState::Retrying], "nothing is parked");
    world.ledger.mend();
    process.caught_up(&world).await;
    process.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_17_too_many_events_that_lose_their_transaction_fault_the_runner() {
    let mut world = world(OnFailure::RetryInOrder);
    world.settings.max_dead_letters = 3;
    world.append(&["Fine"]).await;
    for _ in 0..6 {
        // Never five alike in a row: each is a bad event, not an outage.
        world.append(&["Loses", "Fine"]).await;
    }
    let reason = world.start().fault().await;
    assert!(reason.contains("max_dead_letters = 3"), "{reason}");
    assert_eq!(world.failed().await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn e_19_a_transaction_has_at_most_a_thousand_subtransactions() {
    let mut world = world(OnFailure::RecordAndContinue);
    world.settings.savepoint = SavepointMode::PerEvent;
    (world.settings.min_batch, world.settings.batch, world.settings.max_batch) = (2_500, 2_500, 2_500);
    world.append(&["Fine"; 2_500]).await;
    let status = world.run().await;
    assert_eq!(status.batches, 3, "1,000 and 1,000 and 500");
    world.assert_exactly(|_| true);
}

/// Refuses to apply more than one event at a time.
struct OnlyAlone(crate::world::Ledger);

impl highwater_core::ports::Projection<highwater_testkit::memory::MemoryTx> for OnlyAlone {
    async fn apply(
        &self,
        event: &RecordedEvent,
        tx: &mut highwater_testkit::memory::MemoryTx,
    ) -> Result<(), highwater_core::Failure> {
        self.0.apply(event, tx).await
    }

    async fn apply_batch(
        &self,
        events: &[RecordedEvent],
        tx: &mut highwater_testkit::memory::MemoryTx,
    ) -> Result<(), highwater_core::Failure> {
        match events {
            [event] => self.apply(event, tx).await,
            _ => Err(highwater_core::Failure::new("only one at a time")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn e_19_a_batch_that_fails_only_as_a_whole_is_counted_and_told() {
    let world = world(OnFailure::RetryInOrder);
    world.append(&["Fine"; 20]).await;
    let mut runner = world.runner(world.store.clone(), std::sync::Arc::new(world.log.clone()));
    let projection = std::sync::Arc::new(OnlyAlone(world.ledger.clone()));
    let definition = highwater_runtime::projection::ProjectionDefinition { projection, ..world.definition() };
    runner.definition = std::sync::Arc::new(definition);
    let process = crate::world::Process::start(runner);
    process.caught_up(&world).await;
    let status = process.stop().await;
    assert_eq!((status.applied, status.whole_batch_only), (20, 1));
    assert_eq!(world.diary.count("WholeBatchOnly"), 1);
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_19_behind_a_culprit_what_is_left_is_applied_together_again() {
    let mut world = world(OnFailure::RecordAndContinue);
    (world.settings.min_batch, world.settings.batch, world.settings.max_batch) = (32, 32, 32);
    world.ledger.culprit = Culprit::Hidden;
    world.append(&["Permanent"]).await;
    world.append(&["Fine"; 31]).await;
    let status = world.run().await;
    assert_eq!((status.applied, status.failed), (31, 1));
    let slices = world.ledger.slices.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(slices, 7, "32, 16, 8, 4, 2 and the culprit alone; then all that is behind it");
}

#[tokio::test(start_paused = true)]
async fn e_19_a_projection_that_finds_the_culprit_is_left_to_it() {
    let mut world = world(OnFailure::RecordAndContinue);
    (world.settings.min_batch, world.settings.batch, world.settings.max_batch) = (200, 200, 200);
    world.ledger.culprit = Culprit::Found;
    for _ in 0..4 {
        world.append(&["Fine"; 99]).await;
        world.append(&["Permanent"]).await;
    }
    let status = world.run().await;
    assert_eq!((status.applied, status.failed), (396, 4));
    world.assert_exactly(fine);
    let searches = world.ledger.searches.load(std::sync::atomic::Ordering::Relaxed);
    assert!((4..=20).contains(&searches), "{searches}");
    let all = world.ledger.slices.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(all - searches, 1, "beside them the first batch, which was expected to pass");
}

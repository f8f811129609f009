//! The process dies at every point at which it waits for the world (E-10, E-16, E-17), and its answers get lost.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_core::model::FailedState;
use highwater_core::policy::OnFailure;
use highwater_runtime::projection::rebuild;
use highwater_testkit::faults::{FaultPlan, Faulty};

use crate::world::{Process, World};

const TYPES: [&str; 11] =
    ["Fine", "Fine", "Fine", "Permanent", "Fine", "Foreign", "Fine", "Opaque", "Fine", "Fine", "Fine"];

async fn world(on_failure: OnFailure) -> World {
    let mut world = World::new();
    world.settings.on_failure = on_failure;
    (world.settings.min_batch, world.settings.batch, world.settings.max_batch) = (4, 4, 4);
    world.settings.max_failures = 2;
    world.filter = highwater_core::model::Filter::types(["Fine", "Permanent", "Opaque"]);
    world.append(&TYPES).await;
    world
}

fn start(world: &World, plan: &FaultPlan) -> Process {
    let store = Faulty::new(world.store.clone(), plan);
    let log = Faulty::new(world.log.clone(), plan);
    Process::start(world.runner(store, Arc::new(log)))
}

fn check(world: &World, failed: &[FailedState], given_up: FailedState, place: &str) {
    world.assert_exactly(|event| event.event_type() == "Fine");
    assert_eq!(failed, [given_up, given_up], "{place}");
}

#[tokio::test(start_paused = true)]
async fn e_10_a_crash_at_every_await_point_leaves_all_of_a_batch_or_nothing() {
    for (on_failure, given_up) in [
        (OnFailure::RetryInOrder, FailedState::Parked),
        (OnFailure::RecordAndContinue, FailedState::Recorded),
        (OnFailure::ParkStream, FailedState::Parked),
    ] {
        let whole = FaultPlan::new();
        let reference = world(on_failure).await;
        let process = start(&reference, &whole);
        process.caught_up(&reference).await;
        process.stop().await;
        check(&reference, &reference.failed_states().await, given_up, "without a crash");
        let trace = whole.trace();
        assert!(trace.len() > 60, "the run passes many points: {}", trace.len());

        for (number, point) in trace.iter().enumerate() {
            let world = world(on_failure).await;
            let plan = FaultPlan::crash_at(number);
            let process = start(&world, &plan);
            // A point of the stop itself is not reached before the stop.
            tokio::select! {
                () = plan.wait_crashed() => process.kill().await,
                _ = process.caught_up(&world) => drop(process.stop().await),
            }
            // The next process goes on from what is committed.
            world.run().await;
            check(&world, &world.failed_states().await, given_up, &format!("{number}: {point}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn e_10_a_commit_whose_answer_was_lost_is_looked_up_and_not_repeated() {
    let world = world(OnFailure::RetryInOrder).await;
    let plan = FaultPlan::new();
    plan.fail_after("unit.commit:after", 1, 3, ErrorKind::OutcomeUnknown);
    let process = start(&world, &plan);
    process.caught_up(&world).await;
    process.stop().await;
    assert!(world.diary.count("OutcomeUnknown") >= 1);
    check(&world, &world.failed_states().await, FailedState::Parked, "lost answers");
}

#[tokio::test(start_paused = true)]
async fn e_8_a_read_error_is_never_an_empty_batch() {
    let world = world(OnFailure::RetryInOrder).await;
    let plan = FaultPlan::new();
    plan.fail("reader.next:before", 4, ErrorKind::Unavailable);
    let process = start(&world, &plan);
    process.until(|status| status.last_error.is_some()).await;
    assert_ne!(process.status.get().phase.as_str(), "live", "an error is not the end of the log");
    process.caught_up(&world).await;
    process.stop().await;
    check(&world, &world.failed_states().await, FailedState::Parked, "read errors");
}

#[tokio::test(start_paused = true)]
async fn whole_transaction_rolled_back_on_a_database_error() {
    let world = world(OnFailure::RetryInOrder).await;
    let plan = FaultPlan::new();
    plan.fail_after("unit.commit:before", 1, 2, ErrorKind::Unavailable);
    let process = start(&world, &plan);
    process.until(|status| status.last_error.is_some()).await;
    assert!(world.applied().is_empty(), "nothing of the batch is left");
    process.caught_up(&world).await;
    process.stop().await;
    check(&world, &world.failed_states().await, FailedState::Parked, "a failed commit");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_once_is_given_up_at_its_deadline_or_by_the_stop() {
    let mut world = world(OnFailure::RetryInOrder).await;
    world.settings.drain = Duration::from_secs(1);
    let plan = FaultPlan::new();
    plan.hang("unit.lock:before");
    let process = start(&world, &plan);
    plan.wait_hanging(1).await;
    process.stop().await;
    world.run().await;
    check(&world, &world.failed_states().await, FailedState::Parked, "a hanging lock");
}

#[tokio::test(start_paused = true)]
async fn x_6_a_stop_does_not_wait_for_a_log_that_hangs() {
    let world = world(OnFailure::RetryInOrder).await;
    let plan = FaultPlan::new();
    plan.hang("reader.next:before");
    let process = start(&world, &plan);
    plan.wait_hanging(1).await;
    let watch = world.stopwatch();
    process.stop().await;
    assert!(watch.elapsed() < Duration::from_millis(10), "{:?}", watch.elapsed());
}

#[tokio::test(start_paused = true)]
async fn e_24_a_crash_inside_a_rebuild_leaves_the_old_state_or_the_new_one() {
    let whole = world(OnFailure::RetryInOrder).await;
    whole.run().await;
    let plan = FaultPlan::new();
    let definition = Arc::new(whole.definition());
    let store = Faulty::new(whole.store.clone(), &plan);
    rebuild(&store, &whole.log, &definition, &whole.environment).await.unwrap();
    let points = plan.points();
    assert!(points > 6, "{points}");
    for number in 0..points {
        let world = world(OnFailure::RetryInOrder).await;
        world.run().await;
        let (before, rows) = (world.state(), world.applied());
        let store = Faulty::new(world.store.clone(), &FaultPlan::crash_at(number));
        let crashed = rebuild(&store, &world.log, &definition, &world.environment).await;
        assert!(crashed.is_err(), "point {number}");
        match world.state() {
            state if state == before => assert_eq!(world.applied(), rows, "point {number}"),
            state => {
                assert_eq!(state.map(|state| state.generation), Some(2), "point {number}");
                assert!(world.applied().is_empty() && world.failed().await.is_empty());
            }
        }
        world.run().await;
        check(&world, &world.failed_states().await, FailedState::Parked, "after a crash in a rebuild");
    }
}

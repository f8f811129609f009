//! One owner, fenced; crashes; restarts (E-4, E-6, E-7, E-10 … E-14).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_core::model::{Filter, ProjectionState};
use highwater_runtime::projection::rebuild;
use highwater_testkit::fixtures::event;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn e_11_one_owner_and_the_other_takes_over_within_a_second() {
    let world = World::new();
    world.append(&["Fine"; 10]).await;
    let first = world.start_as("first");
    first.caught_up(&world).await;
    let second = world.start_as("second");
    second.phase("standing-by").await;
    world.append(&["Fine"; 10]).await;
    first.caught_up(&world).await;
    assert_eq!(second.status.get().applied, 0, "two handlers never process concurrently");
    let killed = world.stopwatch();
    first.kill().await;
    second.phase("live").await;
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    world.append(&["Fine"]).await;
    second.caught_up(&world).await;
    assert_eq!(second.stop().await.applied, 1);
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_11_a_clean_stop_hands_over() {
    let world = World::new();
    world.append(&["Fine"; 3]).await;
    let first = world.start_as("first");
    first.caught_up(&world).await;
    let second = world.start_as("second");
    second.phase("standing-by").await;
    first.stop().await;
    second.phase("live").await;
    assert_eq!(world.state().unwrap().epoch, 2);
    second.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_12_an_owner_that_lost_its_claim_applies_nothing_more() {
    let world = World::new();
    world.append(&["Fine"; 5]).await;
    let first = world.start_as("first");
    first.caught_up(&world).await;
    assert!(world.store.break_claim(&World::key().part()));
    let second = world.start_as("second");
    second.caught_up(&world).await;
    // Both believe to be the owner; the epoch decides.
    world.append(&["Fine"; 20]).await;
    second.until(|status| status.applied == 20).await;
    first.phase("standing-by").await;
    assert_eq!(first.status.get().applied, 5);
    assert!(world.diary.count("LostOwnership") >= 1);
    second.stop().await;
    first.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_reprocessed_after_a_restart() {
    let world = World::new();
    world.append(&["Fine"; 30]).await;
    world.run().await;
    let calls = world.ledger.calls.load(Ordering::Relaxed);
    let again = world.run().await;
    assert_eq!((again.applied, again.duplicates), (0, 0));
    assert_eq!(world.ledger.calls.load(Ordering::Relaxed), calls);
    world.append(&["Fine"]).await;
    assert_eq!(world.run().await.applied, 1);
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_4_ten_batches_of_foreign_events_then_one_match_without_scanning_again() {
    let mut world = World::new();
    world.filter = Filter::types(["Wanted*"]);
    world.settings.batch = 32;
    world.settings.max_batch = 32;
    world.append(&["Foreign"; 320]).await;
    world.run().await;
    let state = world.state().unwrap();
    assert_eq!((state.scanned, state.last), (world.head().await, None), "the scanned bound is stored");
    world.append(&["WantedAtLast"]).await;
    world.run().await;
    assert_eq!(world.applied().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn e_6_a_changed_filter_refuses_until_it_is_accepted_or_rebuilt() {
    let mut world = World::new();
    world.append(&["Fine", "Other"]).await;
    world.filter = Filter::types(["Fine"]);
    world.run().await;
    world.filter = Filter::types(["Fine", "Other"]);
    let reason = world.start().fault().await;
    assert!(reason.contains("filter changed at the same version"), "{reason}");
    world.options.accept_changes = true;
    world.append(&["Other"]).await;
    world.run().await;
    assert_eq!(world.applied().len(), 2, "from here on with the new filter");
    world.options.accept_changes = false;

    let definition = Arc::new(world.definition());
    rebuild(&world.store, &world.log, &definition, &world.environment).await.unwrap();
    world.run().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_7_another_event_at_the_checkpoint_halts_and_trust_goes_on() {
    let mut world = World::new();
    world.append(&["Fine"; 5]).await;
    world.run().await;
    let last = world.log.all().pop().unwrap();
    let other = event(999, "Fine", "elsewhere");
    let mut parts = other.parts().clone();
    parts.position = last.position();
    world.log.replace_event(highwater_core::model::RecordedEvent::new(parts));
    let reason = world.start().fault().await;
    assert!(reason.contains("another log") && reason.contains("rebuild"), "{reason}");
    world.options.trust_checkpoint = true;
    world.append(&["Fine"]).await;
    assert_eq!(world.run().await.applied, 1);
}

#[tokio::test(start_paused = true)]
async fn e_7_a_log_that_ends_below_the_checkpoint_halts() {
    let world = World::new();
    world.append(&["Fine"; 5]).await;
    world.run().await;
    world.log.truncate_behind(world.log.all()[2].position());
    let reason = world.start().fault().await;
    assert!(reason.contains("the log ends at"), "{reason}");
    assert_eq!(world.applied().len(), 5, "nothing was touched");
}

#[tokio::test(start_paused = true)]
async fn e_7_an_event_that_the_log_has_dropped_is_a_warning() {
    let mut world = World::new();
    world.filter = Filter::types(["Fine"]);
    world.append(&["Fine", "Other"]).await;
    world.run().await;
    assert!(world.log.remove_event(world.log.all()[0].position()));
    world.append(&["Fine"]).await;
    world.run().await;
    assert_eq!(world.diary.count("CheckpointEventAbsent"), 1);
    assert_eq!(world.applied().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn e_24_a_rebuild_clears_counts_up_and_gives_the_same_again() {
    let world = World::new();
    world.append(&["Fine", "Permanent", "Fine"]).await;
    world.run().await;
    let definition = Arc::new(world.definition());
    let state = rebuild(&world.store, &world.log, &definition, &world.environment).await.unwrap();
    assert_eq!((state.generation, state.scanned), (2, None));
    assert!(world.applied().is_empty() && world.failed().await.is_empty());
    world.run().await;
    world.assert_exactly(|event| event.event_type() == "Fine");
    assert_eq!(world.failed().await[0].generation, 2);
}

#[tokio::test(start_paused = true)]
async fn e_24_a_rebuild_is_refused_while_an_owner_runs_and_one_that_fails_changes_nothing() {
    let world = World::new();
    world.append(&["Fine"; 3]).await;
    let process = world.start();
    process.caught_up(&world).await;
    let definition = Arc::new(world.definition());
    let refused = rebuild(&world.store, &world.log, &definition, &world.environment).await.unwrap_err();
    assert_eq!(refused.kind(), highwater_core::ErrorKind::Busy);
    process.stop().await;
    let before = world.state();
    world.store.set_outage(true);
    assert!(rebuild(&world.store, &world.log, &definition, &world.environment).await.is_err());
    world.store.set_outage(false);
    assert_eq!(world.state(), before);
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_kills_the_process_twice_is_run_alone_and_reaches_its_limit() {
    let mut world = World::new();
    world.settings.max_failures = 3;
    world.settings.statement_timeout = Duration::from_secs(50);
    world.append(&["Fine"; 5]).await;
    world.append(&["Endless"]).await;
    world.append(&["Fine"; 5]).await;
    // The event hangs for ever; the "process" is killed there again and again.
    let mut kills = 0;
    while world.failed().await.first().is_none_or(|row| row.attempts < 3) {
        let calls = world.ledger.calls.load(Ordering::Relaxed);
        let process = world.start();
        process.until(|status| status.epoch > 0).await;
        while world.ledger.calls.load(Ordering::Relaxed) == calls
            || world
                .state()
                .is_some_and(|state| state.scanned < Some(world.log.all()[4].position()) && kills > 1)
        {
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        tokio::time::advance(Duration::from_millis(20)).await;
        process.kill().await;
        kills += 1;
        assert!(kills < 12, "it never reaches its limit");
    }
    let reached = world.run().await;
    assert!(reached.failed >= 1, "{reached:?}");
    world.assert_exactly(|event| event.event_type() == "Fine");
    assert!(world.failed().await[0].message.contains("the process ended"));
}

#[tokio::test(start_paused = true)]
async fn a_state_that_a_newer_version_replaced_refuses_the_older_one() {
    let world = World::new();
    world.append(&["Fine"]).await;
    let mut newer = World::key();
    newer.version = 2;
    world.store.put_state(ProjectionState::new(newer, None, String::new(), String::new()));
    let reason = world.start().fault().await;
    assert!(reason.contains("older version"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn start_from_the_end_applies_only_what_comes() {
    let mut world = World::new();
    world.settings.start_from = highwater_core::settings::StartFrom::End;
    world.append(&["Fine"; 5]).await;
    world.run().await;
    assert!(world.applied().is_empty());
    world.append(&["Fine"; 2]).await;
    assert_eq!(world.run().await.applied, 2);
}

#[tokio::test(start_paused = true)]
async fn e_7_a_log_that_comes_back_as_another_one_halts_the_running_projection() {
    let world = World::new();
    world.append(&["Fine"; 5]).await;
    let process = world.start();
    process.caught_up(&world).await;
    world.log.set_outage(true);
    process.phase("stalled").await;
    let last = world.log.all().pop().unwrap();
    let mut parts = event(999, "Fine", "elsewhere").parts().clone();
    parts.position = last.position();
    world.log.replace_event(highwater_core::model::RecordedEvent::new(parts));
    world.log.set_outage(false);
    let reason = process.fault().await;
    assert!(reason.contains("another log"), "{reason}");
    assert_eq!(world.state().unwrap().fault, Some(reason), "other processes see why");
}

#[tokio::test(start_paused = true)]
async fn e_13_a_fault_at_the_start_is_seen_by_other_processes() {
    let mut world = World::new();
    world.append(&["Fine"]).await;
    world.run().await;
    world.filter = Filter::types(["Other"]);
    let reason = world.start().fault().await;
    let state = world.state().unwrap();
    assert_eq!(state.fault, Some(reason));
    assert!(state.stopped_cleanly, "the owner before it ended in order");
}

//! The loop (E-21 … E-23, E-25, E-27), outages of its surroundings, and the crash at every await point.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::ProjectionName;
use highwater_core::ports::{FailedQuery, ProjectionControl};

use crate::world::{Process, World};

#[tokio::test(start_paused = true)]
async fn e_21_many_batches_run_continuously_while_behind() {
    let mut world = World::new();
    (world.settings.min_batch, world.settings.batch, world.settings.max_batch) = (10, 10, 10);
    world.append(&["Fine"; 1_000]).await;
    let begun = world.stopwatch();
    let status = world.run().await;
    assert_eq!(status.batches, 100);
    assert!(
        begun.elapsed() < Duration::from_millis(10),
        "no waiting between full batches: {:?}",
        begun.elapsed()
    );
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn batches_grow_while_behind_though_they_are_read_ahead() {
    let world = World::new();
    world.append(&["Fine"; 20_000]).await;
    let status = world.run().await;
    // Three of each size, since two are read before it is known how the last one went.
    assert!(status.batches <= 16, "{} batches of 500 at first", status.batches);
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn several_events_at_one_position_are_told_apart() {
    let mut world = World::new();
    (world.settings.min_batch, world.settings.batch, world.settings.max_batch) = (2, 2, 2);
    world.append_in("s-1", &["Fine"; 5]).await;
    let positions: std::collections::BTreeSet<_> =
        world.log.all().iter().map(|event| event.position().commit()).collect();
    assert_eq!(positions.len(), 1);
    world.run().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_25_idle_and_caught_up_stays_live_and_e_27_writes_nothing() {
    let world = World::new();
    world.append(&["Fine"; 3]).await;
    let process = world.start();
    process.caught_up(&world).await;
    let (state, commits) = (world.state(), world.store.counts().commits);
    world.pass(Duration::from_secs(3600)).await;
    assert_eq!(process.status.get().phase.as_str(), "live");
    assert_eq!(
        (world.state(), world.store.counts().commits),
        (state, commits),
        "empty batches write nothing"
    );
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_projection_opens_a_transaction_only_when_something_was_committed() {
    let world = World::new();
    world.append(&["Fine", "Permanent-until-mended"]).await;
    let process = world.start();
    process.caught_up(&world).await;
    world.pass(Duration::from_secs(10)).await;
    let begun = world.store.counts().transactions;
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(world.store.counts().transactions, begun, "there is nothing to look at");
    let name = World::key().name;
    world.store.set_paused(&name, true).await.expect("the store answers");
    process.phase("paused").await;
    world.store.set_paused(&name, false).await.expect("the store answers");
    process.phase("live").await;
    world.ledger.mend();
    world.store.request_replay(&FailedQuery::default()).await.expect("the store answers");
    process.until(|status| status.recovered == 1).await;
    process.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn a_new_event_wakes_a_live_projection_before_its_poll_timer() {
    let mut world = World::new();
    world.settings.poll_interval = Duration::from_secs(3600);
    let process = world.start();
    process.phase("live").await;
    let begun = world.stopwatch();
    world.append(&["Fine"]).await;
    process.caught_up(&world).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ten_minutes_of_store_outage_and_ten_of_log_outage_pass_over_nothing() {
    let world = World::new();
    world.append(&["Fine"; 100]).await;
    let process = world.start();
    process.caught_up(&world).await;
    for cut in [true, false] {
        if cut {
            world.store.set_outage(true)
        } else {
            world.log.set_outage(true)
        }
        process.phase("stalled").await;
        world.pass(Duration::from_secs(600)).await;
        world.store.set_outage(false);
        world.log.set_outage(false);
        world.append(&["Fine"; 50]).await;
        process.caught_up(&world).await;
    }
    process.stop().await;
    assert!(world.failed().await.is_empty(), "no dead letter is written for an outage");
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_22_one_projections_trouble_never_delays_another() {
    let troubled = World::new();
    troubled.append(&["Transient"; 3]).await;
    let mut other = World::new();
    other.log = troubled.log.clone();
    other.skip_ids(1_000);
    let stuck = troubled.start();
    stuck.phase("stalled").await;
    let begun = other.stopwatch();
    let mut runner = other.runner(other.store.clone(), Arc::new(other.log.clone()));
    let mut definition = other.definition();
    definition.filter = highwater_core::model::Filter::types(["Fine"]);
    runner.definition = Arc::new(definition);
    let process = Process::start(runner);
    other.append(&["Fine"; 10]).await;
    process.until(|status| status.applied == 10).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    process.stop().await;
    stuck.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_projection_applies_nothing_until_it_is_resumed() {
    let world = World::new();
    world.append(&["Fine"; 3]).await;
    let process = world.start();
    process.caught_up(&world).await;
    let name: ProjectionName = World::key().name;
    assert!(world.store.set_paused(&name, true).await.unwrap());
    world.append(&["Fine"; 3]).await;
    process.phase("paused").await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.applied().len(), 3);
    assert!(world.store.set_paused(&name, false).await.unwrap());
    process.caught_up(&world).await;
    process.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn x_6_a_stop_is_prompt_in_every_phase() {
    for (types, phase) in
        [(&["Fine"][..], "live"), (&["Opaque"], "retrying-event"), (&["Transient"], "stalled")]
    {
        let world = World::new();
        world.append(types).await;
        let process = world.start();
        process.phase(phase).await;
        let begun = world.stopwatch();
        process.stop().await;
        assert!(begun.elapsed() < Duration::from_millis(10), "{phase}: {:?}", begun.elapsed());
        assert!(world.state().unwrap().stopped_cleanly, "{phase}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_outlasts_the_drain_is_rolled_back() {
    let mut world = World::new();
    world.settings.drain = Duration::from_secs(2);
    world.append(&["Fine"]).await;
    let process = world.start();
    process.caught_up(&world).await;
    world.append(&["Fine", "Endless"]).await;
    while world.store.counts().savepoints < 2 {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let begun = world.stopwatch();
    process.stop().await;
    assert!(begun.elapsed() <= Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(world.applied().len(), 1, "all of a batch or nothing of it");
}

#[tokio::test(start_paused = true)]
async fn e_1_event_times_and_clocks_that_step_back_pass_over_nothing() {
    let mut world = World::new();
    let clock = Arc::new(highwater_testkit::time::VirtualClock::new());
    world.environment.clock = clock.clone();
    let process = world.start();
    for _ in 0..5 {
        world.append(&["Fine"; 20]).await;
        clock.step_wall_back(Duration::from_secs(3600));
        world.append(&["Fine"; 20]).await;
        process.caught_up(&world).await;
    }
    process.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn x_11_batches_are_bounded_by_bytes_as_well() {
    let mut world = World::new();
    world.settings.max_batch_bytes = 100;
    world.append(&["Fine"; 40]).await;
    let status = world.run().await;
    assert!(status.batches >= 5, "{} batches", status.batches);
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_25_the_loop_beats_when_it_is_idle() {
    let world = World::new();
    let process = world.start();
    process.phase("live").await;
    let before = world.diary.heartbeats();
    world.pass(Duration::from_secs(60)).await;
    let beats = world.diary.heartbeats() - before;
    assert!((30..=120).contains(&beats), "about one a poll interval: {beats}");
    process.stop().await;
}

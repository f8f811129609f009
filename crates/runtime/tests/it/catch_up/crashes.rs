//! The process dies wherever it waits (B-13), and its answers get lost.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_runtime::catch_up::{CatchUpReport, CatchUpRunner, run};
use highwater_testkit::faults::{FaultPlan, Faulty};
use tokio_util::sync::CancellationToken;

use super::world::{Does, World};

const TYPES: [&str; 12] =
    ["Fine", "Fine", "Fine", "Permanent", "Fine", "Fine", "Opaque", "Fine", "Fine", "Fine", "Fine", "Fine"];

async fn world(lanes: usize) -> World {
    let mut world = World::new();
    (world.settings.lanes, world.settings.checkpoint_batch_size, world.settings.max_retries) = (lanes, 3, 1);
    world.append(&TYPES).await;
    world.append_in("a", &["Fine", "Fine", "Fine"]).await;
    world
}

/// Each event is handled or given up, and no more often than the bound allows.
fn check(world: &World, crashes: u64, place: &str) {
    let (times, dead) = (world.times(), world.dead());
    for event in world.log.all() {
        let (position, fine) = (event.position(), event.event_type() == "Fine");
        assert_eq!(times.contains_key(&position), fine, "{place}: {position} was handled");
        assert_eq!(dead.contains(&position), !fine, "{place}: {position} was given up");
    }
    let surplus = times.values().sum::<u64>() - times.len() as u64;
    let lanes = world.settings.lanes as u64;
    // What was done above the low-water mark: with several lanes, all that the others did while one waited.
    let above = if lanes == 1 { 1 } else { 12 };
    assert!(surplus <= crashes * (world.settings.checkpoint_batch_size + above), "{place}: {surplus} again");
    world.assert_streams_in_order();
    assert_eq!(world.stored(), world.log.all().last().map(|event| event.position()), "{place}");
}

#[tokio::test(start_paused = true)]
async fn b_13_a_crash_at_every_call_of_a_port_passes_over_nothing() {
    for lanes in [1, 4] {
        let reference = world(lanes).await;
        let whole = FaultPlan::new();
        let process = reference.start_faulty("first", &whole);
        process.caught_up(&reference).await;
        process.stop().await;
        check(&reference, 0, "without a crash");
        let trace = whole.trace();
        assert!(trace.len() > 20, "the run passes many points: {}", trace.len());
        for (number, point) in trace.iter().enumerate() {
            let world = world(lanes).await;
            let plan = FaultPlan::crash_at(number);
            let process = world.start_faulty("first", &plan);
            let crashed = tokio::select! {
                () = plan.wait_crashed() => true,
                // A point of the stop itself is not reached before the stop.
                _ = process.caught_up(&world) => false,
            };
            if crashed {
                drop(process.drop_runner().await)
            } else {
                drop(process.stop().await)
            }
            let second = world.start_as("second");
            second.caught_up(&world).await;
            second.stop().await;
            check(&world, 1, &format!("{lanes} lanes, {number}: {point}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn b_13_a_failure_at_every_call_of_a_port_repeats_nothing() {
    for (kind, lanes) in [(ErrorKind::Unavailable, 1), (ErrorKind::Timeout, 4)] {
        let reference = world(lanes).await;
        let whole = FaultPlan::new();
        let process = reference.start_faulty("first", &whole);
        process.caught_up(&reference).await;
        process.stop().await;
        for number in 0..whole.points() {
            let world = world(lanes).await;
            let plan = FaultPlan::new();
            plan.fail_nth(number, kind);
            let process = world.start_faulty("first", &plan);
            process.caught_up(&world).await;
            let report = process.stop().await;
            if let Some(error) = report.unflushed {
                // The failure hit the end itself: the next run does what is left.
                assert_eq!(error.kind(), kind);
                let second = world.start_as("second");
                second.caught_up(&world).await;
                second.stop().await;
            }
            check(&world, 0, &format!("{lanes} lanes, point {number}"));
        }
    }
}

/// Polls a run so many times, then drops it.
async fn run_for(runner: CatchUpRunner, mut polls: u64) -> Option<CatchUpReport> {
    let mut run = Box::pin(run(runner, CancellationToken::new()));
    poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        run.as_mut().poll(context).map(|report| Some(report.unwrap()))
    })
    .await
}

/// With `soft`, only the runner is dropped, and its process goes on; else nothing of its process reaches the
/// store any more.
async fn dropped_at_every_await(lanes: usize, soft: bool) {
    let mut ended = false;
    let mut polls = 1;
    while !ended {
        let mut world = world(lanes).await;
        world.settings.stop_on_caught_up = true;
        // Calls take some time, so that the run is cut inside of them, too.
        world.clerk.told(|event| match event.event_type() {
            "Permanent" => Does::Of(ErrorKind::Constraint),
            "Opaque" => Does::Opaque,
            _ => Does::Takes(Duration::from_millis(1)),
        });
        let plan = FaultPlan::new();
        let machine = world.machine_over("first", Faulty::new(world.checkpoints.clone(), &plan));
        ended = run_for(world.runner(&machine), polls).await.is_some();
        if !soft {
            for call in ["claim", "advance_owned", "release"] {
                plan.fail(&format!("checkpoints.{call}:before"), u64::MAX, ErrorKind::Closed);
            }
        }
        // With a soft end the same process may start the group again at once.
        let machine = if soft { machine } else { world.machine("second") };
        let report = run(world.runner(&machine), CancellationToken::new()).await.unwrap();
        assert!(report.unflushed.is_none());
        check(&world, 1, &format!("{lanes} lanes, dropped at poll {polls}, soft {soft}"));
        polls += 1;
    }
    assert!(polls > 15, "it was cut at {polls} places");
}

#[tokio::test(start_paused = true)]
async fn b_13_a_runner_dropped_at_every_await_passes_over_nothing() {
    for lanes in [1, 4] {
        dropped_at_every_await(lanes, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn b_5_a_runner_dropped_at_every_await_leaves_its_mark_to_the_next_one() {
    for lanes in [1, 4] {
        dropped_at_every_await(lanes, true).await;
    }
}

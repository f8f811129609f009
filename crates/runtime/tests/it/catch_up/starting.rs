//! Where a group begins (B-4), and that it runs once (AlreadyRunning).

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_core::model::Position;
use highwater_core::ports::CheckpointStore;
use highwater_core::settings::StartFrom;
use highwater_runtime::catch_up::{CatchUpEnd, CatchUpRunners, run};
use tokio_util::sync::CancellationToken;

use super::world::{GROUP, Process, World};

#[tokio::test(start_paused = true)]
async fn b_4_a_read_error_is_never_from_the_start() {
    let world = World::new();
    world.append_over(20, 3).await;
    world.run().await;
    world.checkpoints.set_outage(true);
    let process = world.start_as("second");
    process.phase("stalled").await;
    assert_eq!(world.clerk.positions().len(), 20);
    world.checkpoints.set_outage(false);
    world.append_over(5, 3).await;
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.surplus(), 0);
}

#[tokio::test(start_paused = true)]
async fn b_4_a_checkpoint_that_is_gone_is_an_error_and_nothing_is_handled() {
    let world = World::new();
    world.append_over(20, 3).await;
    world.run().await;
    assert!(world.checkpoints.lose(GROUP));
    world.start_as("second").fault().await;
    assert_eq!(world.clerk.positions().len(), 20, "not from the start");

    world.checkpoints.set_if_newer(GROUP, Position::new(10, 0)).await.unwrap();
    world.run().await;
    assert_eq!(world.surplus(), 10, "from where the operator said");
}

#[tokio::test(start_paused = true)]
async fn b_4_a_store_that_may_have_forgotten_wants_to_be_told_where_to_begin() {
    let mut world = World::new();
    world.checkpoints.set_forgetful(true);
    world.append_over(20, 3).await;
    let reason = world.start().fault().await;
    assert!(reason.contains("start_from"), "{reason}");
    assert!(world.clerk.positions().is_empty());
    world.settings.start_from = Some(StartFrom::Beginning);
    world.run().await;
    assert_eq!(world.surplus(), 0);
}

#[tokio::test(start_paused = true)]
async fn start_from_holds_once_and_a_restart_does_not_choose_again() {
    let cases = [
        (Some(StartFrom::End), 10, 0),
        (Some(StartFrom::Position(Position::new(4, 0))), 10, 6),
        (Some(StartFrom::Beginning), 10, 10),
        (None, 10, 10),
        (Some(StartFrom::End), 0, 0),
    ];
    for (start_from, before, handled) in cases {
        let mut world = World::new();
        world.settings.start_from = start_from;
        world.append_over(before, 2).await;
        let process = world.start();
        process.phase("live").await;
        process.stop().await;
        assert_eq!(world.clerk.positions().len(), handled, "{start_from:?}");
        world.append_over(5, 2).await;
        world.run().await;
        assert_eq!(world.clerk.positions().len(), handled + 5, "{start_from:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn e_7_a_checkpoint_beyond_the_log_faults_and_trust_goes_on() {
    let world = World::new();
    world.append_over(20, 3).await;
    world.run().await;
    world.log.truncate_behind(Position::new(15, 0));
    let reason = world.start_as("second").fault().await;
    assert!(reason.contains("the log ends at 15:0"), "{reason}");
    let machine = world.machine("third");
    let mut runner = world.runner(&machine);
    runner.trust_checkpoint = true;
    let process = Process::start(runner, machine);
    process.phase("live").await;
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_run_of_a_live_group_is_refused_and_told() {
    let world = World::new();
    let machine = world.machine("first");
    let process = Process::start(world.runner(&machine), machine.clone());
    process.phase("live").await;
    let refused = run(world.runner(&machine), CancellationToken::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert_eq!(world.diary.count("AlreadyRunning"), 1);
    process.stop().await;
    let process = Process::start(world.runner(&machine), machine);
    process.phase("live").await;
    process.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_many_that_start_a_group_at_once_one_wins() {
    let world = World::new();
    world.append_over(100, 3).await;
    let (machine, runners) = (world.machine("first"), CatchUpRunners::new());
    let started: Vec<_> = (0..10).map(|_| runners.start(world.runner(&machine))).collect();
    assert_eq!(started.iter().filter(|start| start.is_ok()).count(), 1);
    assert!(runners.is_running(GROUP) && runners.statuses().len() == 1);
    let handle = runners.get(GROUP).unwrap();
    let mut changes = handle.cell().subscribe();
    changes.wait_for(|status| status.totals.processed == 100).await.unwrap();
    assert_eq!(handle.runner().lag().await.unwrap(), Some(0));
    let report = runners.stop(GROUP).await.unwrap();
    assert_eq!((&report.end, report.totals.processed), (&CatchUpEnd::Stopped, 100));
    assert_eq!(runners.stop(GROUP).await.unwrap().totals, report.totals, "a second stop is harmless");
    assert!(runners.stop("other").await.is_none() && !runners.is_running(GROUP));

    runners.start(world.runner(&machine)).expect("it may be started again");
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(runners.stop_all().await.len(), 1);
    assert_eq!(world.surplus(), 0);
}

#[tokio::test(start_paused = true)]
async fn x_12_settings_that_are_not_valid_begin_nothing() {
    let mut world = World::new();
    (world.settings.lanes, world.settings.batch) = (0, 0);
    let machine = world.machine("first");
    let refused = run(world.runner(&machine), CancellationToken::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let text = refused.chain();
    assert!(text.contains("`lanes` is 0") && text.contains("`batch` is 0"), "{text}");
    assert_eq!(CatchUpRunners::new().start(world.runner(&machine)).unwrap_err().kind(), ErrorKind::Invalid);
}

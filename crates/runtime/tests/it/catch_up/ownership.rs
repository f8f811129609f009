//! One owner at a time, told apart by an epoch (B-8).

use std::time::Duration;

use highwater_core::model::{Advance, Position};
use highwater_core::ports::{CheckpointStore, GroupClaim, OwnedCheckpoints};
use highwater_runtime::catch_up::CheckpointBoard;
use highwater_testkit::faults::FaultPlan;

use super::world::{Does, GROUP, SECOND, World};

#[tokio::test(start_paused = true)]
async fn b_8_another_process_stands_by_and_takes_over_from_one_that_stops() {
    let world = World::new();
    world.append_over(30, 3).await;
    let first = world.start_as("first");
    first.caught_up(&world).await;
    let second = world.start_as("second");
    second.phase("standing-by").await;
    assert!(world.diary.find("StandingBy").unwrap().contains("first"));
    world.pass(Duration::from_secs(3_600)).await;
    assert_eq!(second.status.get().phase.as_str(), "standing-by", "an idle owner renews its lease");

    first.stop().await;
    world.append_over(10, 3).await;
    let begun = world.now();
    let status = second.caught_up(&world).await;
    assert!(world.now().since(begun) < SECOND * 2);
    assert_eq!(status.epoch, 2);
    second.stop().await;
    assert_eq!(world.surplus(), 0);
}

#[tokio::test(start_paused = true)]
async fn b_8_a_dead_owner_is_replaced_when_its_lease_has_run_out() {
    let world = World::new();
    world.append_over(30, 3).await;
    let plan = FaultPlan::new();
    let first = world.start_faulty("first", &plan);
    first.caught_up(&world).await;
    cut(&plan);
    let begun = world.now();
    drop(first.drop_runner().await);
    world.append_over(10, 3).await;
    let second = world.start_as("second");
    second.caught_up(&world).await;
    let took = world.now().since(begun);
    assert!(took <= CheckpointBoard::LEASE + SECOND * 2, "{took:?}");
    second.stop().await;
    assert!(world.surplus() <= 10);
}

/// The process can no longer reach the checkpoint store.
fn cut(plan: &FaultPlan) {
    for call in ["claim", "advance_owned", "release"] {
        let point = format!("checkpoints.{call}:before");
        plan.fail(&point, u64::MAX, highwater_core::ErrorKind::Unavailable);
    }
}

#[tokio::test(start_paused = true)]
async fn b_8_an_owner_that_was_cut_off_stops_and_never_overwrites() {
    let world = World::new();
    world.append_over(30, 3).await;
    let plan = FaultPlan::new();
    let first = world.start_faulty("first", &plan);
    first.caught_up(&world).await;
    cut(&plan);
    first.until(|status| status.phase.as_str() == "stalled").await;
    let second = world.start_as("second");
    second.phase("live").await;
    world.append_over(100, 3).await;
    second.caught_up(&world).await;
    let held = world.clerk.positions().len();
    assert_eq!(first.status.get().totals.processed, 30, "its lease is over, so it begins nothing");
    assert_eq!(held, 130);
    plan.heal();
    first.phase("standing-by").await;
    assert!(world.diary.count("LostOwnership") >= 1);
    assert_eq!(world.stored().max(world.head().await), world.head().await);
    second.stop().await;
    first.phase("live").await;
    first.stop().await;
    assert_eq!(world.surplus(), 0);
    assert_eq!(world.stored(), world.head().await);
}

#[tokio::test(start_paused = true)]
async fn b_8_two_owners_at_once_never_move_the_checkpoint_past_what_is_handled() {
    let world = World::new();
    world.append_over(200, 7).await;
    world.clerk.told(|_| Does::Takes(Duration::from_millis(200)));
    let first = world.start_as("first");
    first.until(|status| status.totals.processed >= 12).await;
    // Somebody else believes that the lease has run out.
    world.checkpoints.pass(CheckpointBoard::LEASE * 2);
    let second = world.start_as("second");
    second.until(|status| status.epoch == 2).await;
    first.phase("standing-by").await;
    let stored = world.stored();
    let handled = world.times();
    assert!(
        world.positions(|event| Some(event.position()) <= stored).iter().all(|it| handled.contains_key(it))
    );
    second.caught_up(&world).await;
    second.stop().await;
    first.stop().await;
    assert!(world.surplus() <= 10 + 1 + 1, "{}", world.surplus());
}

#[tokio::test(start_paused = true)]
async fn b_8_an_operators_reset_is_followed() {
    let world = World::new();
    world.append_over(30, 3).await;
    let process = world.start();
    process.caught_up(&world).await;
    process.until(|status| status.stored == status.position).await;
    let head = world.head().await.unwrap();
    let reset = world.checkpoints.reset(GROUP, Position::new(20, 0), head).await.unwrap();
    assert_eq!(reset, Advance::Applied);
    let status = process.until(|status| status.generation == 1 && status.totals.processed == 40).await;
    assert_eq!(world.surplus(), 10, "the ten behind the place that the operator named");
    assert!(status.epoch > 1);
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.stored(), Some(head));
}

#[tokio::test(start_paused = true)]
async fn b_8_a_checkpoint_that_an_operator_moves_forward_is_followed() {
    let mut world = World::new();
    world.settings.breaker_failure_threshold = 1_000;
    world.append(&["Fine", "Transient", "Fine", "Fine"]).await;
    let process = world.start();
    process.phase("stalled").await;
    let past = world.positions(|_| true)[1];
    assert_eq!(world.checkpoints.set_if_newer(GROUP, past).await.unwrap(), Advance::Applied);
    // It has nothing to write, and hears of it when its lease is renewed.
    let begun = world.now();
    process.caught_up(&world).await;
    assert!(world.now().since(begun) < CheckpointBoard::LEASE);
    process.stop().await;
    assert_eq!(world.clerk.positions(), world.fine());
    assert_eq!(world.diary.count("CheckpointMoved"), 1);
}

#[tokio::test(start_paused = true)]
async fn b_8_a_write_that_finds_a_newer_checkpoint_makes_the_runner_go_on_from_there() {
    let world = World::new();
    world.append_over(40, 3).await;
    world.clerk.told(|_| Does::Takes(Duration::from_millis(100)));
    let process = world.start();
    process.until(|status| status.totals.processed == 5).await;
    world.checkpoints.set_if_newer(GROUP, Position::new(30, 0)).await.unwrap();
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.diary.count("CheckpointMoved"), 1);
    let handled = world.clerk.positions();
    assert!(handled.len() < 25 && handled.contains(&Position::new(31, 0)), "{}", handled.len());
    assert_eq!(world.stored(), world.head().await);
}

#[tokio::test(start_paused = true)]
async fn b_8_a_deleted_group_begins_anew() {
    let world = World::new();
    world.append_over(5, 3).await;
    let process = world.start();
    process.until(|status| status.stored == status.position && status.totals.processed == 5).await;
    assert!(world.checkpoints.delete(GROUP).await.unwrap());
    process.until(|status| status.totals.processed == 10).await;
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.stored(), world.head().await);
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_somebody_else_is_told_with_its_owner() {
    let world = World::new();
    let claim = world.checkpoints.claim(GROUP, "an operator", SECOND * 5).await.unwrap();
    assert!(matches!(claim, GroupClaim::Won { epoch: 1, .. }));
    let process = world.start();
    process.phase("standing-by").await;
    process.phase("live").await;
    process.stop().await;
}

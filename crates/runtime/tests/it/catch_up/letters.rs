//! Dead letters (B-3).

use highwater_core::ErrorKind;
use highwater_core::ports::DeadLetters;
use highwater_testkit::faults::FaultPlan;

use super::world::World;

#[tokio::test(start_paused = true)]
async fn b_3_a_failed_publish_leaves_the_event_unsettled_and_the_handler_is_not_called_again() {
    let world = World::new();
    world.append(&["Fine", "Permanent", "Fine"]).await;
    world.letters.set_outage(true);
    let process = world.start();
    process.phase("stalled").await;
    world.pass(std::time::Duration::from_secs(600)).await;
    assert_eq!(world.stored(), world.fine().first().copied(), "not settled");
    assert_eq!(world.clerk.calls(), 2, "the lane waits behind it");
    assert!(world.diary.find("LetterFailed").is_some());
    world.letters.set_outage(false);
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!((world.clerk.calls(), world.letter().attempts), (3, 1));
    assert_eq!(world.stored(), world.head().await);
}

#[tokio::test(start_paused = true)]
async fn b_3_a_lost_answer_makes_no_second_letter() {
    let world = World::new();
    world.append(&["Permanent", "Fine"]).await;
    let plan = FaultPlan::new();
    plan.fail("dead_letters.publish:after", 3, ErrorKind::Unavailable);
    let process = world.start_faulty("first", &plan);
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(plan.passed("dead_letters.publish:before"), 4);
    assert_eq!(world.letter().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn b_3_a_hung_publish_is_given_up_and_tried_again() {
    let world = World::new();
    world.append(&["Permanent", "Fine"]).await;
    let plan = FaultPlan::new();
    plan.hang("dead_letters.publish:before");
    let process = world.start_faulty("first", &plan);
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!((plan.passed("dead_letters.publish:before"), world.dead().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn b_3_a_place_that_refuses_for_good_faults_the_runner() {
    let world = World::new();
    world.append(&["Fine", "Permanent", "Fine"]).await;
    let plan = FaultPlan::new();
    plan.fail("dead_letters.publish:before", 9, ErrorKind::AccessDenied);
    let reason = world.start_faulty("first", &plan).fault().await;
    assert!(reason.contains("dead_letters.publish"), "{reason}");
    assert_eq!(world.stored(), world.fine().first().copied());
}

#[tokio::test(start_paused = true)]
async fn too_many_open_letters_fault_the_runner_until_somebody_makes_room() {
    let mut world = World::new();
    world.settings.max_dead_letters = 3;
    world.append(&["Fine", "Permanent", "Permanent", "Permanent", "Permanent", "Fine"]).await;
    let reason = world.start().fault().await;
    assert!(reason.contains("3 dead letters of this group are open"), "{reason}");
    let dead = world.dead();
    assert_eq!((dead.len(), world.stored()), (3, dead.last().copied()));
    assert!(world.letters.remove("mailer", 0, dead[0]).await.unwrap());
    world.run().await;
    assert_eq!(world.clerk.positions(), world.fine());
    assert_eq!(world.dead().len(), 3);
}

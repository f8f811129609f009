//! Partitions spread over the instances, and move when one comes or goes (E-11, E-12).

use std::time::Duration;

use highwater_core::ErrorKind;
use highwater_testkit::faults::{FaultPlan, Faulty};

use crate::partitions::{Instance, key, settled, states};
use crate::world::World;

fn world(partitions: u32) -> World {
    let mut world = World::new();
    world.settings.partitions = partitions;
    world
}

/// Waits until the instances own so many each, all of them together; how long it took.
async fn spread(world: &World, instances: &[&Instance], wanted: &[usize]) -> Duration {
    let watch = world.stopwatch();
    let step = Duration::from_millis(10);
    for _ in 0..100_000 {
        let owned: Vec<_> = instances.iter().map(|instance| instance.owned()).collect();
        let mut counts: Vec<_> = owned.iter().map(Vec::len).collect();
        counts.sort_unstable();
        if counts == wanted {
            let mut all = owned.concat();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), wanted.iter().sum::<usize>(), "a partition has two owners: {owned:?}");
            return watch.elapsed();
        }
        world.pass(step).await;
    }
    panic!("it never came to {wanted:?}: {:?}", instances.iter().map(|it| it.owned()).collect::<Vec<_>>());
}

async fn epochs(world: &World) -> Vec<u64> {
    states(world).await.iter().map(|state| state.epoch).collect()
}

#[tokio::test(start_paused = true)]
async fn e_11_partitions_spread_over_instances_and_move_when_one_comes_or_goes() {
    let world = world(7);
    world.append(&["Fine"; 50]).await;
    let first = Instance::start(&world, "first");
    spread(&world, &[&first], &[7]).await;
    settled(&world).await;
    assert_eq!(epochs(&world).await, [1; 7], "one that is alone takes all, once");

    let second = Instance::start(&world, "second");
    let took = spread(&world, &[&first, &second], &[3, 4]).await;
    assert!(took < Duration::from_secs(6), "{took:?}");
    let third = Instance::start(&world, "third");
    let took = spread(&world, &[&first, &second, &third], &[2, 2, 3]).await;
    assert!(took < Duration::from_secs(6), "{took:?}");
    world.append(&["Fine"; 50]).await;
    settled(&world).await;

    let still = epochs(&world).await;
    // 3 of 7 moved for the second, 2 for the third, and none moved for nothing.
    assert_eq!(still.iter().sum::<u64>(), 7 + 3 + 2, "{still:?}");
    world.pass(Duration::from_secs(600)).await;
    assert_eq!(epochs(&world).await, still, "nothing moves while nobody comes or goes");

    second.kill().await;
    let took = spread(&world, &[&first, &third], &[3, 4]).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    world.append(&["Fine"; 50]).await;
    settled(&world).await;
    third.stop().await;
    spread(&world, &[&first], &[7]).await;
    world.append(&["Fine"; 50]).await;
    settled(&world).await;
    first.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn more_instances_than_partitions_leave_some_standing_by() {
    let world = world(2);
    world.append(&["Fine"; 10]).await;
    let all: Vec<_> = ["a", "b", "c", "d"].iter().map(|process| Instance::start(&world, process)).collect();
    let all: Vec<_> = all.iter().collect();
    spread(&world, &all, &[0, 0, 1, 1]).await;
    settled(&world).await;
    world.pass(Duration::from_secs(600)).await;
    spread(&world, &all, &[0, 0, 1, 1]).await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_stops_in_order_while_events_flow() {
    let world = world(6);
    let mut instances = vec![Instance::start(&world, "0")];
    for round in 1..12 {
        world.append(&["Fine"; 20]).await;
        if round % 4 == 0 {
            instances.remove(0).kill().await;
        } else {
            instances.push(Instance::start(&world, &round.to_string()));
        }
        world.append(&["Fine"; 20]).await;
        world.pass(Duration::from_millis(1_700)).await;
    }
    world.append(&["Fine"; 20]).await;
    settled(&world).await;
    world.assert_exactly(|_| true);
    let crashes: u32 = states(&world).await.iter().map(|state| state.crashes).sum();
    assert!(crashes <= 6, "only killed owners count as dead");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_another_instance_cannot_run_is_not_left_idle() {
    let world = world(4);
    world.append(&["Fine"; 40]).await;
    let first = Instance::start(&world, "first");
    spread(&world, &[&first], &[4]).await;
    settled(&world).await;
    // It joins, is counted, and never gets a claim.
    let plan = FaultPlan::new();
    plan.fail("store.claim:before", u64::MAX, ErrorKind::Unavailable);
    let store = Faulty::new(world.store.as_process("broken"), &plan);
    let log = std::sync::Arc::new(world.log.clone());
    let broken = Instance::over(&world, store, log, world.definition());
    world.pass(Duration::from_secs(1200)).await;
    spread(&world, &[&first], &[4]).await;
    let epochs = epochs(&world).await;
    assert!(epochs.iter().sum::<u64>() < 40, "it is not passed back and forth all the time: {epochs:?}");
    assert!(epochs.iter().sum::<u64>() > 4, "it was offered");
    drop(broken);
    first.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_count_its_instances_gives_all_to_the_first() {
    let world = world(3);
    world.append(&["Fine"; 10]).await;
    let plan = FaultPlan::new();
    plan.fail("store.join:before", u64::MAX, ErrorKind::Unavailable);
    let log = || std::sync::Arc::new(world.log.clone());
    let uncounted = |process: &str| {
        Instance::over(&world, Faulty::new(world.store.as_process(process), &plan), log(), world.definition())
    };
    let first = uncounted("first");
    spread(&world, &[&first], &[3]).await;
    let second = uncounted("second");
    world.pass(Duration::from_secs(600)).await;
    spread(&world, &[&first, &second], &[0, 3]).await;
    first.stop().await;
    spread(&world, &[&second], &[3]).await;
    second.stop().await;
    world.assert_exactly(|_| true);
}

#[tokio::test(start_paused = true)]
async fn e_12_an_owner_whose_claim_was_broken_applies_nothing_more() {
    let world = world(2);
    world.append(&["Fine"; 10]).await;
    let first = Instance::start(&world, "first");
    settled(&world).await;
    for partition in 0..2 {
        assert!(world.store.break_claim(&key(partition).part()));
    }
    let second = Instance::start(&world, "second");
    world.append(&["Fine"; 30]).await;
    settled(&world).await;
    world.pass(Duration::from_secs(60)).await;
    spread(&world, &[&first, &second], &[1, 1]).await;
    world.append(&["Fine"; 30]).await;
    settled(&world).await;
    first.stop().await;
    second.stop().await;
    world.assert_exactly(|_| true);
}

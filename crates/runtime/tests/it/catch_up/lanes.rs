//! Lanes: order in a stream, independence between lanes, bounded memory.

use std::time::Duration;

use highwater_core::ErrorKind;

use super::world::{Does, World};

const SLOW: Duration = Duration::from_millis(5);

#[tokio::test(start_paused = true)]
async fn one_lane_keeps_the_order_of_the_log() {
    let world = World::new();
    world.append_over(500, 20).await;
    world.clerk.told(|_| Does::Takes(SLOW));
    let report = world.run().await;
    assert_eq!(world.clerk.positions(), world.positions(|_| true));
    assert_eq!(world.clerk.under_way.lock().unwrap().1, 1);
    assert_eq!((report.totals.processed, report.per_second()), (500, 500_000 / 2_500));
}

#[tokio::test(start_paused = true)]
async fn sixteen_lanes_do_twelve_times_as_much_and_keep_the_order_of_each_stream() {
    let mut took = Vec::new();
    for lanes in [1, 16] {
        let mut world = World::new();
        world.settings.lanes = lanes;
        world.append_over(8_000, 4_000).await;
        world.clerk.told(|_| Does::Takes(SLOW));
        let report = world.run().await;
        assert_eq!(world.surplus(), 0);
        world.assert_streams_in_order();
        assert!(world.clerk.under_way.lock().unwrap().1 <= lanes);
        took.push(report.duration);
    }
    assert!(took[0] >= took[1] * 12, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_held_up_holds_no_other_until_the_intake_is_full() {
    let mut world = World::new();
    (world.settings.lanes, world.settings.intake_events) = (4, 40);
    world.append_in("sick", &["Sick"]).await;
    world.append_over(200, 40).await;
    world.append_in("sick", &["Sick"; 60]).await;
    world.append_over(100, 40).await;
    world.clerk.told(|event| match event.event_type() {
        "Sick" => Does::Of(ErrorKind::Unavailable),
        _ => Does::Fine,
    });
    world.settings.breaker_failure_threshold = 1_000;
    let process = world.start();
    let full = process.until(|status| status.held == 40 && status.phase.as_str() == "stalled").await;
    assert!(full.totals.processed >= 60, "the other lanes went on: {}", full.totals.processed);
    assert_eq!(full.position, None, "the first event is not settled");
    assert_eq!(world.stored(), None);
    world.clerk.mend();
    process.caught_up(&world).await;
    process.stop().await;
    assert_eq!(world.surplus(), 0);
    world.assert_streams_in_order();
}

#[tokio::test(start_paused = true)]
async fn x_11_the_intake_is_bounded_by_events_and_by_bytes() {
    for (events, bytes, most) in [(8, usize::MAX, 8), (1_000, 100, 12), (1_000, 1, 1)] {
        let mut world = World::new();
        (world.settings.intake_events, world.settings.intake_bytes) = (events, bytes);
        world.append_over(100, 5).await;
        world.clerk.told(|_| Does::Takes(SLOW));
        let process = world.start();
        let mut changes = process.status.subscribe();
        let mut held = 0;
        while held == 0 || process.status.get().totals.processed < 100 {
            held = held.max(changes.borrow_and_update().held);
            changes.changed().await.unwrap();
        }
        assert!(held <= most, "{held} events of at least 8 bytes in {events} events and {bytes} bytes");
        process.stop().await;
        assert_eq!(world.surplus(), 0, "a single larger event still comes");
    }
}

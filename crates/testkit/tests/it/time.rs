//! The clock and the jitter.

use std::time::Duration;

use highwater_core::ports::{Clock, Jitter, Moment};
use highwater_testkit::time::{ScriptedJitter, VirtualClock};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn x_4_an_hour_passes_in_no_time() {
    let clock = VirtualClock::new();
    let wall = clock.wall_micros();
    assert_eq!(clock.now(), Moment::at(Duration::ZERO));
    clock.sleep(HOUR).await;
    assert!(clock.now().since(Moment::at(Duration::ZERO)) >= HOUR, "a sleep ends not before its time");
    assert!(clock.wall_micros() - wall >= 3_600_000_000, "the wall clock goes with it");
    let before = clock.now();
    clock.advance(HOUR).await;
    assert_eq!(clock.now().since(before), HOUR);
}

#[tokio::test(start_paused = true)]
async fn x_4_the_wall_clock_steps_and_the_monotonic_clock_does_not_notice() {
    let clock = VirtualClock::new();
    let (now, wall) = (clock.now(), clock.wall_micros());
    clock.step_wall_back(HOUR);
    assert_eq!((clock.now(), clock.wall_micros()), (now, wall - 3_600_000_000));
    clock.step_wall_forward(HOUR * 2);
    assert_eq!((clock.now(), clock.wall_micros()), (now, wall + 3_600_000_000));
    clock.set_wall_micros(-5);
    clock.advance(Duration::from_micros(7)).await;
    assert_eq!(clock.wall_micros(), 2);
    clock.set_wall_micros(i64::MAX);
    clock.advance(HOUR).await;
    assert_eq!(clock.wall_micros(), i64::MAX, "it saturates");
}

#[tokio::test(start_paused = true)]
async fn x_6_a_sleep_that_is_dropped_ends_at_once() {
    let clock = VirtualClock::new();
    let sleep = tokio::time::timeout(Duration::from_millis(10), clock.sleep(HOUR));
    assert!(sleep.await.is_err());
    assert!(clock.now() < Moment::at(Duration::from_secs(1)));
}

#[test]
fn jitter_replays_its_script_and_then_its_seed() {
    let jitter = ScriptedJitter::replaying([0, u64::MAX, 7], 42);
    assert_eq!([jitter.next_u64(), jitter.next_u64(), jitter.next_u64()], [0, u64::MAX, 7]);
    let plain = ScriptedJitter::seeded(42);
    let numbers: Vec<u64> = (0..1000).map(|_| plain.next_u64()).collect();
    assert_eq!((0..1000).map(|_| jitter.next_u64()).collect::<Vec<_>>(), numbers);
    assert_ne!(ScriptedJitter::seeded(43).next_u64(), numbers[0]);
    let upper_half = numbers.iter().filter(|number| **number > u64::MAX / 2).count();
    assert!((400..600).contains(&upper_half), "{upper_half} of 1000 in the upper half");
    // The published first outputs of splitmix64 from the seed 0.
    let zero = ScriptedJitter::seeded(0);
    assert_eq!([zero.next_u64(), zero.next_u64()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
}

//! kill -9 at any moment of a catch-up: every event arrives, in the order of its stream, and little comes twice.

use std::time::Duration;

use highwater_tests::{LIMIT, Random, Sample, pause, poll};

use super::receiver::Receiver;
use super::{HASTY, flights, report};

/// How many processes die.
const KILLS: usize = 100;
/// How many of them with one lane; the others with four.
const IN_ONE_LANE: usize = 50;
/// What a death in one lane may make come again: `checkpoint_batch_size`, and the event under way. With more lanes it
/// is also what the others did while one was held up.
const AGAIN: usize = 10 + 1;

#[test]
fn b_13_a_hundred_kills_lose_nothing_keep_the_order_and_repeat_little() {
    let receiver = Receiver::start();
    let truth = Sample::Flights.here();
    let handler =
        |lanes: usize| format!("{HASTY}[[handler]]\nname = \"out\"\nlanes = {lanes}\n{}", receiver.sink());
    let (folder, events) = flights(usize::MAX, "");
    folder.configure(&handler(1));
    assert_eq!(i64::try_from(events.len()), Ok(truth.number("events")));
    let mut random = Random::new(0x5EED_0004);
    let mut most_again = 0;
    for kills in 0..KILLS {
        if kills == IN_ONE_LANE {
            folder.configure(&handler(4));
        }
        let (before, came_before) = (receiver.taken(), receiver.came().len());
        let more = 1 + usize::try_from(random.below(60)).expect("small");
        let mut running = folder.spawn(&["run", "--until-caught-up"]);
        poll("more events", LIMIT, || {
            let taken = receiver.taken();
            assert!(
                running.is_running() || taken == events.len(),
                "it ended after {kills} kills: {}",
                running.stderr()
            );
            (taken >= before + more).then_some(())
        });
        pause(Duration::from_micros(random.below(12_000)));
        assert!(running.is_running(), "the log is too short for so many kills: {kills}");
        running.kill();
        // What is still on its way to the receiver belongs to this process.
        pause(Duration::from_millis(5));
        let again = (receiver.came().len() - came_before) - (receiver.taken() - before);
        most_again = most_again.max(again);
        assert!(again <= AGAIN || kills > IN_ONE_LANE, "{again} events came again after {kills} kills");
    }
    println!(
        "at {} of {} events after {KILLS} kills; at most {most_again} came again",
        receiver.taken(),
        events.len()
    );

    let done = folder.json(&["run", "--until-caught-up"]);
    assert_eq!(
        (&report(&done)["outcome"], report(&done)["dead_lettered"].as_u64()),
        (&"caught-up".into(), Some(0))
    );
    receiver.assert_in_order();
    assert_eq!(receiver.taken(), events.len(), "every event, at least once");
    assert_eq!(receiver.digests().1, truth.text("stream_counts_sha256"));
    // An idempotent sink sums up to the published figures.
    let sum = |key: &str| {
        let taken = receiver.first_taken();
        taken.iter().filter_map(|event| event.data[key].as_i64()).sum::<i64>()
    };
    assert_eq!(sum("dep_delay_minutes"), truth.number("sum_dep_delay_minutes"));
    assert_eq!(sum("arr_delay_minutes"), truth.number("sum_arr_delay_minutes"));
    assert_eq!(sum("air_time_minutes"), truth.number("sum_air_time_minutes"));
}

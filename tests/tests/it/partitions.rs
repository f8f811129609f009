//! Projections in partitions, through the binary: the published figures, whatever dies in between.

use std::time::Duration;

use highwater_tests::projections::{AIRCRAFT, RECORDER, TRAFFIC};
use highwater_tests::{BY_HUNDREDS, Database, Folder, LIMIT, Random, Sample, pause, poll};

use crate::data::assert_flights;
use crate::support::{imported, recorded};

/// Every event once, and each stream in its order.
fn assert_in_order(database: &Database, events: u64) {
    let once = "SELECT count(DISTINCT id) FROM handled";
    assert_eq!(u64::try_from(database.number(once)).expect("a count"), events);
    assert_eq!(database.number("SELECT count(*) - count(DISTINCT id) FROM handled"), 0, "twice");
    let inverted = "SELECT count(*) FROM (SELECT sequence, row_number() OVER (PARTITION BY stream ORDER BY nr) - 1 \
                    AS expected FROM handled) WHERE sequence <> expected";
    assert_eq!(database.number(inverted), 0, "within a stream the order is the log's");
    assert_eq!(database.number("SELECT sum(events) FROM stream_events"), database.number(once));
}

#[test]
fn e_10_killed_again_and_again_the_partitions_are_the_whole() {
    let flights = Sample::Flights.here();
    let folder = Folder::with(&format!("{BY_HUNDREDS}partitions = 4\n{RECORDER}{TRAFFIC}{AIRCRAFT}"));
    let events = flights.number("events");
    assert_eq!(imported(&folder.json(&["import", flights.arg()])), (events, 0, 0));
    let mut random = Random::new(0x5EED_0004);
    for _ in 0..10 {
        let before = recorded(&folder);
        let mut running = folder.spawn(&["run"]);
        let wanted = (before + 1 + i64::try_from(random.below(1500)).expect("small")).min(events);
        poll("more events handled", LIMIT, || {
            assert!(running.is_running(), "it ended by itself: {}", running.stderr());
            (recorded(&folder) >= wanted).then_some(())
        });
        pause(Duration::from_micros(random.below(3_000)));
        running.kill();
    }
    let mut running = folder.spawn(&["run"]);
    poll("a line of each partition", LIMIT, || {
        assert!(running.is_running(), "it ended by itself: {}", running.stderr());
        let logged = running.stderr();
        (0..4).all(|n| logged.contains(&format!("\"span\":{{\"partition\":{n},"))).then_some(())
    });
    running.kill();
    let report = folder.json(&["run", "--until-caught-up", "--fail-on-parked"]);
    for projection in report["projections"].as_array().expect("a list") {
        assert_eq!(projection["outcome"], "caught-up", "{projection}");
        let partitions = projection["partitions"].as_array().expect("a list");
        let numbers: Vec<_> = partitions.iter().map(|part| part["partition"].as_u64()).collect();
        assert_eq!(numbers, [0, 1, 2, 3].map(Some), "{projection}");
        assert!(partitions.iter().all(|part| part["outcome"] == "caught-up"), "{projection}");
    }
    let database = folder.database();
    assert_in_order(&database, u64::try_from(events).expect("a count"));
    assert_flights(&database, &flights);
    let states = "SELECT count(*) FROM highwater_projection";
    assert_eq!(database.number(states), 3 * 4, "each partition has its state row");
    for projection in ["recorder", "traffic", "aircraft"] {
        assert_eq!(folder.json(&["wait", projection, "head", "--timeout", "10s"])["outcome"], "reached");
    }
    assert_eq!(folder.json(&["verify", "traffic"])["equal"], true);
}

#[test]
fn e_6_another_number_of_partitions_needs_a_rebuild() {
    let flights = Sample::Flights.here();
    let config = |partitions: u32| format!("[defaults]\npartitions = {partitions}\n{TRAFFIC}{AIRCRAFT}");
    let folder = Folder::with(&config(1));
    folder.json(&["import", flights.arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    folder.configure(&config(3));
    let refused = folder.run(&["run", "--until-caught-up"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let said = format!("{}{}", refused.text(), refused.stderr);
    assert!(said.contains("number of partitions changed") && said.contains("back to 1"), "{said}");
    for projection in ["traffic", "aircraft"] {
        folder.ok(&["rebuild", projection, "--yes"]);
    }
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_flights(&folder.database(), &flights);
}

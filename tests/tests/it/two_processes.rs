//! Two processes with one config: one works, the other stands by and takes over.

use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater_tests::projections::{RECORDER, slow};
use highwater_tests::{BY_HUNDREDS, CLOCK, Checked, Folder, LIMIT, Running, Sample, poll};
use serde_json::Value;

use crate::support::{recorded, status};

/// What is promised.
const TAKEOVER: Duration = Duration::from_secs(1);
/// What the machine may add: two cores that other tests use, too.
const MARGIN: Duration = Duration::from_secs(1);

fn about<'t>(text: &'t str, projection: &'t str) -> impl Fn(&Value) -> bool + 't {
    move |line| {
        line["projection"] == projection && line["message"].as_str().is_some_and(|said| said.contains(text))
    }
}

/// A folder with the flights in its log, and a process that is applying them.
fn working(steps: u32) -> (Folder, Running) {
    let folder = Folder::with(&format!("{BY_HUNDREDS}{}", slow(RECORDER, steps)));
    folder.ok(&["import", Sample::Flights.here().arg()]);
    let mut first = folder.spawn(&["run"]);
    poll("the first batches", LIMIT, || {
        assert!(first.is_running(), "{}", first.stderr());
        (recorded(&folder) > 0).then_some(())
    });
    (folder, first)
}

#[test]
fn e_11_the_other_process_stands_by_and_takes_over_within_a_second() {
    let (folder, first) = working(80_000);
    let mut second = folder.spawn(&["run"]);
    second.logs("it stands by", LIMIT, about("standing by", "recorder"));
    assert!(!second.log().iter().any(about("started", "recorder")), "there is one owner");
    let stands = status(&folder, "recorder");
    assert!(stands.owner.is_some(), "status says that somebody has it: {:?}", stands.all);
    assert!(recorded(&folder) < 12_107, "the first one is not done");

    let epoch = stands.epoch;
    let killed = CLOCK.now();
    let at_kill = {
        first.kill();
        recorded(&folder)
    };
    second.logs("it takes over", LIMIT, about("started", "recorder"));
    poll("a commit of the second", LIMIT, || (recorded(&folder) > at_kill).then_some(()));
    let took = CLOCK.now().since(killed);
    println!("from the kill to the first commit of the other: {took:?}");
    assert!(took < TAKEOVER + MARGIN, "the takeover took {took:?}");
    assert!(status(&folder, "recorder").epoch > epoch, "E-12: the epoch rises with the owner");

    // What is left is applied by the second alone.
    folder.ok(&["wait", "recorder", "head", "--timeout", "100s"]);
    second.signal("TERM");
    assert_eq!(second.wait(LIMIT).code, Some(0));
    let flights = Sample::Flights.here();
    assert_eq!(Checked::read(&folder.database()).ids, flights.text("ids_sha256"));
}

#[test]
fn e_11_a_live_owner_that_is_caught_up_hands_over_new_events_too() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    let mut first = folder.spawn(&["run"]);
    first.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    let mut second = folder.spawn(&["run"]);
    second.logs("it stands by", LIMIT, about("standing by", "recorder"));
    first.kill();
    folder.ok(&["append", "--stream", "late-1", "--type", "Late", "--data", "{}"]);
    poll("the new event", LIMIT, || (recorded(&folder) == 727).then_some(()));
    second.signal("TERM");
    assert_eq!(second.wait(LIMIT).code, Some(0));
}

#[test]
fn g_until_caught_up_beside_a_live_owner_is_busy() {
    let (folder, mut first) = working(80_000);
    let output = folder.exits(5, &["run", "--until-caught-up"]);
    output.says(&["recorder"]);
    assert!(first.is_running(), "the owner is not disturbed");
    let output = folder.exits(5, &["rebuild", "recorder", "--yes"]);
    output.says(&["recorder"]);
    let before = recorded(&folder);
    poll("the owner goes on", LIMIT, || (recorded(&folder) > before).then_some(()));
    first.signal("TERM");
    assert_eq!(first.wait(LIMIT).code, Some(0));
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(Checked::read(&folder.database()).ids, Sample::Flights.here().text("ids_sha256"));
}

#[test]
fn e_1_two_importers_and_a_running_projection_pass_nothing_over() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["migrate"]);
    let mut runner = folder.spawn(&["run"]);
    runner.logs("it started", LIMIT, about("started", "recorder"));
    let (flights, webhooks) = (Sample::Flights.here(), Sample::Webhooks.here());
    let imports = [
        folder.spawn(&["import", flights.arg(), "--batch", "50"]),
        folder.spawn(&["import", webhooks.arg(), "--batch", "3"]),
    ];
    for import in imports {
        let output = import.wait(LIMIT);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }
    folder.ok(&["wait", "recorder", "head"]);
    runner.signal("TERM");
    assert_eq!(runner.wait(LIMIT).code, Some(0));
    let found = Checked::read(&folder.database());
    assert_eq!(found.events, 12_107 + 726);
    let database = folder.database();
    let missed = "SELECT count(*) FROM highwater_event e WHERE NOT EXISTS
                  (SELECT 1 FROM handled h WHERE h.position = e.position AND h.\"offset\" = e.\"offset\")";
    assert_eq!(database.number(missed), 0);
    let inverted = "SELECT count(*) FROM (SELECT sequence - lag(sequence, 1, -1)
                    OVER (PARTITION BY stream ORDER BY nr) AS step FROM handled) WHERE step <> 1";
    assert_eq!(database.number(inverted), 0, "each stream in its order");
}

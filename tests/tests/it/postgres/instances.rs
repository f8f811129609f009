//! Several processes with one config: one owner for each projection, the others stand by; and they wake each other.

use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater_tests::postgres::Place;
use highwater_tests::projections::{AIRCRAFT, PG_RECORDER, TRAFFIC};
use highwater_tests::{BY_HUNDREDS, CLOCK, LIMIT, Sample, poll};

use super::kit::{about, assert_recorder_has_the_log, owner, recorded, terminate};
use crate::data::assert_flights;
use crate::support::status;

/// What is woken comes at once; this is far more, and far less than any poll.
const WOKEN: Duration = Duration::from_secs(5);
/// Nobody polls in the time of a test: what arrives was woken.
const NO_POLL: &str = "[defaults]\npoll_interval = \"10m\"\n";

#[test]
fn e_11_three_instances_share_the_projections_with_one_owner_each() {
    let Some(place) = Place::new() else { return };
    let flights = Sample::Flights.here();
    let folder = place.folder(&format!("{BY_HUNDREDS}{PG_RECORDER}{TRAFFIC}{AIRCRAFT}"));
    folder.ok(&["migrate"]);
    let mut processes: Vec<_> = (0..3).map(|_| folder.spawn(&["run"])).collect();
    let projections = ["recorder", "traffic", "aircraft"];
    for process in &mut processes {
        for projection in projections {
            process.logs("it takes part", LIMIT, |line| {
                about("started", projection)(line) || about("standing by", projection)(line)
            });
        }
    }
    folder.ok(&["import", flights.arg()]);
    for projection in projections {
        folder.ok(&["wait", projection, "head"]);
        let owner = owner(&folder, &processes, projection);
        let started: Vec<_> =
            processes.iter().map(|p| p.log().iter().any(about("started", projection))).collect();
        let one: Vec<_> = (0..3).map(|process| process == owner).collect();
        assert_eq!(started, one, "{projection}: the one that `status` names, and nobody else");
        assert_eq!(status(&folder, projection).epoch, 1);
    }
    processes.into_iter().for_each(terminate);
    for projection in projections {
        assert_eq!(status(&folder, projection).owner, None);
    }
    let session = place.session();
    assert_recorder_has_the_log(&place, &session);
    assert_flights(&session, &flights);
}

#[test]
fn e_13_wait_returns_with_the_commit_of_another_process() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&format!("{NO_POLL}{PG_RECORDER}"));
    folder.ok(&["migrate"]);
    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    let session = place.session();
    for number in 1..=5_i64 {
        let position = format!("{number}:0");
        let waits = folder.spawn(&["wait", "recorder", &position, "--timeout", "50s", "--json"]);
        let appended = folder.json(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
        assert_eq!(appended["position"], position.as_str());
        let begun = CLOCK.now();
        let waited = waits.wait(LIMIT);
        let took = CLOCK.now().since(begun);
        assert_eq!(waited.code, Some(0), "{}", waited.stderr);
        assert_eq!(waited.json()["outcome"], "reached");
        assert_eq!(recorded(&session), number, "read your own writes");
        assert!(took < WOKEN, "nobody polls, and it took {took:?}");
    }
    terminate(running);
}

#[test]
fn an_append_wakes_the_projection_without_its_poll() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&format!("{NO_POLL}{PG_RECORDER}"));
    folder.ok(&["migrate"]);
    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    let session = place.session();
    for number in 1..=5 {
        folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
        poll("the event", WOKEN, || (recorded(&session) == number).then_some(()));
    }
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    poll("the import", WOKEN * 2, || (recorded(&session) == 5 + 726).then_some(()));
    // Through a connection that was lost meanwhile: it looks once when it is back, and hears again.
    let ours = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE query LIKE '%{}%' AND pid <> pg_backend_pid()",
        place.schema()
    );
    assert!(session.number(&ours) > 0, "it had connections");
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    poll("the event", WOKEN * 2, || (recorded(&session) == 6 + 726).then_some(()));
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    poll("the event", WOKEN * 2, || (recorded(&session) == 7 + 726).then_some(()));
    terminate(running);
}

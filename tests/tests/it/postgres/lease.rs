//! The binary behind a connection pooler in transaction mode: owners are rows that run out, and nothing is left in a
//! session of the server.

use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater_tests::postgres::{Place, Session};
use highwater_tests::{CLOCK, Folder, LIMIT, Running, Sample, poll};

use super::kit::{
    about, assert_recorder_stands_at_its_state, assert_whole, at_work, owner, recorded, stand_by, stands,
    terminate,
};
use crate::support::status;

/// How long a lease lasts here.
const TERM: &str = "3s";
/// By when a stand-by has one that has run out: the rest of it, a question a second, and what a busy machine adds.
const FOLLOWED: Duration = Duration::from_secs(12);

/// Batches of a hundred flights that take a while each, owned by lease.
fn by_lease() -> Option<(Place, Folder)> {
    let place = Place::new()?;
    let keys = format!("ownership = \"lease\"\nlease_term = \"{TERM}\"\nmax_connections = 3\n");
    let folder = Folder::with_log(&format!("{}{keys}", place.table("log")), &at_work());
    folder.ok(&["import", Sample::Flights.here().arg()]);
    Some((place, folder))
}

/// The process is killed in the middle of its work; how long it takes until the other one has committed a batch.
fn killed(place: &Place, session: &Session, owner: Running) -> Duration {
    let (epoch, _) = stands(place, session, "recorder");
    let begun = CLOCK.now();
    owner.kill();
    let at = poll("another owner", LIMIT, || {
        let (now, at) = stands(place, session, "recorder");
        (now > epoch).then_some(at)
    });
    poll("its first commit", LIMIT, || (stands(place, session, "recorder").1 > at).then_some(()));
    CLOCK.now().since(begun)
}

#[test]
fn e_11_after_kill_9_another_takes_the_lease_over_and_applies_each_event_once() {
    let Some((place, folder)) = by_lease() else { return };
    let session = place.session();
    let mut first = folder.spawn(&["run"]);
    poll("the first batches", LIMIT, || (recorded(&session) > 0).then_some(()));
    first.logs("it owns it", LIMIT, about("started", "recorder"));
    let mut second = stand_by(&folder);
    let leases = place.sql("SELECT count(*) FROM highwater.lease WHERE expires_at > clock_timestamp()");
    for _ in 0..2 {
        assert_eq!(owner(&folder, std::slice::from_ref(&first), "recorder"), 0);
        assert_eq!(session.number(&leases), 1, "a row, and no lock of a session");
        let took = killed(&place, &session, first);
        println!("from kill -9 to the first commit of the other: {took:?}");
        assert!(took < FOLLOWED, "the takeover took {took:?}");
        assert_recorder_stands_at_its_state(&place, &session);
        (first, second) = (second, stand_by(&folder));
    }
    terminate(second);
    terminate(first);
    assert_eq!(session.number(&leases), 0, "given up in order");
    assert_eq!(status(&folder, "recorder").owner, None);
    assert_whole(&place, &folder, &session);
}

#[test]
fn what_needs_a_session_of_its_own_is_refused_with_leases_and_all_else_works() {
    let Some((place, folder)) = by_lease() else { return };
    folder.configure(highwater_tests::projections::PG_RECORDER);
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    folder.exits(2, &["verify", "recorder"]).says(&["ownership by session"]);
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    let running = folder.spawn(&["run"]);
    folder.ok(&["wait", "recorder", "head"]);
    let holders = place.sql("SELECT count(*) FROM highwater.holders(ARRAY['recorder'])");
    assert!(status(&folder, "recorder").owner.is_some());
    assert_eq!(place.session().number(&holders), 0, "no session holds a lock for it");
    folder.exits(5, &["rebuild", "recorder", "--yes"]);
    folder.ok(&["pause", "recorder"]);
    folder.ok(&["resume", "recorder"]);
    terminate(running);
    assert_eq!(recorded(&place.session()), 12_108);
    assert_eq!(folder.json(&["rebuild", "recorder", "--yes"])["generation"], 2);
    let shown = folder.ok(&["config", "show"]).text();
    for row in ["log.ownership", "lease", "log.lease_term", TERM, "log.max_connections"] {
        assert!(shown.contains(row), "{row} is not shown:\n{shown}");
    }
}

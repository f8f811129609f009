//! Waiting, from another process, for what became of a position (E-13).

use highwater_tests::postgres::Place;
use highwater_tests::projections::{PG_RECORDER, beginning_with};
use highwater_tests::{Folder, LIMIT, poll};

use crate::operate::{book_config, import_poison, mend};
use crate::postgres::kit::{about, assert_recorder_has_the_streams, recorded, terminate};

const PARTITIONS: i64 = 3;

/// How `wait` ends, and what it says.
fn wait(folder: &Folder, projection: &str, position: &str, timeout: &str) -> (Option<i32>, String) {
    let output = folder.run(&["wait", projection, position, "--timeout", timeout, "--json"]);
    (output.code, output.json()["outcome"].as_str().expect("an outcome").to_owned())
}

#[test]
fn e_13_wait_tells_a_parked_event_from_one_that_was_applied() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&book_config("park-stream"));
    import_poison(&folder);
    let mut running = folder.spawn(&["run"]);
    running.logs("it has begun", LIMIT, about("started", "book"));
    let said = |code, outcome: &str| (Some(code), outcome.to_owned());
    // The second event of account-b is bad, and the others of its stream are held behind it.
    for (position, expected) in [
        ("12:0", said(0, "reached")),
        ("4:0", said(0, "reached")),
        ("5:0", said(6, "parked")),
        ("6:0", said(0, "reached")),
        ("8:0", said(6, "parked")),
        ("11:0", said(6, "parked")),
        ("99:0", said(1, "timed-out")),
    ] {
        let timeout = if position == "99:0" { "1s" } else { "60s" };
        assert_eq!(wait(&folder, "book", position, timeout), expected, "{position}");
    }
    terminate(running);
    mend(&folder, "park-stream");
    let running = folder.spawn(&["run", "--accept", "book"]);
    folder.ok(&["dead-letters", "retry", "book", "--all"]);
    poll("the letters are applied", LIMIT, || {
        (wait(&folder, "book", "11:0", "60s") == said(0, "reached")).then_some(())
    });
    terminate(running);
}

#[test]
fn e_13_wait_waits_for_the_slowest_partition_whichever_process_has_it() {
    let Some(place) = Place::new() else { return };
    let session = place.session();
    // Whoever has the stream `slow-1` in a batch waits for the test.
    let gate = session.number("SELECT (random() * 1000000000)::bigint");
    let stuck = format!(
        "SELECT CASE WHEN EXISTS (SELECT FROM events WHERE stream = 'slow-1') THEN pg_advisory_xact_lock({gate}) END"
    );
    let slow = beginning_with(PG_RECORDER, &stuck);
    let folder =
        place.folder(&format!("[defaults]\npartitions = {PARTITIONS}\npoll_interval = \"50ms\"\n{slow}"));
    folder.ok(&["migrate"]);
    let holder = place.session();
    holder.run(&format!("SELECT pg_advisory_lock({gate})"));
    let processes: Vec<_> = (0..2).map(|_| folder.spawn(&["run"])).collect();
    let at_head = |head: i64| {
        let sql = format!("SELECT count(*) FROM highwater.projection WHERE scanned >= {head}");
        session.try_number(&place.sql(&sql)).unwrap_or(0)
    };
    folder.ok(&["append", "-s", "slow-1", "-t", "T", "-d", "1"]);
    for stream in 0..12 {
        folder.ok(&["append", "-s", &format!("s-{stream}"), "-t", "T", "-d", "1"]);
    }
    poll("all partitions but one", LIMIT, || (at_head(13) == PARTITIONS - 1).then_some(()));
    assert_eq!(wait(&folder, "recorder", "head", "500ms"), (Some(1), "timed-out".to_owned()));
    assert_eq!(wait(&folder, "recorder", "1:0", "500ms"), (Some(1), "timed-out".to_owned()));
    let waits = folder.spawn(&["wait", "recorder", "head", "--timeout", "60s", "--json"]);
    holder.run("SELECT pg_advisory_unlock_all()");
    let output = waits.wait(LIMIT);
    assert_eq!(
        (output.code, output.json()["outcome"].as_str()),
        (Some(0), Some("reached")),
        "{}",
        output.stderr
    );
    assert_eq!(recorded(&session), 13, "all of them, when it returns");
    assert_eq!(at_head(13), PARTITIONS);
    processes.into_iter().for_each(terminate);
    assert_recorder_has_the_streams(&place, &session);
}

//! A projection that runs in another process: watched, waited for, paused.

use highwater_tests::projections::{RECORDER, slow};
use highwater_tests::{BY_HUNDREDS, Checked, Folder, LIMIT, Sample, poll};

use super::terminate;
use crate::support::{recorded, status};

#[test]
fn pause_and_resume_work_across_processes() {
    let folder = Folder::with(&format!("{BY_HUNDREDS}{}", slow(RECORDER, 60_000)));
    let flights = Sample::Flights.here();
    folder.ok(&["import", flights.arg()]);
    let running = folder.spawn(&["run"]);
    poll("the first batches", LIMIT, || (recorded(&folder) > 0).then_some(()));
    assert_eq!(folder.json(&["pause", "recorder"])["changed"], true);
    let at = recorded(&folder);
    assert_eq!(folder.json(&["pause", "recorder"])["changed"], false);
    let waited = folder.exits(1, &["wait", "recorder", "head", "--timeout", "20s", "--json"]);
    assert_eq!(waited.json()["outcome"], "paused");
    let stands = status(&folder, "recorder");
    assert_eq!(stands.phase, "paused");
    assert_eq!(recorded(&folder), at, "no batch commits after `pause` has returned");
    assert!(at < 12_107);
    let timed_out = "--timeout";
    folder.json(&["resume", "recorder"]);
    let waited = folder.exits(1, &["wait", "recorder", "head", timed_out, "1ms", "--json"]);
    assert_eq!(waited.json()["outcome"], "timed-out");
    let waited = folder.json(&["wait", "recorder", "head", timed_out, "100s"]);
    assert_eq!(waited["outcome"], "reached");
    terminate(running);
    assert_eq!(Checked::read(&folder.database()).ids, flights.text("ids_sha256"));
    // A paused projection has nothing to do, whoever runs it.
    folder.ok(&["pause", "recorder"]);
    folder.ok(&["append", "--stream", "s-1", "--type", "T", "--data", "1"]);
    let before = recorded(&folder);
    folder.exits(1, &["run", "--until-caught-up"]);
    assert_eq!(recorded(&folder), before);
    folder.ok(&["resume", "recorder"]);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(recorded(&folder), before + 1);
}

#[test]
fn e_13_wait_sees_what_another_process_commits() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["migrate"]);
    let mut running = folder.spawn(&["run"]);
    running.logs("it started", LIMIT, |line| line["message"] == "started");
    for number in 0..10 {
        let appended = folder.json(&["append", "-s", "s-1", "-t", "T", "-d", &number.to_string()]);
        let position = appended["position"].as_str().expect("a position").to_owned();
        let waited = folder.json(&["wait", "recorder", &position, "--timeout", "20s"]);
        assert_eq!(waited["outcome"], "reached");
        assert_eq!(recorded(&folder), number + 1, "read your own writes");
    }
    terminate(running);
}

#[test]
fn e_25_status_says_where_each_projection_stands() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    let stands = status(&folder, "recorder");
    assert_eq!((stands.phase.as_str(), stands.position.as_deref()), ("not-started", None));
    assert_eq!(stands.all["lag_events"], 726);
    assert!(stands.all["lag_seconds"].as_u64() > Some(0), "{}", stands.all);
    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, |line| line["message"] == "caught up");
    let stands = status(&folder, "recorder");
    assert_eq!(stands.phase, "live");
    assert_eq!(stands.position, stands.head);
    assert!(stands.owner.is_some() && stands.epoch == 1 && stands.generation == 1, "{}", stands.all);
    for lag in ["lag_events", "lag_positions", "lag_seconds"] {
        assert_eq!(stands.all[lag], 0, "{lag}: caught up is no lag, however old the last event is");
    }
    terminate(running);
    let stands = status(&folder, "recorder");
    assert_eq!((stands.phase.as_str(), stands.owner), ("stopped", None));
    assert!(folder.ok(&["status"]).text().contains("recorder"));
}

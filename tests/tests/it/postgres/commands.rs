//! Commands that reach into the processes that run: pause and resume, retries, letters, rebuilds, comparisons.

use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater_tests::postgres::{OwnCluster, Place};
use highwater_tests::projections::{AIRCRAFT, PG_RECORDER};
use highwater_tests::{CLOCK, Checked, Folder, LIMIT, Random, Sample, Tables as _, pause, poll};
use serde_json::Value;

use super::kit::{
    about, assert_recorder_has_the_log, assert_whole, owner, owner_among, owner_and_stand_by, recorded,
    stands, terminate, working,
};
use super::probe::{Probe, SERVED};
use crate::operate::{book_config, import_poison, mend};
use crate::support::{dead_letters, status};

/// Nobody polls in the time of a test: what arrives was woken.
const NO_POLL: &str = "[defaults]\npoll_interval = \"10m\"\n";

#[test]
fn pause_and_resume_reach_into_the_process_that_runs() {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let (first, second) = owner_and_stand_by(&folder, &session);
    assert_eq!(folder.json(&["pause", "recorder"])["changed"], true);
    let at = recorded(&session);
    assert_eq!(folder.json(&["pause", "recorder"])["changed"], false);
    let waited = folder.exits(1, &["wait", "recorder", "head", "--timeout", "20s", "--json"]);
    assert_eq!(waited.json()["outcome"], "paused");
    assert_eq!(status(&folder, "recorder").phase, "paused");
    assert_eq!(recorded(&session), at, "no batch commits after `pause` has returned");
    assert!(at < 12_107);
    // The pause belongs to the projection, and not to its owner.
    let epoch = stands(&place, &session, "recorder").0;
    terminate(first);
    poll("the next owner", LIMIT, || (stands(&place, &session, "recorder").0 > epoch).then_some(()));
    assert_eq!(recorded(&session), at);
    folder.json(&["resume", "recorder"]);
    let waited = folder.exits(1, &["wait", "recorder", "head", "--timeout", "1ms", "--json"]);
    assert_eq!(waited.json()["outcome"], "timed-out");
    poll("it goes on", LIMIT, || (recorded(&session) > at).then_some(()));
    terminate(second);
    assert_whole(&place, &folder, &session);
}

/// A place with the account book, run to the end: two events are parked.
fn parked() -> Option<(Place, Folder)> {
    let place = Place::new()?;
    let folder = place.folder(&format!("{NO_POLL}{}", book_config("retry-in-order")));
    import_poison(&folder);
    folder.ok(&["run", "--until-caught-up"]);
    assert_eq!(dead_letters(&folder, "book").len(), 2);
    Some((place, folder))
}

#[test]
fn e_18_a_retry_is_seen_by_the_process_that_runs() {
    let Some((place, folder)) = parked() else { return };
    let session = place.session();
    let booked = || session.number("SELECT count(*) FROM book");
    assert_eq!(booked(), 10);
    mend(&folder, "retry-in-order");
    let running = folder.spawn(&["run", "--accept", "book"]);
    let processes = [running];
    owner(&folder, &processes, "book");
    assert_eq!(folder.json(&["dead-letters", "retry", "book", "--all"])["marked"], 2);
    poll("the retries", LIMIT, || (booked() == 12).then_some(()));
    poll("the letters", LIMIT, || dead_letters(&folder, "book").is_empty().then_some(()));
    processes.into_iter().for_each(terminate);
}

#[test]
fn e_18_a_letter_can_be_given_up_while_another_process_runs() {
    let Some((place, folder)) = parked() else { return };
    let processes = [folder.spawn(&["run"])];
    owner(&folder, &processes, "book");
    let discarded = folder.json(&["dead-letters", "discard", "book", "--all", "--yes"]);
    assert_eq!(discarded["discarded"], 2);
    assert!(dead_letters(&folder, "book").is_empty());
    assert_eq!(place.session().number("SELECT count(*) FROM book"), 10);
    processes.into_iter().for_each(terminate);
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
}

#[test]
fn e_24_rebuild_is_refused_while_somebody_runs() {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let (first, second) = owner_and_stand_by(&folder, &session);
    folder.exits(5, &["rebuild", "recorder", "--yes"]).says(&["recorder"]);
    folder.exits(5, &["run", "--until-caught-up"]).says(&["recorder"]);
    let at = recorded(&session);
    poll("the owner is not disturbed", LIMIT, || (recorded(&session) > at).then_some(()));
    assert_eq!(stands(&place, &session, "recorder").0, 1);
    terminate(second);
    terminate(first);
    assert_eq!(folder.json(&["rebuild", "recorder", "--yes"])["generation"], 2);
    assert_eq!(recorded(&session), 0);
    assert_whole(&place, &folder, &session);
}

#[test]
fn e_24_a_rebuild_that_is_killed_has_happened_or_not() {
    let Some(place) = Place::new() else { return };
    let flights = Sample::Flights.here();
    let folder = place.folder(PG_RECORDER);
    folder.ok(&["import", flights.arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    let session = place.session();
    let generation = || {
        let sql = "SELECT generation::bigint FROM highwater.projection WHERE name = 'recorder'";
        session.number(&place.sql(sql))
    };

    // It waits for a reader of the table that it is to empty, and dies there.
    let reader = place.session();
    reader.run("BEGIN; LOCK TABLE handled IN ACCESS SHARE MODE");
    let rebuild = folder.spawn(&["rebuild", "recorder", "--yes"]);
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'handled'::regclass AND NOT granted";
    let waiting = poll("the rebuild waits, or needs not to", LIMIT, || {
        (session.number(waits) > 0).then_some(true).or_else(|| (generation() == 2).then_some(false))
    });
    println!("the rebuild waited for a reader: {waiting}");
    if waiting {
        rebuild.kill();
        reader.run("COMMIT");
        // Whatever it had begun is rolled back when the server notices.
        poll("its end", LIMIT, || (session.number(waits) == 0).then_some(()));
        assert_eq!((generation(), recorded(&session)), (1, 12_107), "the old state");
    } else {
        assert_eq!(rebuild.wait(LIMIT).code, Some(0));
        reader.run("COMMIT");
        folder.ok(&["run", "--until-caught-up"]);
    }

    let mut random = Random::new(0x5EED_0012);
    let begun = CLOCK.now();
    folder.ok(&["rebuild", "recorder", "--yes"]);
    let whole = u64::try_from(CLOCK.now().since(begun).as_micros()).expect("a short time");
    folder.ok(&["run", "--until-caught-up"]);
    let (mut before, mut happened) = (generation(), 0);
    for kills in 0..12 {
        let rebuild = folder.spawn(&["rebuild", "recorder", "--yes"]);
        match kills {
            // The moment that it has happened.
            0 => poll("a rebuild", LIMIT, || (generation() > before).then_some(())),
            _ => pause(Duration::from_micros(random.below(whole * 5 / 4))),
        }
        rebuild.kill();
        // The server may still be at it: the state row says when it is done, since it is locked until then.
        let lock = "BEGIN; SELECT FROM highwater.projection FOR UPDATE; COMMIT";
        session.run(&place.sql(lock));
        let both = "SELECT generation || ' ' || (SELECT count(*) FROM handled) FROM highwater.projection";
        let both = session.texts(&place.sql(both)).remove(0);
        if both == format!("{before} 12107") {
            continue;
        }
        assert_eq!(both, format!("{} 0", before + 1), "as a whole");
        (before, happened) = (before + 1, happened + 1);
        folder.ok(&["run", "--until-caught-up"]);
    }
    println!("of 12 that were killed, {happened} had happened");
    assert!(happened > 0, "one was killed after it had happened");
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(Checked::read(&session).ids, flights.text("ids_sha256"));
}

#[test]
fn e_26_verify_finds_what_somebody_changed_and_refuses_beside_an_owner() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&format!("{PG_RECORDER}{AIRCRAFT}"));
    folder.ok(&["import", Sample::Flights.here().arg()]);
    folder.ok(&["run", "--until-caught-up"]);
    for projection in ["recorder", "aircraft"] {
        let equal = folder.json(&["verify", projection]);
        assert_eq!(
            (equal["equal"].as_bool(), equal["through"].as_str()),
            (Some(true), Some("12107:0")),
            "{equal}"
        );
    }
    let session = place.session();
    session.run("UPDATE stream_events SET events = events + 1 WHERE stream = 'case-N14542'");
    let output = folder.exits(1, &["verify", "recorder", "--json"]);
    let found = output.json();
    assert_eq!(found["equal"], false);
    assert!(output.text().contains("case-N14542") && output.text().contains("35"), "{found}");
    assert_eq!(recorded(&session), 12_107, "verify computes beside, not in, the read model");
    folder.ok(&["verify", "recorder", "--ignore", "events"]);
    folder.ok(&["verify", "aircraft"]);

    let processes = [folder.spawn(&["run"])];
    owner(&folder, &processes, "aircraft");
    folder.exits(5, &["verify", "aircraft"]).says(&["aircraft", "pause"]);
    assert_eq!(owner_among(&folder, &processes, "aircraft"), Some(0), "the owner is not disturbed");
    folder.ok(&["pause", "aircraft"]);
    folder.ok(&["verify", "aircraft"]);
    folder.ok(&["resume", "aircraft"]);
    processes.into_iter().for_each(terminate);
}

const HELD_BACK: &str = "highwater_log_held_back_seconds";
const COLLISIONS: &str = "highwater_lock_key_collisions_total";

#[test]
fn e_25_status_and_metrics_name_who_holds_readers_back() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&format!("{SERVED}{PG_RECORDER}"));
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    let mut running = folder.spawn(&["run"]);
    let probe = Probe::of(&mut running);
    let session = place.session();
    poll("the first event", LIMIT, || (recorded(&session) == 1).then_some(()));
    assert!(probe.metric(HELD_BACK) < f64::EPSILON);
    assert_eq!(folder.json(&["status"])["held_back"], Value::Null);

    let appender = place.session();
    let append =
        r#"SET application_name = 'billing'; BEGIN; SELECT highwater.append('late', '{"type": "A"}')"#;
    appender.run(&place.sql(append));
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "2"]);
    let held = &folder.json(&["status"])["held_back"];
    assert_eq!(held["position"], "1:0");
    let holder = format!("server process {} (billing)", appender.pid());
    assert_eq!((held["holder"].as_str(), held["age_seconds"].is_u64()), (Some(holder.as_str()), true));
    let text = folder.ok(&["status"]).text();
    assert!(text.contains(&holder) && text.contains("lag does not count them"), "{text}");
    let first = probe.metric(HELD_BACK);
    assert!(first > 0.0, "{first}");
    poll("it grows", LIMIT, || (probe.metric(HELD_BACK) > first + 0.5).then_some(()));
    // A prober is told, and no projection is at fault.
    for path in ["/health/ready", "/health/ready?max_lag_seconds=1000", "/health/lag"] {
        let (status, body) = poll("it is said", LIMIT, || {
            Some(probe.json(path)).filter(|(_, body)| body.get("held_back").is_some())
        });
        assert_eq!((status, &body["ok"]), (200, &Value::Bool(true)), "{body}");
        let held = &body["held_back"];
        assert_eq!(
            (held["position"].as_str(), held["holder"].as_str()),
            (Some("1:0"), Some(holder.as_str()))
        );
        assert!(held["seconds"].as_u64() >= Some(5), "not worth a line before: {held}");
    }
    assert_eq!(recorded(&session), 1);

    appender.run("COMMIT");
    poll("nobody is held back", LIMIT, || {
        probe.json("/health/ready").1.get("held_back").is_none().then_some(())
    });
    assert!(probe.metric(HELD_BACK) < f64::EPSILON);
    poll("the events", LIMIT, || (recorded(&session) == 3).then_some(()));
    terminate(running);
    assert_recorder_has_the_log(&place, &session);
}

#[test]
fn e_25_who_is_not_told_how_long_counts_from_what_it_has_seen() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    cluster.session().run("CREATE ROLE runner LOGIN; GRANT CREATE ON DATABASE postgres TO runner");
    let place = Place::on(&cluster.url_of("runner", "postgres"));
    let folder = place.folder(&format!("{SERVED}{PG_RECORDER}"));
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    let mut running = folder.spawn(&["run"]);
    let probe = Probe::of(&mut running);
    let appender = cluster.session();
    appender.run(&place.sql(r#"BEGIN; SELECT highwater.append('late', '{"type": "A"}')"#));
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "2"]);
    let held = &folder.json(&["status"])["held_back"];
    assert_eq!(
        (&held["age_seconds"], held["position"].as_str()),
        (&Value::Null, Some("1:0")),
        "another role's"
    );
    let first = probe.metric(HELD_BACK);
    assert!(first > 0.0, "{first}");
    poll("it grows all the same", LIMIT, || (probe.metric(HELD_BACK) > first + 1.5).then_some(()));
    poll("it is said", LIMIT, || probe.json("/health/ready").1.get("held_back").is_some().then_some(()));
    appender.run("ROLLBACK");
    poll("nobody is held back", LIMIT, || (probe.metric(HELD_BACK) == 0.0).then_some(()));
    terminate(running);
}

#[test]
fn e_11_a_lock_key_that_somebody_else_holds_is_counted_and_changes_nothing() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&format!("{SERVED}{PG_RECORDER}"));
    folder.ok(&["migrate"]);
    let mut running = folder.spawn(&["run"]);
    let probe = Probe::of(&mut running);
    running.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    assert!(probe.metric(COLLISIONS) < f64::EPSILON);
    // As another text would that has the same hash.
    let other = place.session();
    let key = format!("highwater batch {} recorder v1", place.schema());
    other.run(&format!("SELECT pg_advisory_lock(hashtextextended('{key}', 0))"));
    for number in ["1", "2"] {
        folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", number]);
        folder.ok(&["wait", "recorder", "head"]);
    }
    assert!(probe.metric(COLLISIONS) >= 1.0);
    let said =
        |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("a collision of keys"));
    running.logs("it is said", LIMIT, said);
    assert_eq!(running.log().iter().filter(|line| said(line)).count(), 1, "once");
    other.run("SELECT pg_advisory_unlock_all()");
    terminate(running);
    assert_recorder_has_the_log(&place, &place.session());
}

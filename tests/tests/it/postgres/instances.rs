//! Several processes with one config: one owner for each projection, the others stand by and take over; and
//! commands that reach into the processes that run.

use std::time::Duration;

use highwater::core::ports::Clock as _;
use highwater_tests::postgres::{Place, Proxy, Session};
use highwater_tests::projections::{AIRCRAFT, PG_RECORDER, TRAFFIC, beginning_with};
use highwater_tests::{
    BY_HUNDREDS, CLOCK, Checked, Folder, LIMIT, Random, Running, Sample, Tables as _, pause, poll,
};

use super::kit::{
    about, assert_recorder_has_the_log, assert_recorder_stands_at_its_state, in_a_batch, owner, owner_among,
    recorded, stands, terminate,
};
use crate::data::assert_flights;
use crate::operate::{book_config, import_poison, mend};
use crate::support::{dead_letters, status};

/// What is promised for an owner that is gone, or stands still.
const TAKEOVER: Duration = Duration::from_secs(2);
/// What the machine may add: two cores that other tests use, too.
const MARGIN: Duration = Duration::from_secs(1);
/// Nobody polls in the time of a test: what arrives was woken.
const NO_POLL: &str = "[defaults]\npoll_interval = \"10m\"\n";

/// Batches of a hundred flights that take a while each.
fn working() -> Option<(Place, Folder)> {
    let place = Place::new()?;
    let slow = beginning_with(PG_RECORDER, "SELECT pg_sleep(0.1)");
    let folder = place.folder(&format!("{BY_HUNDREDS}{slow}"));
    folder.ok(&["import", Sample::Flights.here().arg()]);
    Some((place, folder))
}

/// A process that applies, and one that stands by.
fn owner_and_stand_by(folder: &Folder, session: &Session) -> (Running, Running) {
    let mut first = folder.spawn(&["run"]);
    poll("the first batches", LIMIT, || {
        assert!(first.is_running(), "{}", first.stderr());
        (recorded(session) > 0).then_some(())
    });
    let mut second = folder.spawn(&["run"]);
    second.logs("it stands by", LIMIT, about("standing by", "recorder"));
    (first, second)
}

/// How long it takes until another owner has committed a batch.
fn taken_over(place: &Place, session: &Session, end: impl FnOnce()) -> Duration {
    let (epoch, _) = stands(place, session, "recorder");
    let begun = CLOCK.now();
    end();
    let at = poll("another owner", LIMIT, || {
        let (now, at) = stands(place, session, "recorder");
        (now > epoch).then_some(at)
    });
    poll("its first commit", LIMIT, || (stands(place, session, "recorder").1 > at).then_some(()));
    CLOCK.now().since(begun)
}

/// All the rest is applied without speed limit, and the digests are right.
fn assert_whole(place: &Place, folder: &Folder, session: &Session) {
    folder.configure(&format!("{BY_HUNDREDS}{PG_RECORDER}"));
    folder.ok(&["run", "--until-caught-up", "--accept", "recorder", "--fail-on-parked"]);
    assert_recorder_has_the_log(place, session);
    assert_eq!(Checked::read(session).ids, Sample::Flights.here().text("ids_sha256"));
}

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
fn e_11_after_kill_9_another_takes_over_in_two_seconds() {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let (first, second) = owner_and_stand_by(&folder, &session);
    assert_eq!(owner(&folder, std::slice::from_ref(&first), "recorder"), 0);
    let took = taken_over(&place, &session, || drop(first.kill()));
    println!("from kill -9 to the first commit of the other: {took:?}");
    assert!(took < TAKEOVER + MARGIN, "the takeover took {took:?}");
    assert_eq!(owner(&folder, std::slice::from_ref(&second), "recorder"), 0);
    terminate(second);
    assert_whole(&place, &folder, &session);
}

#[test]
fn e_11_a_clean_stop_hands_over_at_once() {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let (first, second) = owner_and_stand_by(&folder, &session);
    // The batch that runs is finished first: that takes as long as it takes.
    let took = taken_over(&place, &session, || terminate(first));
    println!("from SIGTERM to the first commit of the other: {took:?}");
    assert!(took < MARGIN, "the takeover took {took:?}");
    terminate(second);
    assert_whole(&place, &folder, &session);
}

#[test]
fn e_12_a_frozen_owner_is_taken_over_and_applies_nothing_when_it_wakes() {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let (mut first, second) = owner_and_stand_by(&folder, &session);
    // In the middle of a batch, so that it has something to go on with.
    poll("a batch", LIMIT, || in_a_batch(&place, &session).then_some(()));
    let took = taken_over(&place, &session, || first.signal("STOP"));
    println!("from SIGSTOP to the first commit of the other: {took:?}");
    assert!(took < TAKEOVER + MARGIN, "the takeover took {took:?}");
    let (epoch, _) = stands(&place, &session, "recorder");
    first.signal("CONT");
    first.logs("it has noticed", LIMIT, |line| {
        about("taken over", "recorder")(line) || about("standing by", "recorder")(line)
    });
    let at = recorded(&session);
    poll("the other goes on", LIMIT, || (recorded(&session) > at + 300).then_some(()));
    assert_eq!(stands(&place, &session, "recorder").0, epoch, "no other owner since");
    assert_recorder_stands_at_its_state(&place, &session);
    terminate(first);
    terminate(second);
    assert_whole(&place, &folder, &session);
}

#[test]
fn e_11_an_owner_whose_network_is_gone_is_taken_over() {
    let Some((place, folder)) = working() else { return };
    let session = place.session();
    let proxy = Proxy::to(&place.url());
    let slow = beginning_with(PG_RECORDER, "SELECT pg_sleep(0.1)");
    let far = place.table_at("log", &proxy.url(&place.url()));
    folder.write("far.toml", format!("{far}{BY_HUNDREDS}{slow}"));
    let mut first = folder.spawn(&["--config", "far.toml", "run"]);
    poll("the first batches", LIMIT, || (recorded(&session) > 0).then_some(()));
    let mut second = folder.spawn(&["run"]);
    second.logs("it stands by", LIMIT, about("standing by", "recorder"));
    let took = taken_over(&place, &session, || proxy.hold());
    println!("from the silence to the first commit of the other: {took:?}");
    assert!(took < TAKEOVER + MARGIN, "the takeover took {took:?}");
    let (epoch, _) = stands(&place, &session, "recorder");
    proxy.resume();
    first.logs("it has noticed", LIMIT, |line| {
        about("taken over", "recorder")(line) || about("standing by", "recorder")(line)
    });
    let at = recorded(&session);
    poll("the other goes on", LIMIT, || (recorded(&session) > at + 300).then_some(()));
    assert_eq!(stands(&place, &session, "recorder").0, epoch, "no other owner since");
    terminate(first);
    terminate(second);
    assert_whole(&place, &folder, &session);
}

#[test]
fn e_11_an_owner_without_work_is_taken_over_too() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&format!("{NO_POLL}{PG_RECORDER}"));
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    let mut first = folder.spawn(&["run"]);
    first.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    let mut second = folder.spawn(&["run"]);
    second.logs("it stands by", LIMIT, about("standing by", "recorder"));
    first.kill();
    folder.ok(&["append", "--stream", "late-1", "--type", "Late", "--data", "{}"]);
    let session = place.session();
    poll("the new event", LIMIT, || (recorded(&session) == 727).then_some(()));
    terminate(second);
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
        assert!(took < MARGIN * 5, "nobody polls, and it took {took:?}");
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
        poll("the event", MARGIN * 5, || (recorded(&session) == number).then_some(()));
    }
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    poll("the import", MARGIN * 10, || (recorded(&session) == 5 + 726).then_some(()));
    // Through a connection that was lost meanwhile: it looks once when it is back, and hears again.
    let ours = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE query LIKE '%{}%' AND pid <> pg_backend_pid()",
        place.schema()
    );
    assert!(session.number(&ours) > 0, "it had connections");
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    poll("the event", MARGIN * 10, || (recorded(&session) == 6 + 726).then_some(()));
    folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", "1"]);
    poll("the event", MARGIN * 10, || (recorded(&session) == 7 + 726).then_some(()));
    terminate(running);
}

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
    let (mut before, mut happened) = (generation(), 0);
    for _ in 0..12 {
        let rebuild = folder.spawn(&["rebuild", "recorder", "--yes"]);
        pause(Duration::from_micros(random.below(80_000)));
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

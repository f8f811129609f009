//! Servers that go away under a running binary: restarts, a network that breaks, a standby in its place. All of it is
//! waited for, and nothing is lost or applied twice.

use std::time::Duration;

use highwater_tests::postgres::{OwnCluster, Place, Proxy, Session};
use highwater_tests::projections::{AIRCRAFT, PG_RECORDER, TRAFFIC, beginning_with};
use highwater_tests::{Checked, Folder, LIMIT, Running, Sample, Tables as _, pause, poll};

use super::failures::IMPATIENT;
use super::kit::{
    assert_recorder_has_the_log, assert_recorder_stands_at_its_state, in_a_batch, recorded, terminate,
};
use crate::data::assert_flights;
use crate::support::failed_events;

/// The recorder, its batches some 30 ms each.
fn slow_recorder() -> String {
    format!("{IMPATIENT}{}", beginning_with(PG_RECORDER, "SELECT pg_sleep(0.03)"))
}

/// Waits until the recorder has handled more, or all there is.
#[track_caller]
fn some_more(running: &mut Running, session: &Session) {
    let wanted = (recorded(session) + 300).min(Sample::Flights.here().number("events"));
    poll("batches", LIMIT, || {
        assert!(running.is_running(), "{}", running.stderr());
        (recorded(session) >= wanted).then_some(())
    });
}

#[test]
fn e_10_a_server_that_is_restarted_again_and_again_is_waited_for() {
    let Some(mut cluster) = OwnCluster::start(&[]) else { return };
    let place = Place::on(&cluster.url());
    let flights = Sample::Flights.here();
    let folder = place.folder(&format!("{}{TRAFFIC}{AIRCRAFT}", slow_recorder()));
    folder.ok(&["import", flights.arg()]);
    let mut running = folder.spawn(&["run"]);
    for end in [OwnCluster::stop, OwnCluster::crash, OwnCluster::kill] {
        let before = {
            let session = place.session();
            let before = recorded(&session);
            poll("batches", LIMIT, || (recorded(&session) > before + 300).then_some(()));
            poll("an open batch", LIMIT, || in_a_batch(&place, &session).then_some(()));
            recorded(&session)
        };
        let warned = running.stderr().matches("will try again").count();
        end(&mut cluster);
        poll("it says that it waits", LIMIT, || {
            assert!(running.is_running(), "{}", running.stderr());
            (running.stderr().matches("will try again").count() > warned).then_some(())
        });
        cluster.start_again();
        let session = place.session();
        assert_recorder_stands_at_its_state(&place, &session);
        assert!(recorded(&session) >= before, "what was committed stays");
        poll("it goes on", LIMIT, || {
            assert!(running.is_running(), "{}", running.stderr());
            (recorded(&session) > before + 200).then_some(())
        });
    }
    folder.ok(&["wait", "recorder", "head", "--timeout", "100s"]);
    folder.ok(&["wait", "aircraft", "head", "--timeout", "100s"]);
    folder.ok(&["wait", "traffic", "head", "--timeout", "100s"]);
    terminate(running);
    let session = place.session();
    assert_recorder_has_the_log(&place, &session);
    assert_flights(&session, &flights);
    assert!(failed_events(&folder, "recorder").is_empty() && failed_events(&folder, "aircraft").is_empty());
}

#[test]
fn a_server_that_vanishes_is_waited_for() {
    let Some(place) = Place::new() else { return };
    let mut proxy = Proxy::to(&place.url());
    let flights = Sample::Flights.here();
    let far = place.table_at("log", &proxy.url(&place.url()));
    let folder = Folder::with_log(&far, &format!("{}{AIRCRAFT}", slow_recorder()));
    folder.ok(&["import", flights.arg()]);
    let session = place.session();
    let mut running = folder.spawn(&["run"]);
    some_more(&mut running, &session);
    proxy.cut();
    some_more(&mut running, &session);
    proxy.refuse();
    proxy.cut();
    poll("no batch", LIMIT, || (!in_a_batch(&place, &session)).then_some(()));
    proxy.listen();
    some_more(&mut running, &session);
    proxy.hold();
    pause(Duration::from_millis(300));
    proxy.resume();
    some_more(&mut running, &session);
    proxy.delay(Duration::from_millis(20));
    some_more(&mut running, &session);
    proxy.resume();
    folder.ok(&["wait", "recorder", "head", "--timeout", "100s"]);
    folder.ok(&["wait", "aircraft", "head", "--timeout", "100s"]);
    terminate(running);
    assert_recorder_has_the_log(&place, &session);
    assert_eq!(Checked::read(&session).ids, flights.text("ids_sha256"));
    assert_eq!(
        session.number("SELECT count(*) FROM aircraft WHERE in_air > 0"),
        flights.number("aircraft_with_an_open_flight_at_the_end")
    );
}

#[test]
fn e_10_a_commit_whose_answer_is_lost_is_neither_lost_nor_repeated() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let place = Place::on(&cluster.url());
    let proxy = Proxy::to(&place.url());
    let flights = Sample::Flights.here();
    let far = place.table_at("log", &proxy.url(&place.url()));
    let folder = Folder::with_log(&far, &slow_recorder());
    folder.ok(&["import", flights.arg()]);
    let session = place.session();
    let mut running = folder.spawn(&["run"]);
    for _ in 0..3 {
        some_more(&mut running, &session);
        // A commit waits for a second server that there is not: then everybody knows that it is one.
        session.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        session.run("SELECT pg_reload_conf()");
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        poll("a commit", LIMIT, || (session.number(waits) > 0).then_some(()));
        let before = recorded(&session);
        proxy.hold_answers();
        session.run("ALTER SYSTEM RESET synchronous_standby_names");
        session.run("SELECT pg_reload_conf()");
        poll("its end", LIMIT, || (session.number(waits) == 0).then_some(()));
        assert!(recorded(&session) > before, "it has happened, and nobody was told");
        assert_recorder_stands_at_its_state(&place, &session);
        proxy.cut();
        proxy.resume();
    }
    some_more(&mut running, &session);
    folder.ok(&["wait", "recorder", "head", "--timeout", "100s"]);
    terminate(running);
    assert_recorder_has_the_log(&place, &session);
    assert_eq!(Checked::read(&session).ids, flights.text("ids_sha256"));
}

#[test]
fn e_7_a_standby_in_the_place_of_its_primary_is_waited_for_until_it_takes_writes() {
    let Some(primary) = OwnCluster::start(&[]) else { return };
    let place = Place::on(&primary.url());
    let mut proxy = Proxy::to(&place.url());
    let flights = Sample::Flights.here();
    let far = place.table_at("log", &proxy.url(&place.url()));
    let folder = Folder::with_log(&far, &format!("{}{AIRCRAFT}{TRAFFIC}", slow_recorder()));
    folder.ok(&["import", flights.arg()]);
    let standby = primary.standby();
    let mut running = folder.spawn(&["run"]);
    some_more(&mut running, &place.session());

    // Nobody reaches the primary any more; what it has committed arrives at the standby.
    proxy.refuse();
    proxy.cut();
    let old = place.session();
    poll("no batch", LIMIT, || (!in_a_batch(&place, &old)).then_some(()));
    let new = Session::open(&place.url().replace(&primary.port().to_string(), &standby.port().to_string()));
    let end = old.texts("SELECT pg_current_wal_insert_lsn()::text").remove(0);
    let arrived = format!("SELECT (pg_last_wal_replay_lsn() >= '{end}'::pg_lsn)::int");
    poll("the standby has it all", LIMIT, || (new.number(&arrived) == 1).then_some(()));
    let at = recorded(&new);
    assert_eq!(at, recorded(&old));

    proxy.lead_to(&standby.url());
    proxy.listen();
    running.logs("it says what it waits for", LIMIT, |line| {
        let line = line.to_string();
        ["standby", "read-only", "recovery"].iter().any(|word| line.contains(word))
    });
    folder.exits(4, &["status"]).says(&["read-only standby", "primary"]);
    assert!(running.is_running(), "{}", running.stderr());
    assert_eq!(recorded(&new), at, "nobody writes to a standby");

    standby.promote();
    for projection in ["recorder", "aircraft", "traffic"] {
        folder.ok(&["wait", projection, "head", "--timeout", "100s"]);
    }
    terminate(running);
    assert_recorder_has_the_log(&place, &new);
    assert_flights(&new, &flights);
    assert_eq!(Checked::read(&new).ids, flights.text("ids_sha256"));
    assert!(failed_events(&folder, "recorder").is_empty() && failed_events(&folder, "aircraft").is_empty());
}

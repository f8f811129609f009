//! What servers do to a running binary: restarts, no connections left, time-outs, locks, no room, a table gone,
//! silence, a standby, a wrong password. What passes is waited for, what does not stops, and nothing is lost.

use std::time::Duration;

use highwater_tests::postgres::{OwnCluster, Place, Proxy, Session};
use highwater_tests::projections::{AIRCRAFT, PG_RECORDER, TRAFFIC, beginning_with};
use highwater_tests::{BY_HUNDREDS, Checked, Folder, LIMIT, Sample, pause, poll};

use super::kit::{
    about, assert_recorder_has_the_log, assert_recorder_stands_at_its_state, in_a_batch, owner, recorded,
    terminate,
};
use crate::data::assert_flights;
use crate::support::{dead_letters, failed_events, line, status};

/// Waits are short, so that what has healed is seen soon.
const IMPATIENT: &str = r#"
[defaults]
batch = 100
min_batch = 50
max_batch = 100
max_range_batch = 100
poll_interval = "100ms"
retry_base = "50ms"
retry_cap = "200ms"
"#;

/// Payments, each of which takes its time.
const LEDGER: &str = r#"
[[projection]]
name = "ledger"
schema = "CREATE TABLE ledger (nr bigserial PRIMARY KEY, stream text NOT NULL, amount int NOT NULL)"
[projection.on]
Paid = "INSERT INTO ledger (stream, amount) SELECT :stream, :data.amount FROM pg_sleep(:data.seconds)"
"#;

/// Imports payments, one for each of these times that they take.
fn pay(folder: &Folder, seconds: &[&str]) {
    let lines: String = (0..)
        .zip(seconds)
        .map(|(sequence, seconds)| {
            line("s-1", sequence, "Paid", &format!("{{\"amount\":7,\"seconds\":{seconds}}}"))
        })
        .collect();
    let file = folder.write("events.ndjson", lines);
    folder.ok(&["import", file.to_str().expect("UTF-8")]);
}

/// The recorder, its batches some 30 ms each.
fn slow_recorder() -> String {
    format!("{IMPATIENT}{}", beginning_with(PG_RECORDER, "SELECT pg_sleep(0.03)"))
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
fn e_23_two_connections_are_enough_and_none_left_is_waited_for() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let place = Place::on(&cluster.url());
    let admin = place.session();
    admin.run(&format!(
        "CREATE ROLE teller LOGIN; GRANT CREATE ON DATABASE postgres TO teller; GRANT ALL ON SCHEMA {} TO teller",
        place.user_schema()
    ));
    let url = place.url().replace("postgres://postgres@", "postgres://teller@");
    let flights = Sample::Flights.here();
    let folder = Folder::with_log(
        &place.table_at("log", &url),
        &format!("{IMPATIENT}{PG_RECORDER}{TRAFFIC}{AIRCRAFT}"),
    );
    folder.ok(&["import", flights.arg()]);
    // One for control, and one for everything else.
    admin.run("ALTER ROLE teller CONNECTION LIMIT 2");
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_recorder_has_the_log(&place, &admin);
    assert_flights(&admin, &flights);

    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    admin.run("ALTER ROLE teller CONNECTION LIMIT 0");
    let sessions = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'teller'";
    assert!(admin.number(sessions) > 0);
    running.logs("it waits", LIMIT, |line| line.to_string().contains("too many connections"));
    folder.exits(4, &["status"]).says(&["too many connections"]);
    admin.run(&place.sql("SELECT highwater.append('late-1', '{\"type\": \"Late\"}')"));
    admin.run("ALTER ROLE teller CONNECTION LIMIT -1");
    poll("the late event", LIMIT, || (recorded(&admin) == 12_108).then_some(()));
    terminate(running);
}

#[test]
fn e_17_an_event_that_takes_too_long_is_parked_after_its_attempts() {
    let Some(place) = Place::new() else { return };
    let limits = "statement_timeout = \"300ms\"\nbatch_deadline = \"2s\"\nmax_failures = 2\n";
    let folder = place.folder(&format!("{IMPATIENT}{limits}{LEDGER}"));
    pay(&folder, &["0", "0", "30", "0", "0"]);
    folder.exits(6, &["run", "--until-caught-up", "--fail-on-parked"]);
    let failed = failed_events(&folder, "ledger");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!((failed[0].position.as_str(), failed[0].attempts), ("3:0", 2), "{failed:#?}");
    assert_eq!(dead_letters(&folder, "ledger"), failed);
    let session = place.session();
    assert_eq!(session.number("SELECT count(*) FROM ledger"), 4, "all others, each once");
}

#[test]
fn e_20_slow_events_that_are_short_enough_each_are_all_applied() {
    let Some(place) = Place::new() else { return };
    let limits = "statement_timeout = \"400ms\"\nbatch_deadline = \"500ms\"\n";
    let folder = place.folder(&format!("{IMPATIENT}{limits}{LEDGER}"));
    pay(&folder, &["0.2", "0.2", "0.2", "0", "0.2"]);
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(place.session().number("SELECT count(*) FROM ledger"), 5);
}

#[test]
fn a_lock_on_the_read_model_is_waited_for_and_no_event_is_blamed() {
    let Some(place) = Place::new() else { return };
    let limits = "statement_timeout = \"200ms\"\nbatch_deadline = \"600ms\"\nmax_failures = 2\n";
    let folder = place.folder(&format!("{IMPATIENT}{limits}{LEDGER}{PG_RECORDER}"));
    pay(&folder, &["0"; 20]);
    folder.ok(&["run", "--until-caught-up"]);
    let user = place.session();
    user.run("BEGIN; LOCK TABLE ledger IN SHARE MODE");
    let mut running = folder.spawn(&["run"]);
    running.logs("the other is caught up", LIMIT, about("caught up", "recorder"));
    let more: String = (20..26).map(|n| line("s-1", n, "Paid", "{\"amount\":7,\"seconds\":0}")).collect();
    let file = folder.write("more.ndjson", more);
    folder.ok(&["import", file.to_str().expect("UTF-8")]);
    // Longer than all attempts would take if they were the event's.
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'ledger'::regclass AND NOT granted";
    let session = place.session();
    for _ in 0..4 {
        poll("it waits for the lock", LIMIT, || (session.number(waiting) > 0).then_some(()));
        poll("it gives up for the moment", LIMIT, || (session.number(waiting) == 0).then_some(()));
    }
    poll("E-22: the other is not held up", LIMIT, || (recorded(&session) == 26).then_some(()));
    let failed = failed_events(&folder, "ledger");
    assert!(failed.iter().all(|row| row.state == "retrying"), "the lock is to blame: {failed:#?}");
    user.run("COMMIT");
    folder.ok(&["wait", "ledger", "head", "--timeout", "50s"]);
    assert_eq!(session.number("SELECT count(*) FROM ledger"), 26);
    assert!(failed_events(&folder, "ledger").is_empty());
    terminate(running);
}

/// A trigger that raises this SQLSTATE at each row of the ledger.
fn raise(session: &Session, sqlstate: &str, message: &str) {
    session.run(&format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ \
         BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{sqlstate}'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION refuse()"
    ));
}

#[test]
fn a_full_disk_is_waited_for_and_no_event_is_blamed() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&format!("{IMPATIENT}max_failures = 2\n{LEDGER}{PG_RECORDER}"));
    pay(&folder, &["0"; 20]);
    folder.ok(&["run", "--until-caught-up"]);
    let session = place.session();
    for (sqlstate, message) in
        [("53100", "could not extend file: No space left on device"), ("40P01", "deadlock detected")]
    {
        raise(&session, sqlstate, message);
        let mut running = folder.spawn(&["run"]);
        running.logs("it is caught up", LIMIT, about("caught up", "ledger"));
        let before = session.number("SELECT count(*) FROM ledger");
        let next = session.number(&place.sql("SELECT max(sequence) + 1 FROM highwater.event"));
        let more: String = (next..next + 5)
            .map(|n| line("s-1", u64::try_from(n).expect("small"), "Paid", "{\"amount\":7,\"seconds\":0}"))
            .collect();
        let file = folder.write("more.ndjson", more);
        folder.ok(&["import", file.to_str().expect("UTF-8")]);
        poll("E-22: the other is not held up", LIMIT, || (recorded(&session) == before + 5).then_some(()));
        // It says so when it has tried more often than an event may fail.
        running.logs("it says why it waits", LIMIT, |line| {
            about("stalled", "ledger")(line) && line.to_string().contains(message)
        });
        assert!(failed_events(&folder, "ledger").is_empty(), "{:#?}", failed_events(&folder, "ledger"));
        session.run("DROP TRIGGER refuse ON ledger");
        folder.ok(&["wait", "ledger", "head", "--timeout", "50s"]);
        assert_eq!(session.number("SELECT count(*) FROM ledger"), before + 5);
        assert!(failed_events(&folder, "ledger").is_empty());
        terminate(running);
    }
}

#[test]
fn e_22_a_dropped_table_faults_its_projection_and_no_other() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder(&format!("{IMPATIENT}{LEDGER}{PG_RECORDER}"));
    pay(&folder, &["0"; 5]);
    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, about("caught up", "ledger"));
    running.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    let session = place.session();
    session.run("DROP TABLE ledger");
    folder.ok(&["append", "-s", "s-1", "-t", "Paid", "-d", "{\"amount\":7,\"seconds\":0}"]);
    running.logs("it is faulted", LIMIT, about("faulted", "ledger"));
    poll("the other goes on", LIMIT, || (recorded(&session) == 6).then_some(()));
    let stands = status(&folder, "ledger");
    assert_eq!(stands.phase, "faulted", "{}", stands.all);
    assert!(stands.all["fault"].as_str().is_some_and(|fault| fault.contains("ledger")), "{}", stands.all);
    assert_eq!(stands.position.as_deref(), Some("5:0"), "the event is not passed over");
    let waited = folder.exits(1, &["wait", "ledger", "head", "--timeout", "20s", "--json"]).json();
    assert_eq!(waited["outcome"], "faulted");
    running.signal("TERM");
    let output = running.wait(LIMIT);
    assert_eq!(output.code, Some(1), "something is faulted: {}", output.stderr);
    // Made again by whoever dropped it, and empty: so all of it is applied again.
    session.run("CREATE TABLE ledger (nr bigserial PRIMARY KEY, stream text NOT NULL, amount int NOT NULL)");
    folder.ok(&["rebuild", "ledger", "--yes"]);
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(session.number("SELECT count(*) FROM ledger"), 6);
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
    let mut some_more = |by: i64| {
        let before = recorded(&session);
        poll("batches", LIMIT, || {
            assert!(running.is_running(), "{}", running.stderr());
            (recorded(&session) >= (before + by).min(12_107)).then_some(())
        });
    };
    some_more(300);
    proxy.cut();
    some_more(300);
    // A commit that happens, and whose answer is lost.
    proxy.hold_answers();
    poll("the server is left alone", LIMIT, || (!in_a_batch(&place, &session)).then_some(()));
    proxy.cut();
    proxy.resume();
    some_more(300);
    proxy.refuse();
    proxy.cut();
    poll("no batch", LIMIT, || (!in_a_batch(&place, &session)).then_some(()));
    proxy.listen();
    some_more(300);
    proxy.hold();
    pause(Duration::from_millis(300));
    proxy.resume();
    some_more(300);
    proxy.delay(Duration::from_millis(20));
    some_more(300);
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
fn x_12_what_keeps_it_from_starting_is_said_with_its_exit_code() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    cluster.session().run("CREATE ROLE teller LOGIN PASSWORD 'secret'");
    cluster.admit("host all teller 127.0.0.1/32 scram-sha-256");
    let standby = cluster.standby();
    let nobody = {
        let mut nobody = Proxy::to("postgres://127.0.0.1:1");
        nobody.refuse();
        nobody.url("postgres://user:secret@somewhere/shop")
    };
    let refused = |url: &str, code: i32, texts: &[&str]| {
        let folder = Folder::with_log(&format!("[log]\nurl = \"{url}\"\n"), PG_RECORDER);
        for command in [&["run"][..], &["run", "--until-caught-up"], &["migrate"], &["status"]] {
            let output = folder.exits(code, command);
            output.says(texts);
            assert!(!output.stderr.contains("secret"), "a password is told: {}", output.stderr);
        }
    };
    refused(&cluster.url_of("teller:not-the-secret", "postgres"), 2, &["teller", "password", "28P01"]);
    refused(&cluster.url_of("postgres", "no_such_database"), 3, &["no_such_database", "create the database"]);
    refused(&standby.url(), 4, &["read-only standby", "primary"]);
    refused(&nobody, 4, &["127.0.0.1", "refused"]);
}

#[test]
fn e_11_contention_leaves_no_error_in_the_servers_log() {
    let Some(cluster) = OwnCluster::start(&["log_min_messages=warning"]) else { return };
    let place = Place::on(&cluster.url());
    let folder = place.folder(&format!("{BY_HUNDREDS}{PG_RECORDER}{TRAFFIC}{AIRCRAFT}"));
    folder.ok(&["migrate"]);
    let quiet = |when: &str| {
        let log = cluster.log();
        let loud =
            |line: &&str| ["ERROR", "FATAL", "PANIC", "WARNING"].iter().any(|word| line.contains(word));
        // Until it has started, a server refuses connections: those are the test's own.
        let loud: Vec<_> = log.lines().filter(loud).filter(|line| !line.contains("starting up")).collect();
        assert!(loud.is_empty(), "{when}: {loud:#?}");
    };
    quiet("before");
    let processes: Vec<_> = (0..3).map(|_| folder.spawn(&["run"])).collect();
    let (flights, webhooks) = (Sample::Flights.here(), Sample::Webhooks.here());
    for projection in ["recorder", "traffic", "aircraft"] {
        owner(&folder, &processes, projection);
    }
    let imports = [
        folder.spawn(&["import", flights.arg(), "--batch", "100"]),
        folder.spawn(&["import", webhooks.arg(), "--batch", "3"]),
    ];
    for round in 0..12 {
        folder.ok(&["pause", "recorder"]);
        folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", &round.to_string()]);
        folder.ok(&["status"]);
        folder.ok(&["resume", "recorder"]);
        folder.ok(&["wait", "traffic", "head"]);
        folder.exits(5, &["rebuild", "aircraft", "--yes"]);
    }
    for import in imports {
        let output = import.wait(LIMIT);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }
    folder.ok(&["wait", "recorder", "head"]);
    quiet("with three instances");
    processes.into_iter().for_each(terminate);
    quiet("after they were stopped");
    assert_recorder_has_the_log(&place, &place.session());
}

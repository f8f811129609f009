//! What happens to statements: time-outs, locks, no room, a table gone. What passes is waited for and no event is
//! blamed for it, what does not stops its own projection, and nothing is lost.

use highwater_tests::postgres::{Place, Session};
use highwater_tests::projections::PG_RECORDER;
use highwater_tests::{Folder, LIMIT, poll};

use super::kit::{about, recorded, terminate};
use crate::support::{dead_letters, failed_events, line, status};

/// Waits are short, so that what has healed is seen soon.
pub(super) const IMPATIENT: &str = r#"
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
    // The server's word for it, or ours where the server was too busy to say it.
    let limit = ["statement timeout", "limit 300 ms"].iter().any(|text| failed[0].message.contains(text));
    assert!(limit, "{failed:#?}");
    assert_eq!(failed[0].class, "unclassified");
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

/// Somebody has locked the read model: `limits` end the wait, and `said` is the server's word for it. `session` are
/// settings of our sessions.
fn a_lock_is_waited_for(session: &str, limits: &str, said: &str) {
    let Some(place) = Place::new() else { return };
    let log = place.table_at("log", &format!("{}{session}", place.url()));
    let config = format!("{IMPATIENT}max_failures = 2\n{limits}{LEDGER}{PG_RECORDER}");
    let folder = Folder::with_log(&log, &config);
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
    running.logs("it says why it waits", LIMIT, |line| {
        line["projection"] == "ledger" && line.to_string().contains(said)
    });
    let failed = failed_events(&folder, "ledger");
    assert!(failed.iter().all(|row| row.state == "retrying"), "the lock is to blame: {failed:#?}");
    user.run("COMMIT");
    folder.ok(&["wait", "ledger", "head", "--timeout", "50s"]);
    assert_eq!(session.number("SELECT count(*) FROM ledger"), 26);
    assert!(failed_events(&folder, "ledger").is_empty());
    terminate(running);
}

#[test]
fn a_lock_on_the_read_model_is_waited_for_and_no_event_is_blamed() {
    let limits = "statement_timeout = \"200ms\"\nbatch_deadline = \"600ms\"\n";
    a_lock_is_waited_for("", limits, "ran past its deadline");
}

#[test]
fn a_lock_time_out_is_waited_for_and_no_event_is_blamed() {
    a_lock_is_waited_for("&options[lock_timeout]=100ms", "", "lock timeout");
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
    for (sqlstate, message) in [
        ("53100", "could not extend file: No space left on device"),
        ("40P01", "deadlock detected"),
        ("25006", "cannot execute INSERT in a read-only transaction"),
    ] {
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

//! kill -9 at any moment, SIGTERM, and a second signal: what is in the database afterwards is always whole.

use std::collections::BTreeSet;
use std::time::Duration;

use highwater_tests::projections::{AIRCRAFT, RECORDER, TRAFFIC, slow, work};
use highwater_tests::{BY_HUNDREDS, Checked, Database, Folder, LIMIT, Random, Sample, pause, poll};

use crate::data::assert_flights;
use crate::support::{imported, status};

/// How many processes die, in all.
const KILLS: usize = 100;
/// How many of them at least inside an open write transaction.
const INSIDE: usize = 30;
/// How many of them during the import, at most.
const IMPORT_KILLS: usize = 15;

/// What was committed so far, by projection: it only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    recorded: i64,
    counted: i64,
    moved: i64,
}

impl Progress {
    fn read(database: &Database) -> Self {
        let number = |sql| database.try_number(sql).unwrap_or(0);
        Self {
            recorded: number("SELECT max(nr) FROM handled"),
            counted: number(
                "SELECT coalesce((SELECT sum(departures) FROM departures), 0) +
                        coalesce((SELECT sum(landings) FROM landings), 0)",
            ),
            moved: number("SELECT sum(moves) FROM aircraft"),
        }
    }

    /// Each projection has moved on, or has nothing left to do.
    fn is_beyond(self, before: Self, end: Self) -> bool {
        let beyond = |now: i64, before: i64, end: i64| now > before || now == end;
        beyond(self.recorded, before.recorded, end.recorded)
            && beyond(self.counted, before.counted, end.counted)
            && beyond(self.moved, before.moved, end.moved)
    }
}

/// Kills an import again and again; each one goes on where the last one was cut off.
fn kill_imports(folder: &Folder, file: &str, random: &mut Random) -> (usize, usize) {
    let (mut kills, mut inside) = (0, 0);
    while kills < IMPORT_KILLS {
        let before = events_in_log(folder);
        let mut running = folder.spawn(&["import", file, "--batch", "100"]);
        let wanted = before + i64::try_from(100 * random.below(4)).expect("small");
        let more = poll("more events in the log", LIMIT, || {
            if !running.is_running() {
                return Some(false);
            }
            (events_in_log(folder) > wanted).then_some(true)
        });
        if !more {
            break;
        }
        let database = folder.tamper();
        pause(Duration::from_micros(random.below(1500)));
        let (seen, written) = (events_in_log(folder), database.is_being_written());
        running.kill();
        let now = events_in_log(folder);
        assert_eq!(now % 100, 0, "a piece of the file is in the log as a whole, or not at all");
        assert!(now >= seen, "what was committed stays");
        kills += 1;
        inside += usize::from(written && now == seen);
    }
    (kills, inside)
}

fn events_in_log(folder: &Folder) -> i64 {
    if !folder.file("events.db").exists() {
        return 0;
    }
    folder.tamper().try_number("SELECT count(*) FROM highwater_event").unwrap_or(0)
}

#[test]
fn e_10_a_hundred_kills_lose_nothing_and_apply_nothing_twice() {
    let flights = Sample::Flights.here();
    let projections: String = [RECORDER, TRAFFIC, AIRCRAFT]
        .iter()
        .zip([150_000, 100_000, 1_000])
        .map(|(projection, steps)| slow(projection, steps))
        .collect();
    let folder = Folder::with(&format!("{BY_HUNDREDS}{projections}"));
    let mut random = Random::new(0x5EED_0001);

    let (mut kills, mut inside) = kill_imports(&folder, flights.arg(), &mut random);
    assert!(kills > 0, "no import was killed");
    let (appended, there, bad) = imported(&folder.json(&["import", flights.arg(), "--batch", "100"]));
    assert_eq!(
        (appended + there, bad),
        (flights.number("events"), 0),
        "the import goes on where it was cut off"
    );
    println!("killed during the import: {kills}, {inside} of them inside an open transaction");

    let types = flights.counts("events_by_type");
    let of = |names: &[&str]| names.iter().map(|name| types[*name]).sum::<u64>();
    let number = |count: u64| i64::try_from(count).expect("a count");
    let end = Progress {
        recorded: flights.number("events"),
        counted: number(of(&["FlightDeparted", "FlightLanded"])),
        moved: number(of(&["FlightDeparted", "FlightLanded", "FlightDiverted"])),
    };
    let database = folder.tamper();
    let mut places = BTreeSet::new();
    while kills < KILLS {
        let before = Progress::read(&database);
        let mut running = folder.spawn(&["run", "--until-caught-up"]);
        // Now and then before anything was committed: the next owner finds the same place again.
        let early = kills % 12 == 11;
        poll("the next commits", LIMIT, || {
            assert!(
                running.is_running(),
                "it ended after {kills} kills: the log is too short\n{}",
                running.stderr()
            );
            let moved = Progress::read(&database).is_beyond(before, end);
            (moved || early && database.is_being_written()).then_some(())
        });
        pause(Duration::from_micros(random.below(12_000)));
        let (seen, written) = (Progress::read(&database), database.is_being_written());
        running.kill();
        let now = Progress::read(&database);
        // The transaction that was open is gone, and nothing else was committed meanwhile: it was cut off.
        inside += usize::from(written && now == seen);
        kills += 1;
        places.insert(now.recorded);
        if kills % 10 == 0 {
            assert_read_model_stands_at_the_state(&folder, &database);
        }
    }
    println!("killed: {kills}, {inside} of them inside an open transaction, at {} places", places.len());
    assert!(inside >= INSIDE, "only {inside} of {kills} processes died inside an open transaction");

    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(Progress::read(&database), end);
    let found = Checked::read(&database);
    assert_eq!(found.ids, flights.text("ids_sha256"), "each event once, in order");
    assert_eq!(found.streams, flights.text("stream_counts_sha256"));
    assert_flights(&database, &flights);
}

/// The read model holds the events up to the state, neither more nor fewer.
fn assert_read_model_stands_at_the_state(folder: &Folder, database: &Database) {
    let last = database.texts("SELECT position || ':' || \"offset\" FROM handled ORDER BY nr DESC LIMIT 1");
    let stands = status(folder, "recorder");
    assert_eq!(last.first(), stands.position.as_ref());
    let applied = database
        .number("SELECT count(*) FROM highwater_event WHERE position <= (SELECT max(position) FROM handled)");
    assert_eq!(database.number("SELECT count(*) FROM handled"), applied);
}

#[test]
fn g_sigterm_lets_the_batch_commit_and_ends_with_zero() {
    let flights = Sample::Flights.here();
    let folder = Folder::with(&format!("{BY_HUNDREDS}{}", slow(RECORDER, 300_000)));
    folder.ok(&["import", flights.arg()]);
    let database = folder.tamper();
    for _ in 0..3 {
        let before = Progress::read(&database).recorded;
        let mut running = folder.spawn(&["run"]);
        poll("a running batch", LIMIT, || {
            assert!(running.is_running(), "it ended by itself\n{}", running.stderr());
            (Progress::read(&database).recorded > before && database.is_being_written()).then_some(())
        });
        running.signal("TERM");
        let output = running.wait(LIMIT);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert_read_model_stands_at_the_state(&folder, &database);
    }
    let crashes = database.number("SELECT sum(crashes) FROM highwater_projection");
    assert_eq!(crashes, 0, "an orderly stop is no crash");
    folder.configure(&format!("{BY_HUNDREDS}{RECORDER}"));
    folder.ok(&["run", "--until-caught-up", "--accept", "recorder"]);
    assert_eq!(Checked::read(&database).ids, flights.text("ids_sha256"));
}

#[test]
fn g_a_second_signal_ends_at_once_and_leaves_nothing_half_done() {
    let flights = Sample::Flights.here();
    // Without end: only the deadline of the statement would stop it.
    let endless =
        RECORDER.replace("apply = \"\"\"\n", &format!("apply = \"\"\"\n{};\n", work(2_000_000_000)));
    let folder = Folder::with(&format!("{BY_HUNDREDS}{endless}"));
    folder.ok(&["import", flights.arg()]);
    let mut running = folder.spawn(&["run"]);
    let database = folder.tamper();
    poll("a running batch", LIMIT, || {
        assert!(running.is_running(), "it ended by itself\n{}", running.stderr());
        (database.try_number("SELECT count(*) FROM handled").is_some() && database.is_being_written())
            .then_some(())
    });
    running.signal("INT");
    running.logs("stop requested", LIMIT, |line| line.to_string().contains("second signal"));
    running.signal("INT");
    let output = running.wait(Duration::from_secs(5));
    assert_eq!(output.code, Some(130), "{}", output.stderr);
    assert_eq!(database.number("SELECT count(*) FROM handled"), 0);
    folder.configure(&format!("{BY_HUNDREDS}{RECORDER}"));
    folder.ok(&["run", "--until-caught-up", "--accept", "recorder"]);
    assert_eq!(Checked::read(&database).ids, flights.text("ids_sha256"));
}

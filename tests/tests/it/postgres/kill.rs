//! kill -9 at any moment on PostgreSQL: what is in the database afterwards is always whole.

use std::collections::BTreeSet;
use std::time::Duration;

use highwater_tests::postgres::{Place, Session};
use highwater_tests::projections::{AIRCRAFT, PG_RECORDER, TRAFFIC, beginning_with, slow};
use highwater_tests::{BY_HUNDREDS, Checked, Folder, LIMIT, Random, Sample, pause, poll};

use super::kit::{assert_recorder_has_the_log, assert_recorder_stands_at_its_state, in_a_batch, recorded};
use crate::data::assert_flights;
use crate::support::imported;

/// How many runs die.
const KILLS: usize = 100;
/// How many of them at least inside an open batch.
const INSIDE: usize = 20;
/// How many imports die, at most.
const IMPORT_KILLS: usize = 8;

/// What was committed so far, by projection: it only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    recorded: i64,
    counted: i64,
    moved: i64,
}

impl Progress {
    fn read(session: &Session) -> Self {
        let number = |sql| session.try_number(sql).unwrap_or(0);
        Self {
            recorded: recorded(session),
            counted: number(
                "SELECT coalesce((SELECT sum(departures) FROM departures), 0) +
                        coalesce((SELECT sum(landings) FROM landings), 0)",
            ),
            moved: number("SELECT sum(moves) FROM aircraft"),
        }
    }

    /// Each projection has moved on, or has nothing left to do. One that dies again and again where it stands
    /// begins to suspect its events.
    fn is_beyond(self, before: Self, end: Self) -> bool {
        let beyond = |now: i64, before: i64, end: i64| now > before || now == end;
        beyond(self.recorded, before.recorded, end.recorded)
            && beyond(self.counted, before.counted, end.counted)
            && beyond(self.moved, before.moved, end.moved)
    }
}

fn events_in_log(place: &Place, session: &Session) -> i64 {
    session.try_number(&place.sql("SELECT count(*) FROM highwater.event")).unwrap_or(0)
}

/// Kills imports; each one goes on where the last one was cut off.
fn kill_imports(place: &Place, folder: &Folder, file: &str, random: &mut Random) -> usize {
    let session = place.session();
    for kills in 0..IMPORT_KILLS {
        let before = events_in_log(place, &session);
        let mut running = folder.spawn(&["import", file, "--batch", "100"]);
        let wanted = before + i64::try_from(100 * random.below(6)).expect("small");
        let more = poll("more events in the log", LIMIT, || {
            if !running.is_running() {
                return Some(false);
            }
            (events_in_log(place, &session) > wanted).then_some(true)
        });
        if !more {
            return kills;
        }
        pause(Duration::from_micros(random.below(1500)));
        running.kill();
        let now = events_in_log(place, &session);
        assert_eq!(now % 100, 0, "a piece of the file is in the log as a whole, or not at all");
    }
    IMPORT_KILLS
}

#[test]
fn e_10_a_hundred_kills_lose_nothing_and_apply_nothing_twice() {
    let Some(place) = Place::new() else { return };
    let flights = Sample::Flights.here();
    // A batch takes some 30 ms: apply sleeps, and `on` works a little at each event.
    let [recorder, traffic] =
        [PG_RECORDER, TRAFFIC].map(|apply| beginning_with(apply, "SELECT pg_sleep(0.03)"));
    let projections = [recorder, traffic, slow(AIRCRAFT, 600)].concat();
    let folder = place.folder(&format!("{BY_HUNDREDS}{projections}"));
    let mut random = Random::new(0x5EED_0011);

    let imports = kill_imports(&place, &folder, flights.arg(), &mut random);
    assert!(imports > 0, "no import was killed");
    let (appended, there, bad) = imported(&folder.json(&["import", flights.arg(), "--batch", "100"]));
    assert_eq!((appended + there, bad), (flights.number("events"), 0), "it goes on where it was cut off");

    let types = flights.counts("events_by_type");
    let of = |names: &[&str]| names.iter().map(|name| types[*name]).sum::<u64>();
    let number = |count: u64| i64::try_from(count).expect("a count");
    let end = Progress {
        recorded: flights.number("events"),
        counted: number(of(&["FlightDeparted", "FlightLanded"])),
        moved: number(of(&["FlightDeparted", "FlightLanded", "FlightDiverted"])),
    };
    let session = place.session();
    let (mut inside, mut places) = (0, BTreeSet::new());
    for kills in 0..KILLS {
        let before = Progress::read(&session);
        let mut running = folder.spawn(&["run"]);
        // Now and then before anything was committed: the next owner finds the same place again.
        let early = kills % 12 == 11;
        poll("the next commits", LIMIT, || {
            assert!(running.is_running(), "it ended after {kills} kills\n{}", running.stderr());
            let moved = Progress::read(&session).is_beyond(before, end);
            (moved || early && in_a_batch(&place, &session)).then_some(())
        });
        pause(Duration::from_micros(random.below(20_000)));
        let (seen, open) = (Progress::read(&session), in_a_batch(&place, &session));
        running.kill();
        let now = Progress::read(&session);
        assert!(now.recorded >= seen.recorded && now.counted >= seen.counted && now.moved >= seen.moved);
        inside += usize::from(open);
        places.insert(now.recorded);
        if kills % 10 == 0 {
            assert_recorder_stands_at_its_state(&place, &session);
        }
    }
    println!("killed: {imports} imports; {KILLS} runs, {inside} inside a batch, at {} places", places.len());
    assert!(inside >= INSIDE, "only {inside} of {KILLS} processes died inside a batch");

    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_recorder_has_the_log(&place, &session);
    let found = Checked::read(&session);
    assert_eq!(found.ids, flights.text("ids_sha256"), "each event once, in order");
    assert_eq!(found.streams, flights.text("stream_counts_sha256"));
    assert_flights(&session, &flights);
    assert_eq!(Progress::read(&session), end);
}

#[test]
fn g_sigterm_lets_the_batch_commit_and_ends_with_zero() {
    let Some(place) = Place::new() else { return };
    let flights = Sample::Flights.here();
    let slow = beginning_with(PG_RECORDER, "SELECT pg_sleep(0.05)");
    let folder = place.folder(&format!("{BY_HUNDREDS}{slow}"));
    folder.ok(&["import", flights.arg()]);
    let session = place.session();
    for _ in 0..3 {
        let before = recorded(&session);
        let mut running = folder.spawn(&["run"]);
        poll("a running batch", LIMIT, || {
            assert!(running.is_running(), "it ended by itself\n{}", running.stderr());
            (recorded(&session) > before && in_a_batch(&place, &session)).then_some(())
        });
        running.signal("TERM");
        let output = running.wait(LIMIT);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert_recorder_stands_at_its_state(&place, &session);
    }
    let crashes = session.number(&place.sql("SELECT sum(crashes)::bigint FROM highwater.projection"));
    assert_eq!(crashes, 0, "an orderly stop is no crash");
    folder.configure(&format!("{BY_HUNDREDS}{PG_RECORDER}"));
    folder.ok(&["run", "--until-caught-up", "--accept", "recorder"]);
    assert_eq!(Checked::read(&session).ids, flights.text("ids_sha256"));
}

//! A projection in partitions that several processes share: each takes its share, and gives and takes when one comes
//! or goes; meanwhile events are written, and each is applied once, in its stream's order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use highwater_tests::postgres::{Place, Session};
use highwater_tests::projections::{PG_RECORDER, beginning_with};
use highwater_tests::{BY_HUNDREDS, Folder, LIMIT, Random, Running, Sample, pause, poll};

use super::kit::{assert_recorder_has_the_streams, recorded, terminate};

const PARTITIONS: usize = 6;

/// How many partitions of the recorder each of them owns, as `status` says; `None` while one has no owner, or one
/// that is none of them.
fn shares(folder: &Folder, processes: &[&Running]) -> Option<Vec<usize>> {
    let mut shares = vec![0; processes.len()];
    let all = folder.json(&["status"]);
    let rows = all["projections"].as_array().into_iter().flatten();
    let rows: Vec<_> = rows.filter(|row| row["name"] == "recorder").collect();
    for row in &rows {
        let owner = row["owner"].as_str()?;
        let owner = processes.iter().position(|it| owner.contains(&format!("process {} ", it.id())))?;
        shares[owner] += 1;
    }
    (rows.len() == PARTITIONS).then_some(shares)
}

/// Waits for these shares; then all of it goes on.
#[track_caller]
fn spread(folder: &Folder, session: &Session, processes: &[&Running], wanted: &[usize]) {
    let mut last = None;
    poll(&format!("the shares {wanted:?}"), LIMIT, || {
        let now = shares(folder, processes);
        if now != last {
            println!("the shares are {now:?}");
        }
        last = now;
        (last.as_deref() == Some(wanted)).then_some(())
    });
    let before = recorded(session);
    poll("the next events", LIMIT, || (recorded(session) > before + 200).then_some(()));
}

/// Appends events to many streams, a few at a time, until it is stopped.
fn write(place: &Place, stop: &AtomicBool) -> i64 {
    let session = place.session();
    let mut random = Random::new(0x5EED_0201);
    let mut written = 0;
    while !stop.load(Ordering::SeqCst) {
        let stream = random.below(400);
        let append = format!(
            "SELECT highwater.append('own-{stream}', '[{}]')",
            [r#"{"type": "Written"}"#; 5].join(",")
        );
        session.run(&place.sql(&append));
        written += 5;
        pause(Duration::from_millis(2));
    }
    written
}

#[test]
fn e_11_partitions_move_to_who_comes_and_from_who_goes_and_nothing_is_lost() {
    let Some(place) = Place::new() else { return };
    let slow = beginning_with(PG_RECORDER, "SELECT pg_sleep(0.02)");
    let folder = place.folder(&format!("{BY_HUNDREDS}partitions = {PARTITIONS}\n{slow}"));
    folder.ok(&["import", Sample::Flights.here().arg()]);
    let session = place.session();
    let stop = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&place, &stop));
        let stop_writing = Stop(&stop);
        let start = || folder.spawn(&["run"]);
        let first = start();
        spread(&folder, &session, &[&first], &[6]);
        let second = start();
        spread(&folder, &session, &[&first, &second], &[3, 3]);
        let third = start();
        spread(&folder, &session, &[&first, &second, &third], &[2, 2, 2]);
        // One dies, one stops, one freezes and wakes again as one that comes.
        first.kill();
        spread(&folder, &session, &[&second, &third], &[3, 3]);
        terminate(second);
        spread(&folder, &session, &[&third], &[6]);
        let fourth = start();
        spread(&folder, &session, &[&third, &fourth], &[3, 3]);
        third.signal("STOP");
        spread(&folder, &session, &[&fourth], &[6]);
        third.signal("CONT");
        spread(&folder, &session, &[&third, &fourth], &[3, 3]);
        drop(stop_writing);
        let written = writer.join().expect("the writer does not panic");
        folder.ok(&["wait", "recorder", "head", "--timeout", "60s"]);
        terminate(third);
        terminate(fourth);
        written
    });
    let in_log = session.number(&place.sql("SELECT count(*) FROM highwater.event"));
    assert_eq!(in_log, Sample::Flights.here().number("events") + written);
    assert_recorder_has_the_streams(&place, &session);
}

/// Stops the writer, also when the test fails.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

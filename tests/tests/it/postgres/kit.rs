//! What the suites on PostgreSQL share.

use highwater_tests::postgres::{Place, Session};
use highwater_tests::projections::{PG_RECORDER, beginning_with};
use highwater_tests::{BY_HUNDREDS, Checked, Folder, LIMIT, Running, Sample, Tables as _, poll};
use serde_json::Value;

use crate::support::status;

/// A log line about a projection.
pub(super) fn about<'t>(text: &'t str, projection: &'t str) -> impl Fn(&Value) -> bool + 't {
    move |line| {
        line["projection"] == projection && line["message"].as_str().is_some_and(|said| said.contains(text))
    }
}

/// Ends it in order.
#[track_caller]
pub(super) fn terminate(running: Running) {
    running.signal("TERM");
    let output = running.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// How many events the recorder has handled; 0 before it has a table.
pub(super) fn recorded(session: &Session) -> i64 {
    session.try_number("SELECT count(*) FROM handled").unwrap_or(0)
}

/// Whether a transaction that writes a projection's state is open.
pub(super) fn in_a_batch(place: &Place, session: &Session) -> bool {
    let held = "SELECT count(*) FROM pg_locks WHERE relation = to_regclass('highwater.projection') \
                AND mode IN ('RowShareLock', 'RowExclusiveLock') AND granted";
    session.number(&place.sql(held)) > 0
}

/// The read model of the recorder holds the events up to its state, neither more nor fewer: in one snapshot,
/// since the server may still be ending a transaction of a process that is gone.
#[track_caller]
pub(super) fn assert_recorder_stands_at_its_state(place: &Place, session: &Session) {
    let sql = "SELECT (SELECT count(*) FROM handled) || ' ' || (SELECT count(DISTINCT id) FROM handled) || ' ' || \
               (SELECT count(*) FROM highwater.event WHERE position <= \
                   (SELECT coalesce(scanned, 0) FROM highwater.projection WHERE name = 'recorder'))";
    let found = session.texts(&place.sql(sql));
    let counts: Vec<_> = found[0].split(' ').collect();
    assert!(
        counts.iter().all(|count| *count == counts[0]),
        "handled, different ones, up to the state: {counts:?}"
    );
}

/// Every event of the log once in the recorder's read model, and in the log's order.
#[track_caller]
pub(super) fn assert_recorder_has_the_log(place: &Place, session: &Session) {
    assert_recorder_has_each_once(place, session);
    let inverted = "SELECT id FROM (SELECT id, position, \"offset\", lag(position, 1, 0::bigint) OVER n AS before, \
                    lag(\"offset\", 1, -1) OVER n AS offset_before FROM handled WINDOW n AS (ORDER BY nr)) h \
                    WHERE (position, \"offset\") <= (before, offset_before) LIMIT 5";
    let inverted = session.texts(inverted);
    assert!(inverted.is_empty(), "out of order: {inverted:?}");
}

/// The same for a recorder in partitions: in order within each stream.
#[track_caller]
pub(super) fn assert_recorder_has_the_streams(place: &Place, session: &Session) {
    assert_recorder_has_each_once(place, session);
    let inverted = "SELECT stream || '/' || sequence FROM (SELECT stream, sequence, row_number() \
                    OVER (PARTITION BY stream ORDER BY nr) - 1 AS expected FROM handled) h \
                    WHERE sequence <> expected LIMIT 5";
    let inverted = session.texts(inverted);
    assert!(inverted.is_empty(), "out of order: {inverted:?}");
}

#[track_caller]
fn assert_recorder_has_each_once(place: &Place, session: &Session) {
    let number = |sql: &str| session.number(&place.sql(sql));
    let twice = session.texts("SELECT id FROM handled GROUP BY id HAVING count(*) > 1 LIMIT 5");
    assert!(twice.is_empty(), "twice: {twice:?}");
    let missed = "SELECT position || ' ' || type || ' ' || stream FROM highwater.event e \
                  WHERE NOT EXISTS (SELECT FROM handled h WHERE h.id = e.id::text) LIMIT 5";
    let missed = session.texts(&place.sql(missed));
    assert!(missed.is_empty(), "missed: {missed:?}");
    assert_eq!(number("SELECT count(*) FROM handled"), number("SELECT count(*) FROM highwater.event"));
    let differs = "SELECT count(*) FROM (SELECT stream, count(*) AS events FROM highwater.event GROUP BY stream) e \
                   FULL JOIN stream_events s USING (stream) WHERE e.events IS DISTINCT FROM s.events";
    assert_eq!(number(differs), 0, "the events of each stream");
}

/// Which of the processes owns a projection, as `status` says.
pub(super) fn owner_among(folder: &Folder, processes: &[Running], projection: &str) -> Option<usize> {
    // It is a session until it has said who it is.
    let owner = status(folder, projection).owner.filter(|owner| !owner.starts_with("session "))?;
    let index = processes.iter().position(|process| owner.contains(&format!("process {} ", process.id())));
    Some(index.unwrap_or_else(|| panic!("the owner of {projection} is none of them: {owner}")))
}

/// The owner's epoch, and the position up to which the state is committed, as numbers.
pub(super) fn stands(place: &Place, session: &Session, projection: &str) -> (i64, i64) {
    let number = |column: &str| {
        let sql = format!("SELECT {column}::bigint FROM highwater.projection WHERE name = '{projection}'");
        session.try_number(&place.sql(&sql)).unwrap_or(0)
    };
    (number("epoch"), number("scanned"))
}

/// Waits until one of the processes owns a projection.
pub(super) fn owner(folder: &Folder, processes: &[Running], projection: &str) -> usize {
    poll(&format!("an owner of {projection}"), LIMIT, || owner_among(folder, processes, projection))
}

/// A config of the recorder whose batches of a hundred take a while each.
pub(super) fn at_work() -> String {
    format!("{BY_HUNDREDS}{}", beginning_with(PG_RECORDER, "SELECT pg_sleep(0.1)"))
}

/// Batches of a hundred flights that take a while each.
pub(super) fn working() -> Option<(Place, Folder)> {
    let place = Place::new()?;
    let folder = place.folder(&at_work());
    folder.ok(&["import", Sample::Flights.here().arg()]);
    Some((place, folder))
}

/// A process that stands by for the recorder.
pub(super) fn stand_by(folder: &Folder) -> Running {
    let mut running = folder.spawn(&["run"]);
    running.logs("it stands by", LIMIT, about("standing by", "recorder"));
    running
}

/// A process that applies, and one that stands by.
pub(super) fn owner_and_stand_by(folder: &Folder, session: &Session) -> (Running, Running) {
    let mut owner = folder.spawn(&["run"]);
    poll("the first batches", LIMIT, || {
        assert!(owner.is_running(), "{}", owner.stderr());
        (recorded(session) > 0).then_some(())
    });
    (owner, stand_by(folder))
}

/// All the rest is applied without speed limit, and the digests are right.
#[track_caller]
pub(super) fn assert_whole(place: &Place, folder: &Folder, session: &Session) {
    folder.configure(&format!("{BY_HUNDREDS}{PG_RECORDER}"));
    folder.ok(&["run", "--until-caught-up", "--accept", "recorder", "--fail-on-parked"]);
    assert_recorder_has_the_log(place, session);
    assert_eq!(Checked::read(session).ids, Sample::Flights.here().text("ids_sha256"));
}

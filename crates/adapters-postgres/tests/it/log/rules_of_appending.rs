//! One test for each rule of appending: an appender that breaks it makes our reader pass an event over, or
//! turns a stream round; the append function keeps it.

use highwater_postgres::PgLog;

use super::session::{Session, filtered, read, reader};
use crate::kit::Place;

/// The gate, with a bound of one's own making.
async fn take(session: &mut Session, bound: &str) {
    session
        .run(&format!(
            "SELECT pg_advisory_xact_lock_shared('highwater.position'::regclass::oid::int, ({bound})::int)"
        ))
        .await;
}

#[tokio::test]
async fn e_2_a_number_drawn_before_the_lock_is_passed_over() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let (mut all, mut by_filter) = (reader(&log).await, filtered(&log).await);
    let mut naive = Session::new(&place).await;
    naive.run("BEGIN").await;
    let number = naive.number("SELECT nextval('highwater.position')").await;
    assert_eq!((number, Session::new(&place).await.append("b").await), (1, 2));
    assert_eq!(
        (read(&mut *all).await, read(&mut *by_filter).await),
        (vec![2], vec![2]),
        "nobody says 1 may come"
    );
    take(&mut naive, "0").await;
    naive.insert(number, 0, "a", 0).await;
    naive.run("COMMIT").await;
    assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![], vec![]), "1 is lost to them");

    // Ours holds the gate already where it comes to a stop between the number and the end: it waits here for
    // a row with the same id.
    let mut open = Session::new(&place).await;
    open.run("BEGIN").await;
    open.insert(100, 0, "elsewhere", 0).await;
    let id = open.text_of("SELECT id::text FROM highwater.event WHERE position = 100").await;
    let mut waiting = Session::new(&place).await;
    let append = format!(r#"SELECT highwater.append('a', '{{"type": "A", "id": "{id}"}}')"#);
    let mut watch = Session::new(&place).await;
    let watching = async {
        while watch.number("SELECT last_value FROM highwater.position").await < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(watch.append("b").await, 4);
        assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![], vec![]));
        open.run("ROLLBACK").await;
    };
    tokio::join!(waiting.run(&append), watching);
    assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![3, 4], vec![3, 4]));
}

#[tokio::test]
async fn e_2_a_sequence_that_was_never_used_says_one_too() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut naive = Session::new(&place).await;
    let bound = naive.number("SELECT last_value FROM highwater.position").await;
    naive.run("BEGIN").await;
    take(&mut naive, &bound.to_string()).await;
    let number = naive.number("SELECT nextval('highwater.position')").await;
    assert_eq!((bound, number), (1, 1), "the bound is no lower than the number");
    assert_eq!(Session::new(&place).await.append("b").await, 2);
    let mut by_filter = filtered(&log).await;
    assert_eq!(read(&mut *by_filter).await, [2]);
    naive.insert(number, 0, "a", 0).await;
    naive.run("COMMIT").await;
    assert_eq!(read(&mut *by_filter).await, [0; 0], "1 is lost to it");

    // Ours, on a sequence that was never used.
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut by_filter = filtered(&log).await;
    let mut open = Session::new(&place).await;
    open.run("BEGIN").await;
    assert_eq!((open.append("a").await, open.bounds().await), (1, vec![0]));
    assert_eq!(Session::new(&place).await.append("b").await, 2);
    assert_eq!(read(&mut *by_filter).await, [0; 0]);
    open.run("COMMIT").await;
    assert_eq!(read(&mut *by_filter).await, [1, 2]);
}

#[tokio::test]
async fn e_2_one_number_for_a_whole_transaction_turns_a_stream_round() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let turned = "SELECT count(*) FROM highwater.event a JOIN highwater.event b USING (stream) \
                  WHERE a.sequence < b.sequence AND (a.position, a.\"offset\") > (b.position, b.\"offset\")";
    let mut naive = Session::new(&place).await;
    naive.run("BEGIN").await;
    assert_eq!(naive.append("one").await, 1);
    assert_eq!(Session::new(&place).await.append("two").await, 2);
    naive.insert(1, 1, "two", 1).await;
    naive.run("COMMIT").await;
    assert_eq!(naive.number(turned).await, 1, "the second event of the stream stands before the first");

    naive.run("TRUNCATE highwater.event").await;
    let mut open = Session::new(&place).await;
    open.run("BEGIN").await;
    let first = open.append("one").await;
    assert_eq!(Session::new(&place).await.append("two").await, first + 1);
    assert_eq!(open.append("two").await, first + 2, "a number for each call");
    assert_eq!(open.bounds().await.len(), 1, "and the gate once");
    open.run("COMMIT").await;
    assert_eq!(open.number(turned).await, 0);
    assert_eq!(read(&mut *reader(&log).await).await.len(), 3);
}

#[tokio::test]
async fn e_2_the_gate_goes_with_its_savepoint_and_is_taken_again() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let (mut all, mut by_filter) = (reader(&log).await, filtered(&log).await);
    // A client that only remembers that it has taken the gate.
    let mut naive = Session::new(&place).await;
    naive.run("BEGIN; SAVEPOINT s").await;
    naive.append("a").await;
    naive.run("ROLLBACK TO s").await;
    assert_eq!(naive.bounds().await, [0; 0], "the lock went with the savepoint");
    let number = naive.number("SELECT nextval('highwater.position')").await;
    assert_eq!(Session::new(&place).await.append("b").await, 3);
    assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![3], vec![3]));
    naive.insert(number, 0, "a", 0).await;
    naive.run("COMMIT").await;
    assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![], vec![]), "2 is lost to them");

    for (before, after, kept) in [
        ("SAVEPOINT s", "ROLLBACK TO s", 0),
        ("SAVEPOINT s", "RELEASE s", 1),
        ("SAVEPOINT s; SAVEPOINT t", "RELEASE t; ROLLBACK TO s", 0),
        ("SELECT highwater.append('c', '{\"type\": \"A\"}'); SAVEPOINT s", "ROLLBACK TO s", 1),
    ] {
        let mut open = Session::new(&place).await;
        open.run(&format!("BEGIN; {before}")).await;
        open.append("a").await;
        open.run(after).await;
        assert_eq!(open.bounds().await.len(), kept, "{before}; append; {after}");
        let number = open.append("a").await;
        assert_eq!(open.bounds().await.len(), 1, "{before}; append; {after}; append");
        let late = Session::new(&place).await.append("b").await;
        assert_eq!(
            (read(&mut *all).await, read(&mut *by_filter).await),
            (vec![], vec![]),
            "{before} {after}"
        );
        open.run("COMMIT").await;
        let seen = read(&mut *all).await;
        assert!(seen.contains(&number.unsigned_abs()) && seen.ends_with(&[late.unsigned_abs()]), "{seen:?}");
        assert_eq!(read(&mut *by_filter).await, seen);
    }
}

#[tokio::test]
async fn e_2_an_exception_block_is_a_savepoint_too() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut all = reader(&log).await;
    let mut open = Session::new(&place).await;
    open.run(
        "BEGIN; DO $$ BEGIN BEGIN PERFORM highwater.append('a', '{\"type\": \"A\"}'); RAISE 'no'; \
         EXCEPTION WHEN raise_exception THEN NULL; END; END $$",
    )
    .await;
    assert_eq!(open.bounds().await, [0; 0]);
    let number = open.append("a").await;
    assert_eq!(open.bounds().await.len(), 1);
    Session::new(&place).await.append("b").await;
    assert_eq!(read(&mut *all).await, [0; 0]);
    open.run("COMMIT").await;
    assert_eq!(read(&mut *all).await, [number.unsigned_abs(), number.unsigned_abs() + 1]);
}

#[tokio::test]
async fn e_2_a_setting_of_the_session_does_not_pretend_that_the_gate_was_taken() {
    let Some(place) = Place::new().await else { return };
    place.database().await;
    let mut session = Session::new(&place).await;
    let setting = "set_config('hw.gate_' || 'highwater.position'::regclass::oid";
    for value in ["'1'", "now()::text"] {
        session.run(&format!("SELECT {setting}, {value}, false)")).await;
        session.run("BEGIN").await;
        session.append("a").await;
        assert_eq!(session.bounds().await.len(), 1, "{value}");
        session.run("COMMIT").await;
    }
}

#[tokio::test]
async fn e_2_numbers_kept_in_stock_are_passed_over() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut session = Session::new(&place).await;
    assert_eq!(
        session
            .number("SELECT seqcache FROM pg_sequence WHERE seqrelid = 'highwater.position'::regclass")
            .await,
        1
    );
    assert!(
        session
            .yes("SELECT NOT seqcycle FROM pg_sequence WHERE seqrelid = 'highwater.position'::regclass")
            .await
    );
    session.run("ALTER SEQUENCE highwater.position CACHE 20").await;
    let (mut one, mut other) = (Session::new(&place).await, Session::new(&place).await);
    let (first, second) = (one.append("a").await, other.append("b").await);
    assert_eq!((first, second), (1, 21));
    let mut all = reader(&log).await;
    assert_eq!(read(&mut *all).await, [1, 21]);
    assert_eq!(one.append("a").await, 2, "from the stock");
    assert_eq!(read(&mut *all).await, [0; 0], "2 is lost to it");
}

#[tokio::test]
async fn e_2_an_appender_without_an_xid_is_seen_by_the_gate_only() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let (mut all, mut by_filter) = (reader(&log).await, filtered(&log).await);
    let mut watch = Session::new(&place).await;
    // The server logs a sequence each 32 numbers, and only then does drawing one need an xid.
    assert_eq!(watch.number("SELECT nextval('highwater.position')").await, 1);
    let mut open = Session::new(&place).await;
    open.run("BEGIN; SELECT highwater.take_gate('highwater.position'::regclass)").await;
    assert_eq!(open.number("SELECT nextval('highwater.position')").await, 2);
    let pid = open.number("SELECT pg_backend_pid()::bigint").await;
    assert_eq!(watch.append("b").await, 3);
    let without = format!("SELECT backend_xid IS NULL FROM pg_stat_activity WHERE pid = {pid}");
    assert!(watch.yes(&without).await, "no snapshot, no xmin and no xmax tells of the owner of 2");
    assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![], vec![]));
    open.insert(2, 0, "a", 0).await;
    open.run("COMMIT").await;
    assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![2, 3], vec![2, 3]));
}

#[tokio::test]
async fn e_2_two_logs_in_one_database_do_not_meet() {
    let (Some(place), Some(other)) = (Place::new().await, Place::new().await) else { return };
    let (log, other_log) = (PgLog::new(&place.database().await), PgLog::new(&other.database().await));
    let mut open = Session::new(&place).await;
    open.run("BEGIN").await;
    open.append("a").await;
    // The same transaction may append to both.
    let both = format!(r#"SELECT "position" FROM {}.append('a', '{{"type": "A"}}')"#, other.schema());
    assert_eq!(open.number(&both).await, 1);
    assert_eq!(Session::new(&other).await.append("b").await, 2);
    assert_eq!(read(&mut *filtered(&other_log).await).await, [0; 0]);
    open.run("ROLLBACK; BEGIN").await;
    assert_eq!(open.append("a").await, 2);
    assert_eq!(read(&mut *filtered(&other_log).await).await, [2], "a holder of the one holds not the other");
    open.run("COMMIT").await;
    assert_eq!(read(&mut *filtered(&log).await).await, [2]);
}

#[tokio::test]
async fn e_2_an_appender_does_not_fall_asleep_with_the_gate() {
    let Some(place) = Place::new().await else { return };
    place.database().await;
    let mut session = Session::new(&place).await;
    let idle = "SHOW idle_in_transaction_session_timeout";
    session.run("SET synchronous_commit = off; BEGIN").await;
    session.append("a").await;
    assert_eq!(
        (session.text_of(idle).await, session.text_of("SHOW synchronous_commit").await),
        ("1min".into(), "on".into())
    );
    session.run("COMMIT").await;
    assert_eq!(
        (session.text_of(idle).await, session.text_of("SHOW synchronous_commit").await),
        ("0".into(), "off".into())
    );
    session.run("SET idle_in_transaction_session_timeout = '700ms'; BEGIN").await;
    session.append("a").await;
    assert_eq!(session.text_of(idle).await, "700ms", "a shorter one is kept");
    session.run("COMMIT").await;
}

#[tokio::test]
async fn e_2_a_read_only_transaction_cannot_append() {
    let Some(place) = Place::new().await else { return };
    place.database().await;
    let mut session = Session::new(&place).await;
    session.run("BEGIN READ ONLY").await;
    assert_eq!(session.refused("SELECT highwater.append('a', '{\"type\": \"A\"}')").await, "25006");
}

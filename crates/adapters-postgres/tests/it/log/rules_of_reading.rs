//! One test for each rule of reading: what happens without it, step by step, and that our reader keeps it.

use std::str::FromStr;

use highwater_core::model::Filter;
use highwater_core::ports::EventLog;
use highwater_postgres::sqlx::postgres::PgConnectOptions;
use highwater_postgres::sqlx::{AssertSqlSafe, Connection, query};
use highwater_postgres::{Database, Ownership, PgConnection, PgLog};

use super::naive::{NOT_MINE, NOT_MINE_BY_UNEQUAL, SAME_DATABASE, horizon, true_horizon, visible};
use super::session::{LIMIT, Session, at, commits, filtered, read, reader};
use crate::kit::Place;

/// A transaction that has appended 1 and not ended, and another one's committed 2.
async fn one_open_two_committed(place: &Place) -> Session {
    let mut open = Session::new(place).await;
    open.run("BEGIN").await;
    assert_eq!(open.append("a").await, 1);
    assert_eq!(Session::new(place).await.append("b").await, 2);
    open
}

#[tokio::test]
async fn e_1_a_what_commits_late_is_applied_in_its_place() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let (mut all, mut by_filter) = (reader(&log).await, filtered(&log).await);
    let mut naive = Session::new(&place).await;
    let mut open = one_open_two_committed(&place).await;

    // Reading on from the highest position seen.
    assert_eq!(visible(&mut naive, 0, i64::MAX).await, [2]);
    // Ours: the end of what may be read is before it.
    let batch = all.next(LIMIT).await.expect("the log can be read");
    assert!(batch.caught_up && batch.events.is_empty() && batch.scanned.is_none());
    assert!(read(&mut *by_filter).await.is_empty());
    assert_eq!(log.head().await.expect("the log answers"), None);

    open.run("COMMIT").await;
    assert_eq!(visible(&mut naive, 2, i64::MAX).await, [0; 0], "the first event is lost to it");
    assert_eq!(read(&mut *all).await, [1, 2]);
    assert_eq!(read(&mut *by_filter).await, [1, 2]);
    assert_eq!(log.head().await.expect("the log answers"), at(2));
}

#[tokio::test]
async fn e_2_a_number_that_was_rolled_back_holds_nobody() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let (mut all, mut by_filter) = (reader(&log).await, filtered(&log).await);
    let mut open = one_open_two_committed(&place).await;
    assert!(read(&mut *all).await.is_empty());
    open.run("ROLLBACK").await;
    assert_eq!(read(&mut *all).await, [2]);
    assert_eq!(read(&mut *by_filter).await, [2]);
}

#[tokio::test]
async fn e_2_the_old_snapshot_of_repeatable_read_loses_events() {
    let Some(place) = Place::new().await else { return };
    place.database().await;
    let mut found = Vec::new();
    for level in ["REPEATABLE READ", "READ COMMITTED"] {
        let mut open = Session::new(&place).await;
        let mut steps = Session::new(&place).await;
        open.run("BEGIN").await;
        let late = open.append("a").await;
        let seen = Session::new(&place).await.append("b").await;
        steps.run(&format!("BEGIN ISOLATION LEVEL {level}")).await;
        assert_eq!(visible(&mut steps, late - 1, i64::MAX).await, [seen]);
        open.run("COMMIT").await;
        let end = true_horizon(&mut steps, seen).await;
        assert_eq!(end, seen, "nobody holds the gate any more");
        found.push(visible(&mut steps, late - 1, end).await.len());
        steps.run("COMMIT").await;
    }
    assert_eq!(found, [1, 2], "the late event is there for a new snapshot only");

    // A role or a database may have another default than ours: our reader's statements stand alone.
    place.execute("DELETE FROM highwater.event").await;
    let url = format!("{}&options[default_transaction_isolation]=repeatable%20read", place.url());
    let options = place.options().ownership(Ownership::Lease);
    let database = Database::open(&url, &options).await.expect("the database opens");
    let log = PgLog::new(&database);
    let mut all = reader(&log).await;
    let mut open = Session::new(&place).await;
    open.run("BEGIN").await;
    let late = open.append("a").await;
    let seen = Session::new(&place).await.append("b").await;
    assert!(read(&mut *all).await.is_empty());
    open.run("COMMIT").await;
    assert_eq!(read(&mut *all).await, [late.unsigned_abs(), seen.unsigned_abs()]);
}

#[tokio::test]
async fn e_2_locks_that_were_listed_before_the_data_lose_events() {
    let Some(place) = Place::new().await else { return };
    place.database().await;
    let mut steps = Session::new(&place).await;
    let early = true_horizon(&mut steps, 2).await;
    let mut open = one_open_two_committed(&place).await;
    assert_eq!(early, 2, "nobody held the gate before the data was read");
    assert_eq!(visible(&mut steps, 0, early).await, [2], "so the first event would be taken for dead");
    assert_eq!(true_horizon(&mut steps, 2).await, 0, "listed afterwards, its appender is seen");
    open.run("COMMIT").await;
    assert_eq!(visible(&mut steps, 0, 2).await, [1, 2]);
}

#[tokio::test]
async fn e_2_without_reading_again_behind_the_locks_events_are_lost() {
    let Some(place) = Place::new().await else { return };
    place.database().await;
    let mut steps = Session::new(&place).await;
    let mut open = one_open_two_committed(&place).await;
    let first = visible(&mut steps, 0, i64::MAX).await;
    open.run("COMMIT").await;
    let end = true_horizon(&mut steps, 2).await;
    assert_eq!((first, end), (vec![2], 2), "everything up to 2 is settled, and the first look lacks 1");
    assert_eq!(visible(&mut steps, 0, end).await, [1, 2]);
}

#[tokio::test]
async fn e_2_a_prepared_transaction_holds_readers_without_a_pid() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut steps = Session::new(&place).await;
    if steps.text_of("SHOW max_prepared_transactions").await == "0" {
        eprintln!("skipped: the server takes no prepared transactions");
        return;
    }
    let mut all = reader(&log).await;
    let mut by_filter = filtered(&log).await;
    let mut open = one_open_two_committed(&place).await;
    open.run(&format!("PREPARE TRANSACTION '{}'", place.schema())).await;
    assert_eq!(
        horizon(&mut steps, 2, &[SAME_DATABASE, NOT_MINE_BY_UNEQUAL]).await,
        2,
        "a comparison with NULL leaves the holder out"
    );
    assert!(read(&mut *all).await.is_empty());
    assert!(read(&mut *by_filter).await.is_empty());
    let holder = log.holder().await.expect("the log answers").expect("it is held");
    assert_eq!((holder.pid, holder.prepared.as_deref()), (None, Some(place.schema())));
    assert!(holder.age.is_some());
    open.run(&format!("COMMIT PREPARED '{}'", place.schema())).await;
    assert_eq!(read(&mut *all).await, [1, 2]);
    assert_eq!(read(&mut *by_filter).await, [1, 2]);
}

#[tokio::test]
async fn e_2_a_lock_of_another_database_holds_nobody() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut steps = Session::new(&place).await;
    let gate = steps.number("SELECT 'highwater.position'::regclass::oid::bigint").await;
    let another = format!("{}_another", place.schema());
    steps.run(&format!("CREATE DATABASE {another}")).await;
    let options = PgConnectOptions::from_str(&place.url()).expect("an address").database(&another);
    let connection = PgConnection::connect_with(&options).await.expect("a connection to the other database");
    let mut elsewhere = Session::on(connection, &place);
    elsewhere.run(&format!("SELECT pg_advisory_lock_shared({gate}, 0)")).await;
    one_open_two_committed(&place).await.run("ROLLBACK").await;
    assert_eq!(horizon(&mut steps, 2, &[NOT_MINE]).await, 0, "without the condition on the database");
    assert_eq!(read(&mut *reader(&log).await).await, [2]);
    assert_eq!(read(&mut *filtered(&log).await).await, [2]);
    steps.run(&format!("DROP DATABASE {another} WITH (FORCE)")).await;
}

#[tokio::test]
async fn e_2_the_readers_own_lock_holds_nobody() {
    let Some(place) = Place::new().await else { return };
    let options = place.options().max_connections(1);
    let database = Database::open(&place.url(), &options).await.expect("the database opens");
    let gate = Session::new(&place).await.number("SELECT 'highwater.position'::regclass::oid::bigint").await;
    // The pool's only connection holds the gate itself, as that of a caller who appends and reads does.
    {
        let mut connection = database.pool().acquire().await.expect("a connection");
        let lock = format!("SELECT pg_advisory_lock_shared({gate}, 0)");
        query(AssertSqlSafe(lock)).execute(&mut *connection).await.expect("the lock is free");
    }
    let log = PgLog::new(&database);
    one_open_two_committed(&place).await.run("ROLLBACK").await;
    let mut steps = Session::new(&place).await;
    assert_eq!(horizon(&mut steps, 2, &[SAME_DATABASE]).await, 0, "others are held by it");
    assert_eq!(read(&mut *reader(&log).await).await, [2]);
    assert_eq!(read(&mut *filtered(&log).await).await, [2]);
}

#[tokio::test]
async fn e_2_the_tail_is_never_taken_for_dead() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut session = Session::new(&place).await;
    session.append("a").await;
    session.run("BEGIN").await;
    session.append("a").await;
    session.append("a").await;
    session.run("ROLLBACK").await;
    let by_last_value = session.number("SELECT last_value FROM highwater.position").await;
    let (mut all, mut by_filter) = (reader(&log).await, filtered(&log).await);
    assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![1], vec![1]));
    assert_eq!(log.head().await.expect("the log answers"), at(1));
    // After a crash the server may draw the numbers again of which no durable commit depended.
    session.run("ALTER SEQUENCE highwater.position RESTART WITH 2").await;
    assert_eq!(session.append("a").await, 2);
    assert!(by_last_value >= 2, "a reader that had taken this for settled would pass it over");
    assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![2], vec![2]));
}

#[tokio::test]
async fn e_2_a_long_transaction_that_does_not_append_holds_nobody() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut long = Session::new(&place).await;
    long.run("CREATE TABLE mine (n int); BEGIN; INSERT INTO mine VALUES (1)").await;
    one_open_two_committed(&place).await.run("ROLLBACK").await;
    let horizon_by_xmin = long.yes("SELECT pg_snapshot_xmin(pg_current_snapshot()) <= pg_current_xact_id()");
    assert!(horizon_by_xmin.await, "a reader that goes by the oldest transaction waits for it");
    assert_eq!(read(&mut *reader(&log).await).await, [2]);
    assert_eq!(read(&mut *filtered(&log).await).await, [2]);
    long.run("ROLLBACK").await;
}

#[tokio::test]
async fn e_2_a_holder_whose_bound_is_above_everything_visible_holds_nobody() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    one_open_two_committed(&place).await.run("ROLLBACK").await;
    let (mut open, mut later) = (Session::new(&place).await, Session::new(&place).await);
    open.run("BEGIN").await;
    assert_eq!(open.append("a").await, 3);
    later.run("BEGIN").await;
    assert_eq!((later.append("c").await, later.bounds().await), (4, vec![3]));
    assert_eq!(read(&mut *reader(&log).await).await, [2]);
    assert_eq!(read(&mut *filtered(&log).await).await, [2]);
    assert_eq!(log.holder().await.expect("the log answers"), None);
    open.run("ROLLBACK").await;
    later.run("ROLLBACK").await;
}

#[tokio::test]
async fn e_2_what_follows_without_a_gap_is_read_past_a_holder_by_all_and_is_the_head() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut session = Session::new(&place).await;
    session.append("a").await;
    // Takes the gate at 1, and draws 4 only after 2 and 3 have been committed.
    let mut open = Session::new(&place).await;
    open.run("BEGIN; SELECT highwater.take_gate('highwater.position'::regclass)").await;
    session.append("a").await;
    session.append("a").await;
    assert_eq!(open.append("b").await, 4);
    session.append("a").await;
    assert_eq!(read(&mut *reader(&log).await).await, [1, 2, 3]);
    // Another process knows nothing of what that reader has seen.
    let other = PgLog::new(&place.database().await);
    assert_eq!(
        other.head().await.expect("the log answers"),
        at(3),
        "or a checkpoint would be ahead of the log"
    );
    let other = PgLog::new(&place.database().await);
    let mut by_filter = filtered(&other).await;
    assert_eq!(read(&mut *by_filter).await, [1, 2, 3]);
    open.run("COMMIT").await;
    assert_eq!(read(&mut *by_filter).await, [4, 5]);
}

#[tokio::test]
async fn e_2_a_reader_that_is_opened_in_front_of_a_gap_does_not_jump_it() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut open = one_open_two_committed(&place).await;
    // Nobody has proven anything about 1 to this process.
    for filter in [Filter::all(), Filter::types(["A"])] {
        let mut behind = log.open(at(1), &filter).await.expect("the log can be opened");
        let batch = behind.next(LIMIT).await.expect("the log can be read");
        assert!(batch.events.is_empty() && batch.scanned == at(1), "{batch:?}");
    }
    open.run("COMMIT").await;
    let mut behind = log.open(at(1), &Filter::all()).await.expect("the log can be opened");
    assert_eq!(commits(&behind.next(LIMIT).await.expect("the log can be read").events), [2]);
}

#[tokio::test]
async fn x_5_bounds_of_the_gate_are_cut_to_31_bits_and_compared_all_the_same() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    for start in [(1_i64 << 31) - 2, (1 << 31) - 1, 1 << 31, (1 << 33) + 7, i64::MAX - 10] {
        let mut session = Session::new(&place).await;
        session.run(&format!("ALTER SEQUENCE highwater.position RESTART WITH {start}")).await;
        session.append("a").await;
        let mut open = Session::new(&place).await;
        open.run("BEGIN").await;
        let late = open.append("b").await;
        session.append("a").await;
        session.append("a").await;
        // A later holder, whose bound is above everything that is visible, holds nobody.
        let mut later = Session::new(&place).await;
        later.run("BEGIN").await;
        later.append("c").await;
        for filter in [Filter::all(), Filter::types(["A"])] {
            let fresh = PgLog::new(log.database());
            let before = at(u64::try_from(start - 1).expect("a small number"));
            let mut reader = fresh.open(before, &filter).await.expect("the log can be opened");
            assert_eq!(read(&mut *reader).await, [start.unsigned_abs()], "{start} {filter:?}");
        }
        open.run("COMMIT").await;
        let mut reader = reader(&log).await;
        assert!(read(&mut *reader).await.ends_with(&[
            late.unsigned_abs(),
            late.unsigned_abs() + 1,
            late.unsigned_abs() + 2
        ]));
        later.run("ROLLBACK").await;
        // A log that begins anew: nobody has passed anything.
        session.run("TRUNCATE highwater.event; UPDATE highwater.settled_mark SET position = 0").await;
    }
}

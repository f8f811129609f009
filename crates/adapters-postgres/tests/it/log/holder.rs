//! What holds readers back, and the ledger of what never came.

use std::time::Duration;

use highwater_core::ports::{AppendEvents, EventLog};
use highwater_postgres::PgLog;
use highwater_testkit::fixtures::append_range;
use tokio::time::timeout;

use super::session::{LIMIT, Session, filtered, read, reader};
use crate::kit::Place;

#[tokio::test]
async fn an_operator_sees_who_holds_readers_back() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    assert_eq!(log.holder().await.expect("the log answers"), None);
    let mut session = Session::new(&place).await;
    session.append("a").await;
    let mut open = Session::new(&place).await;
    open.run("SET application_name = 'the billing service'; BEGIN").await;
    open.append("b").await;
    assert_eq!(log.holder().await.expect("the log answers"), None, "nothing is visible behind it");
    session.append("c").await;
    let holder = log.holder().await.expect("the log answers").expect("it is held");
    let pid = open.number("SELECT pg_backend_pid()::bigint").await;
    assert_eq!(holder.pid.map(i64::from), Some(pid));
    assert_eq!(holder.application_name.as_deref(), Some("the billing service"));
    assert_eq!((holder.position.commit(), holder.prepared), (1, None));
    assert!(holder.age.expect("the server tells") < Duration::from_secs(60));
    let held = log.held_back().await.expect("the log answers").expect("it is held");
    assert_eq!(held.position, holder.position);
    assert!(held.age >= holder.age);
    assert_eq!(held.holder, format!("server process {pid} (the billing service)"));
    open.run("COMMIT").await;
    assert_eq!(log.holder().await.expect("the log answers"), None);
    assert_eq!(log.held_back().await.expect("the log answers"), None);
}

#[tokio::test]
async fn e_2_a_reader_that_is_held_comes_back_by_itself() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    for mut reader in [reader(&log).await, filtered(&log).await] {
        let mut open = Session::new(&place).await;
        open.run("BEGIN").await;
        open.append("a").await;
        let late = Session::new(&place).await.append("b").await;
        read(&mut *reader).await;
        // Nobody announces that a transaction was rolled back.
        open.run("ROLLBACK").await;
        let found = async {
            loop {
                reader.wait().await.expect("the log is watched");
                let batch = reader.next(LIMIT).await.expect("the log can be read");
                if let Some(event) = batch.events.last() {
                    return event.position().commit();
                }
            }
        };
        let found = timeout(Duration::from_secs(20), found).await.expect("it looks again");
        assert_eq!(found, late.unsigned_abs());
    }
}

#[tokio::test]
async fn dead_numbers_are_noted_as_ranges_up_to_the_mark() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut session = Session::new(&place).await;
    append_range(&log, 0..10).await.expect("the log takes events");
    session
        .run("BEGIN; SELECT highwater.append('x', '{\"type\": \"A\"}') FROM generate_series(1, 3); ROLLBACK")
        .await;
    session.append("a").await;
    session.run("SELECT nextval('highwater.position')").await;
    session.run("ALTER SEQUENCE highwater.position RESTART WITH 15000").await;
    session.append("a").await;
    assert_eq!(read(&mut *reader(&log).await).await.len(), 12);
    let noted = "SELECT array_agg((first, last) ORDER BY first)::text FROM highwater.skipped";
    assert_eq!(session.text_of(noted).await, r#"{"(11,13)","(15,14999)"}"#);
    assert_eq!(session.number("SELECT position FROM highwater.settled_mark").await, 15_000);
    // Only what is new is looked at the next time.
    session.run("ALTER SEQUENCE highwater.position RESTART WITH 30000").await;
    session.append("a").await;
    assert_eq!(read(&mut *filtered(&log).await).await.len(), 13);
    assert_eq!(session.text_of(noted).await, r#"{"(11,13)","(15,14999)","(15001,29999)"}"#);
}

#[tokio::test]
async fn a_reader_that_may_not_write_reads_without_the_ledger() {
    let Some(place) = Place::new().await else { return };
    let owner = PgLog::new(&place.database().await);
    owner.append(&[]).await.expect("nothing to do");
    let mut session = Session::new(&place).await;
    session.append("a").await;
    session.run("ALTER SEQUENCE highwater.position RESTART WITH 20000").await;
    session.append("a").await;
    let role = format!("{}_role", place.schema());
    session
        .run(&format!(
            "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {schema} TO {role}; \
             GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
            schema = place.schema()
        ))
        .await;
    let url = format!("{}&options[role]={role}", place.url());
    let database =
        highwater_postgres::Database::open(&url, &place.options()).await.expect("the database opens");
    let log = PgLog::new(&database);
    let error = append_range(&log, 0..1).await.expect_err("it may not append");
    assert_eq!(error.kind(), highwater_core::ErrorKind::AccessDenied, "{error:?}");
    let (all, by_filter) = (read(&mut *reader(&log).await).await, read(&mut *filtered(&log).await).await);
    assert_eq!(session.number("SELECT position FROM highwater.settled_mark").await, 0);
    // Whoever was given the function appends through it, and in no other way.
    session
        .run(&format!(
            "GRANT EXECUTE ON FUNCTION highwater.append(text, json, bigint, text) TO {role}; SET ROLE {role}"
        ))
        .await;
    session.append("b").await;
    let insert = "INSERT INTO highwater.event SELECT * FROM highwater.event";
    assert_eq!(session.refused(insert).await, "42501");
    assert_eq!(session.refused("SELECT nextval('highwater.position')").await, "42501");
    session.run(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert_eq!((all, by_filter), (vec![1, 20_000], vec![1, 20_000]));
}

use highwater_core::error::ErrorKind;
use highwater_core::model::{Position, RecordedEvent};
use highwater_core::policy::Class;
use highwater_core::ports::{ApplySlice, DynProjection};
use highwater_postgres::sql_projection::SqlProjectionDef;

use super::support::{With, World, at, class_of, def, error_of, event};

const SCHEMA: &str = "CREATE TABLE t (how text, position bigint, seen bigint)";

/// Both write down how they were called, and how much was there before them.
fn mixed() -> SqlProjectionDef {
    def()
        .schema(SCHEMA)
        .apply(
            "INSERT INTO t SELECT 'apply', position, (SELECT count(*) FROM t WHERE how = 'on')
             FROM events ORDER BY 2",
        )
        .on("B", "INSERT INTO t VALUES ('on', :position, (SELECT count(*) FROM t))")
}

fn log() -> Vec<RecordedEvent> {
    (1..).zip(["B", "A", "B", "C", "A"]).map(|(n, event_type)| event((n, 0), "s", event_type, "{}")).collect()
}

#[tokio::test]
async fn f_4_an_event_with_an_entry_goes_there_only_and_apply_runs_first() {
    let Some(mut world) = World::new().await else { return };
    for (def, contiguous) in [(mixed(), true), (mixed(), false), (mixed().log_elsewhere(), true)] {
        let mut running = world.running(def, &log()).await;
        running.slice(ApplySlice::Events { events: &log(), contiguous }).await.unwrap();
        assert_eq!(
            running.world.lines("SELECT * FROM t ORDER BY how, position").await,
            ["apply,2,0", "apply,4,0", "apply,5,0", "on,1,3", "on,3,4"]
        );
    }
}

#[tokio::test]
async fn f_4_apply_does_not_run_without_an_event_for_it() {
    let Some(mut world) = World::new().await else { return };
    let sum = "UPDATE total SET n = n + (SELECT sum((data->>'n')::int) FROM events)";
    let def = def()
        .schema("CREATE TABLE total (n bigint); INSERT INTO total VALUES (0)")
        .apply(sum)
        .on("B", "SELECT 1");
    for def in [def.clone(), def.log_elsewhere()] {
        let log = [event((1, 0), "s", "B", "{}")];
        let mut running = world.running(def, &log).await;
        running.apply(&log).await.unwrap();
        running.apply(&[]).await.unwrap();
        assert_eq!(running.world.lines("SELECT n FROM total").await, ["0"]);
    }
}

#[tokio::test]
async fn f_4_a_type_without_an_entry_changes_nothing_where_there_is_no_apply() {
    let Some(mut world) = World::new().await else { return };
    let def = def().schema(SCHEMA).on("B", "INSERT INTO t VALUES (1, 1, 1)").types(&["A", "B"]);
    for def in [def.clone(), def.log_elsewhere()] {
        let mut running = world.running(def, &log()).await;
        running.apply(&log()).await.unwrap();
        assert_eq!(running.world.count("t").await, 2);
        running.apply(&log()[1..2]).await.unwrap();
        assert_eq!(running.world.count("t").await, 2);
    }
}

#[tokio::test]
async fn e_19_a_failing_entry_says_which_event_and_a_failing_apply_does_not() {
    let Some(mut world) = World::new().await else { return };
    let schema = "CREATE TABLE t (n bigint CHECK (n <> 4))";
    let events: Vec<RecordedEvent> = (1..7).map(|n| event((n, 0), "s", "A", "{}")).collect();
    let on = def().schema(schema).on("A", "SELECT 1;\nINSERT INTO t VALUES (:position)");
    for def in [on.clone(), on.log_elsewhere()] {
        for contiguous in [true, false] {
            let mut running = world.running(def.clone(), &events).await;
            let failure =
                running.slice(ApplySlice::Events { events: &events[1..], contiguous }).await.unwrap_err();
            assert_eq!(failure.index(), Some(2));
            let error = error_of(&failure);
            assert_eq!((error.kind(), error.backend_code()), (ErrorKind::Constraint, Some("23514")));
            assert_eq!(class_of(&failure), Class::Permanent);
            for part in ["on A", "line 2", "t_n_check"] {
                assert!(failure.message().contains(part), "{part} in {failure}");
            }
            assert_eq!(running.world.count("t").await, 0);
        }
    }

    for (def, contiguous) in [(def(), true), (def(), false), (def().log_elsewhere(), false)] {
        let apply = def.schema(schema).apply("INSERT INTO t SELECT position FROM events");
        let mut running = world.running(apply, &events).await;
        let failure = running.slice(ApplySlice::Events { events: &events, contiguous }).await.unwrap_err();
        assert_eq!((failure.index(), class_of(&failure)), (None, Class::Permanent));
        let alone = ApplySlice::Events { events: &events[3..4], contiguous };
        assert_eq!(running.slice(alone).await.unwrap_err().index(), Some(0));
        running.slice(ApplySlice::Events { events: &events[4..], contiguous }).await.unwrap();
        assert_eq!(running.world.count("t").await, 2);
    }
    let apply = def().schema(schema).apply("INSERT INTO t SELECT position FROM events");
    let mut running = world.running(apply, &events).await;
    let range = |count| ApplySlice::Range { after: Some(at((3, 0))), through: at((3 + count, 0)), count };
    assert_eq!(running.slice(range(1)).await.unwrap_err().index(), Some(0));
    assert_eq!(running.slice(range(3)).await.unwrap_err().index(), None);
}

#[tokio::test]
async fn e_19_what_an_entry_fails_with_has_its_class_and_the_transaction_goes_on() {
    let Some(mut world) = World::new().await else { return };
    let log = [event((1, 0), "s", "A", r#"{"x":"y","big":99999999999}"#)];
    for (sql, code, class) in [
        ("SELECT 1 / (:sequence - 1000)", "22012", Class::Permanent),
        ("INSERT INTO t (n) VALUES (:data.x)", "22P02", Class::Permanent),
        ("INSERT INTO t (n) VALUES (:data.big)", "22003", Class::Permanent),
        ("DO $$ BEGIN RAISE 'no such customer'; END $$", "P0001", Class::Unclassified),
        ("DO $$ BEGIN RAISE 'later' USING ERRCODE = '40001'; END $$", "40001", Class::Transient),
        ("DO $$ BEGIN PERFORM * FROM nosuch; END $$", "42P01", Class::Fatal),
        ("DO $$ BEGIN COMMIT; END $$", "2D000", Class::Fatal),
        ("SELECT currval('u')", "55000", Class::Unclassified),
    ] {
        let def = def().schema("CREATE TABLE t (n int); CREATE SEQUENCE u").on("A", sql);
        let running = world.running(def, &log).await;
        running.world.execute("BEGIN").await;
        let slice = ApplySlice::Events { events: &log, contiguous: true };
        let failure = running.projection.apply_slice(slice, &mut running.world.connection).await.unwrap_err();
        running.world.execute("SELECT 1; COMMIT").await;
        assert_eq!(error_of(&failure).backend_code(), Some(code), "{sql}: {failure}");
        assert_eq!((class_of(&failure), failure.index()), (class, Some(0)), "{sql}: {failure}");
    }
}

#[tokio::test]
async fn e_20_a_time_out_is_not_an_events_failure_unless_it_stands_alone() {
    let Some(mut world) = World::new().await else { return };
    let log = [event((1, 0), "s", "A", "{}"), event((2, 0), "s", "A", "{}")];
    for def in [def().on("A", "SELECT pg_sleep(5)"), def().apply("SELECT pg_sleep(5) FROM events")] {
        for (events, index) in [(&log[..], None), (&log[1..], Some(0))] {
            let mut running = world.running(def.clone(), &log).await;
            running.world.execute("SET statement_timeout = '50ms'").await;
            let failure = running.apply(events).await.unwrap_err();
            running.world.execute("RESET statement_timeout").await;
            assert_eq!((error_of(&failure).kind(), failure.index()), (ErrorKind::Timeout, index));
            assert_eq!(class_of(&failure), Class::Unclassified);
        }
    }
}

#[tokio::test]
async fn a_range_is_refused_where_events_must_be_read() {
    let Some(mut world) = World::new().await else { return };
    for def in [mixed(), def().schema(SCHEMA).apply("SELECT 1").log_elsewhere(), def().on("A", "SELECT 1")] {
        let mut running = world.running(def, &log()).await;
        assert!(!running.projection.takes_ranges());
        let range = ApplySlice::Range { after: None, through: Position::MAX, count: 5 };
        let failure = running.slice(range).await.unwrap_err();
        assert_eq!(error_of(&failure).kind(), ErrorKind::Invalid);
    }
    assert!(world.projection(def().apply("SELECT 1")).takes_ranges());
}

#[tokio::test]
async fn e_9_sql_that_ends_the_transaction_is_refused_and_fatal() {
    let Some(mut world) = World::new().await else { return };
    let log = [event((1, 0), "s", "A", "{}"), event((2, 0), "s", "A", "{}")];
    let schema = "CREATE TABLE t (n int);
        CREATE PROCEDURE ends() LANGUAGE plpgsql AS $$BEGIN INSERT INTO t VALUES (1); COMMIT; END$$";
    for (def, index) in [
        (def().on("A", "CALL ends()"), Some(0)),
        (def().apply("INSERT INTO t SELECT 2 FROM events; CALL ends()"), None),
        (def().apply("CALL ends()").log_elsewhere(), None),
        (def().apply("DO $$BEGIN ROLLBACK; END$$"), None),
    ] {
        let mut running = world.running(def.schema(schema), &log).await;
        let failure = running.apply(&log).await.unwrap_err();
        assert_eq!(error_of(&failure).kind(), ErrorKind::TransactionEnded, "{failure}");
        assert_eq!((class_of(&failure), failure.index()), (Class::Fatal, index));
        assert_eq!(running.world.count("t").await, 0);
    }
}

#[tokio::test]
async fn a_table_that_goes_away_at_run_time_is_an_error_of_the_schema_with_its_place() {
    let Some(mut world) = World::new().await else { return };
    for def in [
        def().on("A", "\nINSERT INTO t VALUES (:stream)"),
        def().apply("SELECT 1;\nINSERT INTO t SELECT stream FROM events"),
        def().apply("SELECT 1;\nINSERT INTO t SELECT stream FROM events").log_elsewhere(),
    ] {
        let log = [event((1, 0), "s", "A", "{}")];
        let mut running = world.running(def.schema("CREATE TABLE t (n text)"), &log).await;
        running.apply(&log).await.unwrap();
        running.world.execute("DROP TABLE t").await;
        let failure = running.apply(&log).await.unwrap_err();
        assert_eq!(error_of(&failure).kind(), ErrorKind::Schema);
        assert_eq!(class_of(&failure), Class::Fatal);
        assert!(failure.message().contains("line 2"), "{failure}");
    }
}

#[tokio::test]
async fn a_function_is_made_anew_where_the_session_has_lost_it() {
    let Some(mut world) = World::new().await else { return };
    let log = [event((1, 0), "s", "A", "{}")];
    let def = def().schema("CREATE TABLE t (n bigint)").apply("INSERT INTO t SELECT position FROM events");
    let def = def.on("A", "INSERT INTO t VALUES (:position)");
    let log = [log[0].clone(), event((2, 0), "s", "B", "{}")];
    for def in [def.clone(), def.log_elsewhere()] {
        let mut running = world.running(def, &log).await;
        running.apply(&log).await.unwrap();
        running.world.execute("DISCARD TEMP").await;
        running.apply(&log).await.unwrap();
        running.world.execute("RESET ALL").await;
        let user = running.world.place.user_schema();
        running.world.execute(&format!("SET search_path = {user}")).await;
        running.apply(&log).await.unwrap();
        running.world.connection = running.world.place.raw().await;
        running.apply(&log).await.unwrap();
        assert_eq!(running.world.count("t").await, 8);
    }
}

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Position, RecordedEvent};
use highwater_core::ports::ApplySlice;
use rusqlite::types::Value;

use super::super::SqlProjectionDef;
use super::support::{Running, With, def, event, text};

const SCHEMA: &str = "CREATE TABLE t (how, position, seen)";

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

#[test]
fn f_4_an_event_with_an_entry_goes_there_only_and_apply_runs_first() {
    for (def, contiguous) in [(mixed(), true), (mixed(), false), (mixed().log_elsewhere(), true)] {
        let running = Running::on(def, &log());
        running.slice(ApplySlice::Events { events: &log(), contiguous }).unwrap();
        let rows = |rows: &[(&str, i64, i64)]| {
            rows.iter()
                .map(|(how, p, n)| vec![text(how), Value::Integer(*p), Value::Integer(*n)])
                .collect::<Vec<_>>()
        };
        assert_eq!(
            running.rows("SELECT * FROM t ORDER BY rowid"),
            rows(&[("apply", 2, 0), ("apply", 4, 0), ("apply", 5, 0), ("on", 1, 3), ("on", 3, 4)])
        );
    }
}

#[test]
fn f_4_apply_does_not_run_without_an_event_for_it() {
    let sum = "UPDATE total SET n = n + (SELECT sum(data->>'n') FROM events)";
    let def =
        def().schema("CREATE TABLE total (n); INSERT INTO total VALUES (0)").apply(sum).on("B", "SELECT 1");
    for def in [def.clone(), def.log_elsewhere()] {
        let running = Running::on(def, &[event((1, 0), "s", "B", "{}")]);
        running.apply(&[event((1, 0), "s", "B", "{}")]).unwrap();
        running.apply(&[]).unwrap();
        assert_eq!(running.value("SELECT n FROM total"), Value::Integer(0));
    }
}

#[test]
fn f_4_a_type_without_an_entry_changes_nothing_where_there_is_no_apply() {
    let running = Running::on(
        def().schema(SCHEMA).on("B", "INSERT INTO t VALUES (1, 1, 1)").types(&["A", "B"]),
        &log(),
    );
    running.apply(&log()).unwrap();
    assert_eq!(running.count("t"), 2);
}

#[test]
fn e_19_a_failing_entry_says_which_event_and_a_failing_apply_does_not() {
    let schema = "CREATE TABLE t (n INTEGER CHECK (n <> 4)) STRICT";
    let on = Running::on(def().schema(schema).on("A", "INSERT INTO t VALUES (:position)"), &[]);
    let events: Vec<RecordedEvent> = (1..7).map(|n| event((n, 0), "s", "A", "{}")).collect();
    let failure = on.apply(&events).unwrap_err();
    assert_eq!(failure.index(), Some(3));
    let error = failure.source().downcast_ref::<Error>().unwrap();
    assert_eq!(
        (error.kind(), error.backend_code()),
        (ErrorKind::Constraint, Some("SQLITE_CONSTRAINT_CHECK"))
    );

    for (def, contiguous) in [(def(), true), (def(), false), (def().log_elsewhere(), false)] {
        let apply =
            Running::on(def.schema(schema).apply("INSERT INTO t SELECT position FROM events"), &events);
        let failure = apply.slice(ApplySlice::Events { events: &events, contiguous }).unwrap_err();
        assert_eq!(failure.index(), None);
        let alone = apply.slice(ApplySlice::Events { events: &events[3..4], contiguous }).unwrap_err();
        assert_eq!(alone.index(), Some(0));
        apply.slice(ApplySlice::Events { events: &events[4..], contiguous }).unwrap();
        assert_eq!(apply.count("t"), 2);
    }
    let apply = Running::on(def().schema(schema).apply("INSERT INTO t SELECT position FROM events"), &events);
    let range = |count| ApplySlice::Range {
        after: Some(Position::new(3, 0)),
        through: Position::new(3 + count, 0),
        count,
    };
    assert_eq!(apply.slice(range(1)).unwrap_err().index(), Some(0));
    assert_eq!(apply.slice(range(3)).unwrap_err().index(), None);
}

#[test]
fn a_range_is_refused_where_events_must_be_read() {
    for def in [mixed(), def().schema(SCHEMA).apply("SELECT 1").log_elsewhere(), def().on("A", "SELECT 1")] {
        let running = Running::on(def, &log());
        let failure =
            running.slice(ApplySlice::Range { after: None, through: Position::MAX, count: 5 }).unwrap_err();
        assert_eq!(failure.source().downcast_ref::<Error>().unwrap().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn e_9_sql_that_rolls_the_transaction_back_is_fatal() {
    for schema in [
        "CREATE TABLE t (n UNIQUE ON CONFLICT ROLLBACK)",
        "CREATE TABLE t (n);
         CREATE TRIGGER twice BEFORE INSERT ON t WHEN EXISTS (SELECT 1 FROM t) BEGIN
             SELECT RAISE(ROLLBACK, 'twice');
         END",
    ] {
        let running = Running::on(def().schema(schema).on("A", "INSERT INTO t VALUES (1)"), &[]);
        let events = [event((1, 0), "s", "A", "{}"), event((2, 0), "s", "A", "{}")];
        let failure = running.apply(&events).unwrap_err();
        assert_eq!(failure.source().downcast_ref::<Error>().unwrap().kind(), ErrorKind::TransactionEnded);
        assert_eq!(running.count("t"), 0);
    }
}

#[test]
fn a_table_that_goes_away_at_run_time_is_an_error_of_the_schema_with_its_place() {
    for def in [
        def().on("A", "\nINSERT INTO t VALUES (:stream)"),
        def().apply("\nINSERT INTO t SELECT stream FROM events"),
    ] {
        let log = [event((1, 0), "s", "A", "{}")];
        let running = Running::on(def.schema("CREATE TABLE t (n)"), &log);
        running.apply(&log).unwrap();
        running.conn().execute_batch("DROP TABLE t").unwrap();
        let failure = running.apply(&log).unwrap_err();
        assert_eq!(failure.source().downcast_ref::<Error>().unwrap().kind(), ErrorKind::Schema);
        assert!(failure.message().contains("line 2"), "{failure}");
    }
}

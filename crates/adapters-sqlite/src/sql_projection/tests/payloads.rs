use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::RecordedEvent;
use rusqlite::types::Value;

use super::super::SqlProjectionDef;
use super::support::{Running, With, apply_alone, def, event, events_with, text};

const SCHEMA: &str = "CREATE TABLE t (stream, x)";

/// What a payload is to whom.
#[derive(Clone, Copy, PartialEq)]
enum Json {
    /// Good, if odd; `x` is 1 in it.
    Good,
    /// SQLite's functions read it (JSON5); it is no JSON.
    Lenient,
    Bad,
}

/// Documents that some JSON reader or other stumbles over, and texts that are none.
fn odd() -> Vec<(String, Json)> {
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let values = [
        r#""\u0000""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        "1e400",
        "-1e-400",
        "123456789012345678901234567890.5",
        &deep,
        r#"{"":{"":null}}"#,
        r#""'); DROP TABLE t; --""#,
    ];
    let mut odd: Vec<(String, Json)> =
        values.iter().map(|value| (format!(r#"{{"odd":{value},"x":1}}"#), Json::Good)).collect();
    odd.extend(["{'x':1}", r#"{"x":1,}"#].map(|text| (text.to_owned(), Json::Lenient)));
    odd.extend(["", "{", "not json", r#"{"x":1} {}"#].map(|text| (text.to_owned(), Json::Bad)));
    odd
}

fn events() -> Vec<RecordedEvent> {
    let odd = odd();
    let payloads: Vec<&str> = odd.iter().map(|(payload, _)| payload.as_str()).collect();
    events_with("A", &payloads)
}

fn forms(sql: &str, on: &str) -> [SqlProjectionDef; 3] {
    [def().apply(sql), def().apply(sql).log_elsewhere(), def().on("A", on)].map(|def| def.schema(SCHEMA))
}

#[test]
fn f_6_an_event_whose_payload_is_not_touched_is_applied_whatever_its_payload() {
    let mut events = events();
    events.push(event((99, 0), "s-1", "A", vec![0xff, 0xfe]));
    for def in forms(
        "INSERT INTO t SELECT stream, position FROM events",
        "INSERT INTO t VALUES (:stream, :metadata.x)",
    ) {
        let running = Running::on(def, &events);
        running.apply(&events).unwrap();
        assert_eq!(running.count("t"), i64::try_from(events.len()).unwrap());
    }
    // as a whole it travels as it is
    for def in forms(
        "INSERT INTO t SELECT stream, data FROM events ORDER BY position",
        "INSERT INTO t VALUES (:stream, :data)",
    ) {
        let running = Running::on(def, &events);
        running.apply(&events).unwrap();
        let stored: Vec<Value> =
            running.rows("SELECT x FROM t ORDER BY rowid").into_iter().flatten().collect();
        let mut whole: Vec<Value> = odd().iter().map(|(payload, _)| text(payload)).collect();
        whole.push(Value::Blob(vec![0xff, 0xfe]));
        assert_eq!(stored, whole);
    }
}

#[test]
fn f_6_a_payload_that_is_no_json_is_that_events_permanent_failure_and_no_others() {
    let events = events();
    for def in forms(
        "INSERT INTO t SELECT stream, data->>'x' FROM events",
        "INSERT INTO t VALUES (:stream, :data.x)",
    ) {
        let strict = def.apply.is_none();
        let refused = |json| json == Json::Bad || (strict && json == Json::Lenient);
        let bad: Vec<usize> =
            odd().iter().enumerate().filter(|(_, (_, json))| refused(*json)).map(|(n, _)| n).collect();
        let running = Running::on(def, &events);
        let failed = apply_alone(&running, &events);
        assert_eq!(failed.iter().map(|(n, _)| *n).collect::<Vec<_>>(), bad, "strict {strict}");
        for (_, failure) in &failed {
            let error = failure.source().downcast_ref::<Error>().unwrap();
            assert_eq!((error.kind(), failure.index()), (ErrorKind::Decode, Some(0)), "{failure}");
        }
        let applied = i64::try_from(events.len() - bad.len()).unwrap();
        assert_eq!(
            running.value("SELECT count(*) FROM t WHERE x = 1"),
            Value::Integer(applied),
            "strict {strict}"
        );
    }
    let on = Running::on(def().schema(SCHEMA).on("A", "INSERT INTO t VALUES (:stream, :data.x)"), &[]);
    let failure = on.apply(&[event((1, 0), "s", "A", vec![b'"', 0xff, b'"'])]).unwrap_err();
    assert_eq!(failure.source().downcast_ref::<Error>().map(Error::kind), Some(ErrorKind::Decode));
}

#[test]
fn f_6_an_odd_value_is_a_failure_only_where_the_sql_asks_for_it() {
    let surrogate = event((1, 0), "s", "A", r#"{"name":"\ud800","x":1}"#);
    let asked = Running::on(def().schema(SCHEMA).on("A", "INSERT INTO t VALUES (:stream, :data.name)"), &[]);
    let failure = asked.apply(&[surrogate]).unwrap_err();
    assert!(failure.message().contains("name"), "{failure}");
    let deep = format!(r#"{{"a":{}1{}}}"#, r#"{"a":"#.repeat(499), "}".repeat(499));
    let running =
        Running::on(def().schema(SCHEMA).on("A", "INSERT INTO t VALUES (:stream, :data.a.a.a.b)"), &[]);
    running.apply(&[event((1, 0), "s", "A", deep)]).unwrap();
    assert_eq!(running.value("SELECT x FROM t"), Value::Null);
}

#[test]
fn f_6_a_value_that_a_function_or_a_column_cannot_take_fails_its_event() {
    for (schema, sql, payload, kind) in [
        (
            SCHEMA,
            "INSERT INTO t VALUES (1, json_extract(:data.x, '$.a'))",
            r#"{"x":"no json"}"#,
            ErrorKind::Decode,
        ),
        (
            SCHEMA,
            "INSERT INTO t VALUES (1, abs(:data.x))",
            r#"{"x":-9223372036854775808}"#,
            ErrorKind::Decode,
        ),
        (
            "CREATE TABLE t (a INTEGER, b TEXT) STRICT",
            "INSERT INTO t VALUES (:data.x, '')",
            r#"{"x":"y"}"#,
            ErrorKind::Constraint,
        ),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY)",
            "INSERT INTO t VALUES (:data.x)",
            r#"{"x":"y"}"#,
            ErrorKind::Constraint,
        ),
        (
            "CREATE TABLE t (a NOT NULL)",
            "INSERT INTO t VALUES (:data.x)",
            r#"{"x":null}"#,
            ErrorKind::Constraint,
        ),
    ] {
        let running = Running::on(def().schema(schema).on("A", sql), &[]);
        let failure = running.apply(&[event((1, 0), "s", "A", payload)]).unwrap_err();
        assert_eq!(failure.source().downcast_ref::<Error>().map(Error::kind), Some(kind), "{sql}: {failure}");
        assert_eq!(running.count("t"), 0);
    }
}

#[test]
fn types_and_streams_may_look_like_sql() {
    let names = ["'; DROP TABLE t; --", "SELECT", "events", "\"", "?1", ":data", "%_", "\n", "A'B", "é€😀"];
    let log: Vec<RecordedEvent> = (1..).zip(names).map(|(n, name)| event((n, 0), name, name, "{}")).collect();
    let mut on = def().schema(SCHEMA);
    for name in names {
        on = on.on(name, "INSERT INTO t VALUES (:stream, :type)");
    }
    let only = def().schema(SCHEMA).apply("INSERT INTO t SELECT stream, type FROM events").types(&names[..6]);
    for (def, count) in [(on, names.len()), (only, 6)] {
        let running = Running::on(def, &log);
        running.apply(&running.matching(&log)).unwrap();
        let rows: Vec<Vec<Value>> = names[..count].iter().map(|name| vec![text(name), text(name)]).collect();
        assert_eq!(running.rows("SELECT * FROM t ORDER BY rowid"), rows);
    }
}

use highwater_core::error::ErrorKind;
use highwater_core::model::RecordedEvent;
use highwater_core::policy::Class;
use highwater_postgres::sql_projection::SqlProjectionDef;

use super::support::{With, World, class_of, def, error_of, event, events_with};

const SCHEMA: &str = "CREATE TABLE t (stream text, x text)";

/// What a payload is to the server.
#[derive(Clone, Copy, PartialEq)]
enum Json {
    /// JSON whose fields can be taken; `x` is 1 in it.
    Good,
    /// JSON that PostgreSQL cannot take a field out of.
    Closed,
    /// No JSON.
    Bad,
}

/// Documents that some JSON reader or other stumbles over, and texts that are none.
fn odd() -> Vec<(String, Json)> {
    let deep = format!("{}{}", "[".repeat(450), "]".repeat(450));
    let value = |value: &str| format!(r#"{{"odd":{value},"x":1}}"#);
    let mut odd = vec![
        (value(r#""\u0000""#), Json::Closed),
        (value(r#""\ud800""#), Json::Closed),
        (value(r#""\udc00\ud800""#), Json::Closed),
        (value("1e400000"), Json::Good),
        (value("-1e-400"), Json::Good),
        (value("123456789012345678901234567890.5"), Json::Good),
        (value(&deep), Json::Good),
        (value(r#"{"":{"":null}}"#), Json::Good),
        (value(r#""'); DROP TABLE t; --""#), Json::Good),
    ];
    let bad = ["", "{", "not json", r#"{"x":1} {}"#, "{'x':1}", r#"{"x":1,}"#, "{\"x\":1}\0", "\u{feff}{}"];
    odd.extend(bad.map(|text| (text.to_owned(), Json::Bad)));
    odd.push((format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)), Json::Bad));
    odd
}

fn events() -> Vec<(RecordedEvent, Json)> {
    let odd = odd();
    let payloads: Vec<&str> = odd.iter().map(|(payload, _)| payload.as_str()).collect();
    events_with("A", &payloads).into_iter().zip(odd.iter().map(|(_, json)| *json)).collect()
}

/// The forms of one projection, each with the events that its log can hold: PostgreSQL's takes JSON only.
fn forms(apply: &str, on: &str) -> Vec<(SqlProjectionDef, Vec<(RecordedEvent, Json)>)> {
    let mut elsewhere = events();
    elsewhere.push((event((99, 0), "s-1", "A", vec![0xff, 0xfe]), Json::Bad));
    let here: Vec<_> = events().into_iter().filter(|(_, json)| *json != Json::Bad).collect();
    [def().apply(apply), def().on("A", on)]
        .map(|def| def.schema(SCHEMA))
        .into_iter()
        .flat_map(|def| [(def.clone(), here.clone()), (def.log_elsewhere(), elsewhere.clone())])
        .collect()
}

#[tokio::test]
async fn f_6_an_event_whose_payload_is_not_touched_is_applied_whatever_its_payload() {
    let Some(mut world) = World::new().await else { return };
    for (def, events) in forms(
        "INSERT INTO t SELECT stream, position FROM events WHERE type <> 'B' OR data->>'x' = '1'",
        "INSERT INTO t SELECT :stream, :metadata.x WHERE :type <> 'B'",
    ) {
        let events: Vec<RecordedEvent> = events.into_iter().map(|(event, _)| event).collect();
        let mut running = world.running(def, &events).await;
        running.apply(&events).await.unwrap();
        assert_eq!(running.world.count("t").await, i64::try_from(events.len()).unwrap());
    }
}

#[tokio::test]
async fn f_6_json_travels_as_it_is_written() {
    let Some(mut world) = World::new().await else { return };
    for (def, events) in forms(
        "INSERT INTO t SELECT stream, data FROM events ORDER BY position",
        "INSERT INTO t VALUES (:stream, :data)",
    ) {
        let json: Vec<RecordedEvent> =
            events.into_iter().filter(|(_, json)| *json != Json::Bad).map(|(event, _)| event).collect();
        let mut running = world.running(def, &json).await;
        running.apply(&json).await.unwrap();
        let stored = running.world.lines("SELECT x FROM t").await;
        let whole: Vec<&str> = json.iter().map(|event| std::str::from_utf8(event.data()).unwrap()).collect();
        assert_eq!(stored, whole);
    }
}

#[tokio::test]
async fn f_6_a_payload_that_the_sql_cannot_take_is_that_events_permanent_failure_and_no_others() {
    let Some(mut world) = World::new().await else { return };
    for (def, events) in forms(
        "INSERT INTO t SELECT stream, data->>'x' FROM events",
        "INSERT INTO t VALUES (:stream, :data.x)",
    ) {
        let bad: Vec<usize> =
            events.iter().enumerate().filter(|(_, (_, json))| *json != Json::Good).map(|(n, _)| n).collect();
        let events: Vec<RecordedEvent> = events.into_iter().map(|(event, _)| event).collect();
        let knows_the_culprit = def.apply.is_none();
        let mut running = world.running(def, &events).await;
        let failed = running.apply_alone(&events).await;
        assert_eq!(failed.iter().map(|(n, _)| *n).collect::<Vec<_>>(), bad);
        for (n, failure) in &failed {
            assert_eq!(failure.index(), Some(0), "{n}: {failure}");
            assert_eq!(class_of(failure), Class::Permanent, "{n}: {failure}");
        }
        let applied = i64::try_from(events.len() - bad.len()).unwrap();
        assert_eq!(running.world.count("t WHERE x = '1'").await, applied);
        let whole = running.apply(&events).await.unwrap_err();
        assert_eq!(whole.index(), knows_the_culprit.then_some(bad[0]), "{whole}");
    }
}

#[tokio::test]
async fn f_6_a_payload_outside_of_the_filter_is_never_looked_at() {
    let Some(mut world) = World::new().await else { return };
    let types: Vec<String> = (0..12).map(|n| format!("A{n}")).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let log = [
        event((1, 0), "s", "A1", r#"{"x":1}"#),
        event((2, 0), "s", "B", r#"{"x":"\u0000"}"#),
        event((3, 0), "s", "A2", r#"{"x":1}"#),
    ];
    let apply = "INSERT INTO t SELECT stream, data->>'x' FROM events WHERE data->>'x' = '1'";
    let mut running = world.running(def().schema(SCHEMA).apply(apply).types(&types), &log).await;
    let matching = running.matching(&log);
    running.apply(&matching).await.unwrap();
    assert_eq!(running.world.count("t").await, 2);
}

#[tokio::test]
async fn f_6_a_value_that_a_function_or_a_column_cannot_take_fails_its_event() {
    let Some(mut world) = World::new().await else { return };
    for (schema, sql, payload, kind) in [
        (
            SCHEMA,
            "INSERT INTO t VALUES (1, (:data.x::json)->>'a')",
            r#"{"x":"no json"}"#,
            ErrorKind::Unstorable,
        ),
        (
            "CREATE TABLE t (a int)",
            "INSERT INTO t VALUES (abs(:data.x::int))",
            r#"{"x":-2147483648}"#,
            ErrorKind::Unstorable,
        ),
        ("CREATE TABLE t (a int)", "INSERT INTO t VALUES (:data.x)", r#"{"x":"y"}"#, ErrorKind::Unstorable),
        (
            "CREATE TABLE t (a varchar(2))",
            "INSERT INTO t VALUES (:data.x)",
            r#"{"x":"long"}"#,
            ErrorKind::Unstorable,
        ),
        (
            "CREATE TABLE t (a text NOT NULL)",
            "INSERT INTO t VALUES (:data.x)",
            r#"{"x":null}"#,
            ErrorKind::Constraint,
        ),
    ] {
        let log = [event((1, 0), "s", "A", payload)];
        let mut running = world.running(def().schema(schema).on("A", sql), &log).await;
        let failure = running.apply(&log).await.unwrap_err();
        assert_eq!(error_of(&failure).kind(), kind, "{sql}: {failure}");
        assert_eq!(running.world.count("t").await, 0);
    }
}

#[tokio::test]
async fn types_and_streams_may_look_like_sql() {
    let Some(mut world) = World::new().await else { return };
    let names = [
        "'; DROP TABLE t; --",
        "SELECT",
        "events",
        "\"",
        "$1",
        ":data",
        "%_",
        "\n",
        "A'B",
        "é€😀",
        "$hw0$",
        "\\",
    ];
    let log: Vec<RecordedEvent> = (1..).zip(names).map(|(n, name)| event((n, 0), name, name, "{}")).collect();
    let mut on = def().schema(SCHEMA);
    for name in names {
        on = on.on(name, "INSERT INTO t VALUES (:stream, :type)");
    }
    let apply = "INSERT INTO t SELECT stream, type FROM events ORDER BY position";
    let only = def().schema(SCHEMA).apply(apply).types(&names[..6]);
    let except = def().schema(SCHEMA).apply(apply).on(names[0], "SELECT 1").on(names[8], "SELECT 1");
    for (def, count) in [(on, names.len()), (only, 6), (except, names.len() - 2)] {
        for def in [def.clone(), def.log_elsewhere()] {
            let mut running = world.running(def, &log).await;
            let matching = running.matching(&log);
            running.apply(&matching).await.unwrap();
            assert_eq!(running.world.count("t WHERE stream = x").await, i64::try_from(count).unwrap());
        }
    }
}

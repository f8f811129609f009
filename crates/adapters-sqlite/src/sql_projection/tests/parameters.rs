use highwater_core::model::{ContentType, Position, RecordedEvent};
use rusqlite::types::Value;

use super::support::{Running, With, def, event, parts, text};

/// What these parameters of one event are bound to.
fn bound(values: &str, event: &RecordedEvent) -> Vec<Value> {
    let columns: Vec<String> = (0..=values.matches(", ").count()).map(|n| format!("c{n}")).collect();
    let schema = format!("CREATE TABLE v ({})", columns.join(", "));
    let sql = format!("INSERT INTO v VALUES ({values})");
    let running = Running::on(def().schema(&schema).on(event.event_type(), &sql), &[]);
    running.apply(std::slice::from_ref(event)).unwrap();
    running.rows("SELECT * FROM v").remove(0)
}

#[test]
fn f_3_every_name_has_its_value() {
    let mut parts = parts((3, 1), "case-A/'\"", "A", r#"{"a":1}"#);
    parts.metadata = r#"{"user":"u"}"#.into();
    parts.sequence = 7;
    let event = RecordedEvent::new(parts);
    assert_eq!(
        bound(
            ":id, :stream, :category, :sequence, :position, :offset, :type, :time, \
             :data, :metadata, :metadata.user, :id",
            &event
        ),
        [
            text("00000000-0000-0003-0000-000000000001"),
            text("case-A/'\""),
            text("case"),
            Value::Integer(7),
            Value::Integer(3),
            Value::Integer(1),
            text("A"),
            text("2013-01-01T10:17:00.120Z"),
            text(r#"{"a":1}"#),
            text(r#"{"user":"u"}"#),
            text("u"),
            text("00000000-0000-0003-0000-000000000001"),
        ]
    );
}

#[test]
fn f_3_json_becomes_what_the_specification_says() {
    let data = r#"{"s":"it's","i":9223372036854775807,"n":14.50,"big":18446744073709551615,"huge":1e400,
        "t":true,"f":false,"z":null,"o":{ "b":[1] },"a":[10,"x"],"a b":{"c.d":1},"":2,"neg":-0.0}"#;
    assert_eq!(
        bound(
            ":data.s, :data.i, :data.n, :data.big, :data.huge, :data.t, :data.f, :data.z, \
             :data.none, \
             :data.o, :data.a, :data.a.1, :data.a.2, :data.\"a b\".\"c.d\", :data.\"\", :data.neg",
            &event((1, 0), "s", "A", data)
        ),
        [
            text("it's"),
            Value::Integer(i64::MAX),
            Value::Real(14.5),
            text("18446744073709551615"),
            text("1e400"),
            Value::Integer(1),
            Value::Integer(0),
            Value::Null,
            Value::Null,
            text(r#"{ "b":[1] }"#),
            text(r#"[10,"x"]"#),
            text("x"),
            Value::Null,
            Value::Integer(1),
            Value::Integer(2),
            Value::Real(-0.0),
        ]
    );
}

#[test]
fn f_3_values_are_bound_and_never_read_as_sql() {
    for nasty in ["'); DROP TABLE v; --", "?1", ":data.x", "\u{0}", "'", "\"", "ends with \\"] {
        let data = serde_json::json!({ "x": nasty }).to_string();
        assert_eq!(
            bound(":data.x, :stream", &event((1, 0), nasty, "'; DROP TABLE v; --", data)),
            [text(nasty), text(nasty)]
        );
    }
}

#[test]
fn f_3_what_only_looks_like_a_parameter_is_passed_over() {
    let schema = "CREATE TABLE \"v:stream\" (\"c:d\", b)";
    let sql = "INSERT INTO \"v:stream\" ([c:d], b) VALUES (':id', 'it''s :x ' /* :y */ || :stream); -- :z";
    let running = Running::on(def().schema(schema).on("A", sql), &[]);
    running.apply(&[event((1, 0), "s", "A", "{}")]).unwrap();
    assert_eq!(running.rows("SELECT * FROM \"v:stream\""), [[text(":id"), text("it's :x s")]]);
}

#[test]
fn f_3_binary_payloads_and_absent_metadata() {
    let mut parts = parts((1, 0), "s", "A", vec![0xff, 0x00]);
    parts.content_type = ContentType::Binary;
    parts.metadata = "".into();
    let event = RecordedEvent::new(parts);
    assert_eq!(
        bound(":data, :metadata, :metadata.user", &event),
        [Value::Blob(vec![0xff, 0]), Value::Null, Value::Null]
    );
}

#[test]
fn x_5_a_number_that_sqlite_cannot_hold_fails_its_event_where_it_is_used() {
    let far = event((u64::MAX, u64::MAX), "s", "A", "{}");
    assert_eq!(far.position(), Position::MAX);
    let with = |sql: &str| {
        let running = Running::on(def().schema("CREATE TABLE v (x)").on("A", sql), &[]);
        running.apply(std::slice::from_ref(&far))
    };
    with("INSERT INTO v VALUES (:stream)").unwrap();
    for value in [":position", ":offset", ":sequence"] {
        let failure = with(&format!("INSERT INTO v VALUES ({value})")).unwrap_err();
        assert_eq!(failure.index(), Some(0));
        assert!(failure.message().contains(&u64::MAX.to_string()), "{failure}");
    }
}

#[test]
fn f_3_statements_of_an_entry_run_in_order_for_each_event_and_rows_are_passed_over() {
    let sql = "SELECT * FROM v;
               UPDATE v SET n = n + 1 WHERE s = :stream;
               INSERT INTO v SELECT :stream, 1 WHERE changes() = 0;
               INSERT INTO log VALUES (:position, (SELECT n FROM v WHERE s = :stream)) RETURNING *";
    let running =
        Running::on(def().schema("CREATE TABLE v (s, n); CREATE TABLE log (p, n)").on("A", sql), &[]);
    let events =
        [event((1, 0), "a", "A", "{}"), event((2, 0), "b", "A", "{}"), event((3, 0), "a", "A", "{}")];
    running.apply(&events).unwrap();
    let integers =
        |rows: &[[i64; 2]]| rows.iter().map(|row| row.map(Value::Integer).to_vec()).collect::<Vec<_>>();
    assert_eq!(running.rows("SELECT p, n FROM log ORDER BY p"), integers(&[[1, 1], [2, 1], [3, 2]]));
}

use highwater_core::model::{ContentType, Pattern, Position, RecordedEvent};
use highwater_core::ports::ApplySlice;
use proptest::prelude::*;
use rusqlite::types::Value;
use uuid::Uuid;

use super::super::{SqlProjection, SqlProjectionDef};
use super::support::{Running, With, def, event, parts, rows, text};

const SEEN: &str =
    "CREATE TABLE seen (position, \"offset\", id, stream, category, sequence, type, time, data, metadata)";
const SEE: &str = "INSERT INTO seen SELECT * FROM events ORDER BY position, \"offset\"";

fn both() -> [SqlProjectionDef; 2] {
    let see = def().schema(SEEN).apply(SEE);
    [see.clone(), see.log_elsewhere()]
}

fn odd() -> RecordedEvent {
    let mut odd = parts((3, 1), "case-A/'\"\u{1}", "'; DROP TABLE seen; --", r#"{"a":1}"#);
    odd.id = Uuid::parse_str("0190B1A2-0000-7ABC-8DEF-000000000001").unwrap();
    odd.metadata = r#"{"m":"é"}"#.into();
    odd.sequence = 7;
    RecordedEvent::new(odd)
}

#[test]
fn f_2_events_has_the_stated_columns_whether_the_log_is_here_or_elsewhere() {
    for def in both() {
        let running = Running::on(def, &[odd()]);
        running.apply(&[odd()]).unwrap();
        assert_eq!(
            running.rows("SELECT * FROM seen"),
            [[
                Value::Integer(3),
                Value::Integer(1),
                text("0190b1a2-0000-7abc-8def-000000000001"),
                text("case-A/'\"\u{1}"),
                text("case"),
                Value::Integer(7),
                text("'; DROP TABLE seen; --"),
                text("2013-01-01T10:17:00.120Z"),
                text(r#"{"a":1}"#),
                text(r#"{"m":"é"}"#),
            ]]
        );
        let names: Vec<String> = running
            .conn()
            .prepare("SELECT * FROM events")
            .unwrap()
            .column_names()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            names,
            [
                "position", "offset", "id", "stream", "category", "sequence", "type", "time", "data",
                "metadata"
            ]
        );
    }
}

#[test]
fn f_2_binary_payloads_are_blobs_and_no_metadata_is_null() {
    for def in both() {
        let mut binary = parts((1, 0), "s", "A", "plain");
        binary.content_type = ContentType::Binary;
        binary.metadata = "".into();
        let mut json = parts((2, 0), "s", "A", vec![0xff]);
        json.metadata = "".into();
        let events = [RecordedEvent::new(binary), RecordedEvent::new(json)];
        let running = Running::on(def, &events);
        running.apply(&events).unwrap();
        assert_eq!(
            running.rows("SELECT data, metadata FROM seen"),
            [[Value::Blob(b"plain".to_vec()), Value::Null], [Value::Blob(vec![0xff]), Value::Null]]
        );
    }
}

proptest! {
    #[test]
    fn f_2_time_is_what_rfc_3339_says(
        micros in prop_oneof![any::<i64>(), -70_000_000_000_000_000..300_000_000_000_000_000i64]
    ) {
        for def in both() {
            let mut parts = parts((1, 0), "s", "A", "{}");
            parts.time_micros = micros;
            let event = RecordedEvent::new(parts);
            let running = Running::on(def, std::slice::from_ref(&event));
            running.apply(std::slice::from_ref(&event)).unwrap();
            prop_assert_eq!(running.value("SELECT time FROM seen"), Value::Text(event.time_rfc3339()));
        }
    }
}

#[test]
fn f_2_only_events_that_match_are_seen_and_only_those_of_the_slice() {
    let log: Vec<RecordedEvent> = (0..30)
        .map(|n| {
            event(
                (n / 3 + 1, n % 3),
                if n % 2 == 0 { "case-1" } else { "other-1" },
                if n % 5 == 0 { "B" } else { "Ab" },
                "{}",
            )
        })
        .collect();
    for mut def in both() {
        def.filter.types = vec![Pattern::parse("A*")];
        def.filter.streams = vec![Pattern::parse("case-*")];
        let running = Running::on(def, &log);
        let matching = running.matching(&log);
        running.apply(&matching[2..7]).unwrap();
        let seen: Vec<Vec<Value>> = running.rows("SELECT position, \"offset\" FROM seen");
        let expected: Vec<Vec<Value>> = matching[2..7].iter().map(|event| place(event.position())).collect();
        assert_eq!(seen, expected);
    }
}

fn place(position: Position) -> Vec<Value> {
    [position.commit(), position.prepare()].map(|half| Value::Integer(i64::try_from(half).unwrap())).to_vec()
}

#[test]
fn e_3_a_range_is_open_below_and_closed_above_in_whole_positions() {
    let log: Vec<RecordedEvent> = (0..12).map(|n| event((n / 4 + 1, n % 4), "s", "A", "{}")).collect();
    let range = |after: Option<(u64, u64)>, through: (u64, u64)| {
        let running = Running::on(def().schema(SEEN).apply(SEE), &log);
        let position = |(commit, prepare)| Position::new(commit, prepare);
        let (after, through) = (after.map(position), position(through));
        running.slice(ApplySlice::Range { after, through, count: 2 }).unwrap();
        running.count("seen")
    };
    assert_eq!(range(None, (1, 0)), 1);
    assert_eq!(range(None, (u64::MAX, 0)), 12);
    assert_eq!(range(Some((1, 0)), (1, 3)), 3);
    assert_eq!(range(Some((1, 2)), (3, 0)), 6);
    assert_eq!(range(Some((1, 3)), (2, u64::MAX)), 4);
    assert_eq!(range(Some((1, u64::MAX)), (2, 0)), 1);
    assert_eq!(range(Some((3, 3)), (u64::MAX, u64::MAX)), 0);
}

#[test]
fn f_2_events_shadows_a_users_table_in_apply_and_nowhere_else() {
    let schema = "CREATE TABLE events (stream TEXT); CREATE INDEX by_stream ON events (stream);
                  INSERT INTO events VALUES ('mine'); CREATE TABLE copy (stream TEXT)";
    for def in both() {
        let def = SqlProjectionDef { schema: None, ..def }
            .schema(schema)
            .apply("INSERT INTO copy SELECT stream FROM Events");
        let log = [event((1, 0), "s-1", "A", "{}")];
        let running = Running::on(def, &log);
        running.apply(&log).unwrap();
        assert_eq!(running.rows("SELECT stream FROM copy"), [[text("s-1")]]);
        assert_eq!(running.rows("SELECT stream FROM main.events"), [[text("mine")]]);
        // the schema runs, and a rebuild empties, while `events` stands for something else
        running.projection.clear_on(running.conn()).unwrap();
        assert_eq!((running.count("copy"), running.count("events")), (0, 1));
    }
    let only_on = def().schema(schema).on("A", "INSERT INTO events VALUES (:stream)");
    let running = Running::on(only_on, &[]);
    running.apply(&[event((1, 0), "s-1", "A", "{}")]).unwrap();
    assert_eq!(running.count("events"), 2);
}

#[test]
fn f_2_apply_may_begin_with_with_and_hold_several_statements() {
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2)
               INSERT INTO t SELECT stream, i FROM events CROSS JOIN n;
               CREATE TEMP TABLE last AS SELECT max(position) AS p FROM events;
               INSERT INTO t SELECT 'last', p FROM last;
               SELECT * FROM t; -- rows are passed over
               DROP TABLE last;";
    for def in [def().apply(sql), def().apply(sql).log_elsewhere()] {
        let log = [event((1, 0), "a", "A", "{}"), event((2, 0), "b", "A", "{}")];
        let running = Running::on(def.schema("CREATE TABLE t (s, n)"), &log);
        for event in &log {
            running.apply(std::slice::from_ref(event)).unwrap();
        }
        assert_eq!(running.count("t"), 6);
        assert_eq!(
            running.rows("SELECT n FROM t WHERE s = 'last' ORDER BY n"),
            [[Value::Integer(1)], [Value::Integer(2)]]
        );
    }
}

#[test]
fn e_19_a_rolled_back_slice_leaves_nothing_that_misleads_the_next() {
    let log: Vec<RecordedEvent> = (1..9).map(|n| event((n, 0), "s", "A", "{}")).collect();
    let running = Running::on(def().schema(SEEN).apply(SEE), &log);
    let undone = |events: &[RecordedEvent], contiguous| {
        let conn = running.conn();
        conn.execute_batch("SAVEPOINT outer").unwrap();
        running.projection.apply_on(conn, ApplySlice::Events { events, contiguous }).unwrap();
        assert_eq!(running.count("seen"), i64::try_from(events.len()).unwrap());
        conn.execute_batch("ROLLBACK TO outer; RELEASE outer").unwrap();
    };
    // the relation changes its form inside what is rolled back, in both directions
    for (events, contiguous) in
        [(&log[..3], false), (&log[2..4], true), (&log[1..8], false), (&log[..], true)]
    {
        undone(events, contiguous);
        undone(events, !contiguous);
        undone(events, contiguous);
    }
    // and within one transaction
    running.slice(ApplySlice::Events { events: &log[..2], contiguous: false }).unwrap();
    running.slice(ApplySlice::Events { events: &log[2..4], contiguous: true }).unwrap();
    running.slice(ApplySlice::Events { events: &log[4..5], contiguous: false }).unwrap();
    assert_eq!(running.count("seen"), 5);
}

#[test]
fn two_projections_may_share_a_connection() {
    let log: Vec<RecordedEvent> =
        (1..5).map(|n| event((n, 0), "s", if n % 2 == 0 { "A" } else { "B" }, "{}")).collect();
    let running = Running::on(def().schema(SEEN).apply(SEE).types(&["A"]), &log);
    let other = SqlProjection::new(def().apply(SEE).types(&["B"])).unwrap();
    for _ in 0..2 {
        other
            .apply_on(running.conn(), ApplySlice::Range { after: None, through: Position::MAX, count: 2 })
            .unwrap();
        running.slice(ApplySlice::Range { after: None, through: Position::MAX, count: 2 }).unwrap();
    }
    assert_eq!(
        running.rows("SELECT type, count(*) FROM seen GROUP BY 1"),
        [[text("A"), Value::Integer(4)], [text("B"), Value::Integer(4)]]
    );
}

/// What the planner does, a line a step.
fn plan(running: &Running, sql: &str) -> Vec<String> {
    rows(running.conn(), &format!("EXPLAIN QUERY PLAN {sql}"))
        .into_iter()
        .map(|row| match &row[3] {
            Value::Text(step) => step.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn e_3_the_view_is_folded_into_a_search_of_the_primary_key_with_both_bounds() {
    let log: Vec<RecordedEvent> = (1..5).map(|n| event((n, 0), "s", "A", "{}")).collect();
    let running = Running::on(def().schema(SEEN).apply(SEE).types(&["A", "B*"]), &log);
    running.conn().execute_batch("CREATE INDEX by_type ON highwater_event (type)").unwrap();
    let range = |step: &String| {
        step.contains("SEARCH")
            && step.contains("PRIMARY KEY")
            && step.contains("(position,offset)>")
            && step.contains("(position,offset)<")
    };
    for sql in [
        "INSERT INTO seen (stream, position) SELECT stream, count(*) FROM events WHERE true GROUP BY 1",
        "SELECT data->>'a', time, id FROM events",
        "SELECT stream FROM events ORDER BY position, \"offset\"",
        "SELECT max(sequence) FROM events WHERE stream >= 's'",
        "SELECT t.stream, e.data FROM seen t LEFT JOIN events e ON e.sequence = t.sequence",
    ] {
        let steps = plan(&running, sql);
        assert_eq!(steps.iter().filter(|step| range(step)).count(), 1, "{sql}: {steps:?}");
        let bad = ["MATERIALIZE", "CO-ROUTINE", "SCAN highwater_event", "TEMP B-TREE FOR ORDER BY"];
        assert!(!steps.iter().any(|step| bad.iter().any(|bad| step.contains(bad))), "{sql}: {steps:?}");
    }
}

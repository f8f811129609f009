use highwater_core::model::{ContentType, Position, RecordedEvent};
use highwater_core::policy::Class;
use highwater_core::ports::ApplySlice;

use super::support::{With, World, class_of, def, event, parts};

/// What these parameters of one event are bound to, in a table whose columns are of one type.
async fn bound(world: &mut World, of_type: &str, values: &str, event: &RecordedEvent) -> Vec<Option<String>> {
    let columns: Vec<String> =
        (0..=values.matches(", ").count()).map(|n| format!("c{n} {of_type}")).collect();
    let schema = format!("CREATE TABLE v ({})", columns.join(", "));
    let def = def().schema(&schema).on(event.event_type(), &format!("INSERT INTO v VALUES ({values})"));
    let here = if event.position() == Position::MAX { def.clone().log_elsewhere() } else { def.clone() };
    let mut found = Vec::new();
    for def in [here, def.log_elsewhere()] {
        let mut running = world.running(def, std::slice::from_ref(event)).await;
        running.apply(std::slice::from_ref(event)).await.unwrap();
        found.push(running.world.rows("SELECT * FROM v").await.remove(0));
    }
    assert_eq!(found[0], found[1], "the same whether the log is here or elsewhere");
    found.remove(0)
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| (*text != "-").then(|| (*text).to_owned())).collect()
}

#[tokio::test]
async fn f_3_every_name_has_its_value() {
    let Some(mut world) = World::new().await else { return };
    let mut parts = parts((3, 1), "case-A/'\"\\", "A", r#"{"a":1}"#);
    parts.metadata = r#"{"user":"u"}"#.into();
    parts.sequence = 7;
    let event = RecordedEvent::new(parts);
    let values = ":id, :stream, :category, :sequence, :position, :offset, :type, :time, \
                  :data, :metadata, :metadata.user, :id";
    let id = "00000000-0000-0003-0000-000000000001";
    assert_eq!(
        bound(&mut world, "text", values, &event).await,
        some(&[
            id,
            "case-A/'\"\\",
            "case",
            "7",
            "3",
            "1",
            "A",
            "2013-01-01 10:17:00.12+00",
            r#"{"a":1}"#,
            r#"{"user":"u"}"#,
            "u",
            id,
        ])
    );
}

#[tokio::test]
async fn f_3_json_becomes_what_the_specification_says() {
    let Some(mut world) = World::new().await else { return };
    let data = r#"{"s":"it's","i":9223372036854775807,"n":14.50,"big":18446744073709551615,"huge":1e400,
        "t":true,"f":false,"z":null,"o":{ "b":[1] },"a":[10,"x"],"a b":{"c.d":1},"":2,"neg":-0.0,
        "-1":"minus","dup":1,"dup":2,"odd":["first","last"]}"#;
    let values = ":data.s, :data.i, :data.n, :data.big, :data.huge, :data.t, :data.f, :data.z, \
                  :data.none, :data.o, :data.a, :data.a.1, :data.a.2, :data.\"a b\".\"c.d\", :data.\"\", \
                  :data.neg, :data.\"-1\", :data.dup, :data.odd.\"-1\", :data.odd.\"01\", :data.s.x, :data.s.0";
    assert_eq!(
        bound(&mut world, "text", values, &event((1, 0), "s", "A", data)).await,
        some(&[
            "it's",
            "9223372036854775807",
            "14.50",
            "18446744073709551615",
            "1e400",
            "true",
            "false",
            "-",
            "-",
            r#"{ "b":[1] }"#,
            r#"[10,"x"]"#,
            "x",
            "-",
            "1",
            "2",
            "-0.0",
            "minus",
            "2",
            "-",
            "-",
            "-",
            "-",
        ])
    );
}

#[tokio::test]
async fn f_3_a_value_is_cast_to_the_type_that_the_sql_needs() {
    let Some(mut world) = World::new().await else { return };
    let data =
        r#"{"n":"12","i":7,"d":"2024-02-29","t":true,"x":14.50,"j":{"a":[1]},"mood":"fine","l":["a","b"]}"#;
    let schema = "CREATE TYPE mood AS ENUM ('fine', 'bad');
        CREATE TABLE v (n int, i bigint, d date, t boolean, x numeric, j jsonb, m mood, p varchar(20), u text, w text[])";
    let sql =
        "INSERT INTO v VALUES (:data.n, :data.i, :data.d, :data.t, :data.x, :data.j, :data.mood, :stream,
                                     upper(:data.mood) || :data.n, ARRAY[:data.l.0, :data.l.1, :stream]);
               UPDATE v SET n = n + :data.i, i = i * :sequence, d = d + :data.i::int
               WHERE d = :data.d AND jsonb_build_object('k', :data.n) = '{\"k\":\"12\"}' AND :position > 0";
    let mut parts = parts((1, 0), "s", "A", data);
    parts.sequence = 3_000_000_000;
    let log = [RecordedEvent::new(parts)];
    for def in [def(), def().log_elsewhere()] {
        let mut running = world.running(def.schema(schema).on("A", sql), &log).await;
        running.apply(&log).await.unwrap();
        assert_eq!(
            running.world.lines("SELECT * FROM v").await,
            ["19,21000000000,2024-03-07,t,14.50,{\"a\": [1]},fine,s,FINE12,{a,b,s}"]
        );
    }
}

#[tokio::test]
async fn f_3_values_are_bound_and_never_read_as_sql() {
    let Some(mut world) = World::new().await else { return };
    for nasty in [
        "'); DROP TABLE v; --",
        "$1",
        ":data.x",
        "'",
        "\"",
        "ends with \\",
        "$hw0$",
        "\u{1}\n\r\t",
        "%s é€😀",
    ] {
        let data = serde_json::json!({ "x": nasty, nasty: "key" }).to_string();
        let key = nasty.replace('"', "\"\"");
        let values = format!(":data.x, :stream, :data.\"{key}\"");
        assert_eq!(
            bound(&mut world, "text", &values, &event((1, 0), nasty, "A", data)).await,
            some(&[nasty, nasty, "key"])
        );
    }
}

#[tokio::test]
async fn f_3_what_only_looks_like_a_parameter_is_passed_over() {
    let Some(mut world) = World::new().await else { return };
    let schema = "CREATE TABLE \"v:stream\" (\"c:d\" text, b text, e int[])";
    let sql = "INSERT INTO \"v:stream\" (\"c:d\", b, e) VALUES
        (':id', 'it''s :x ' /* :y */ || :stream || $q$ :z$q$ || E'\\':w'::text, (ARRAY[1,2,3])[1:2]); -- :z";
    let log = [event((1, 0), "s", "A", "{}")];
    let mut running = world.running(def().schema(schema).on("A", sql), &log).await;
    running.apply(&log).await.unwrap();
    assert_eq!(running.world.lines("SELECT * FROM \"v:stream\"").await, [":id,it's :x s :z':w,{1,2}"]);
}

#[tokio::test]
async fn f_3_absent_metadata_has_no_fields() {
    let Some(mut world) = World::new().await else { return };
    let mut parts = parts((1, 0), "s", "A", "{}");
    parts.metadata = "".into();
    let values = ":metadata, :metadata.user, :data.user";
    assert_eq!(bound(&mut world, "text", values, &RecordedEvent::new(parts)).await, some(&["-", "-", "-"]));
}

#[tokio::test]
async fn x_5_a_number_that_no_column_holds_fails_its_event_where_it_is_used() {
    let Some(mut world) = World::new().await else { return };
    let mut far = parts((u64::MAX, u64::MAX), "s", "A", "{}");
    far.time_micros = i64::MIN;
    let far = [RecordedEvent::new(far)];
    assert_eq!(far[0].position(), Position::MAX);
    let table = "CREATE TABLE v (x text)";
    let slice = ApplySlice::Events { events: &far, contiguous: true };
    for (on, apply) in [(":stream", "stream"), (":type", "type")] {
        let on = def().on("A", &format!("INSERT INTO v VALUES ({on})"));
        let apply = def().apply(&format!("INSERT INTO v SELECT {apply} FROM events"));
        for def in [on, apply] {
            let mut running = world.running(def.log_elsewhere().schema(table), &[]).await;
            running.slice(slice).await.unwrap();
            assert_eq!(running.world.count("v").await, 1);
        }
    }
    for field in ["position", "offset", "sequence", "time"] {
        let on = def().on("A", &format!("INSERT INTO v VALUES (:{field})"));
        let apply = def().apply(&format!("INSERT INTO v SELECT \"{field}\" FROM events"));
        for def in [on, apply] {
            let mut running = world.running(def.log_elsewhere().schema(table), &[]).await;
            let failure = running.slice(slice).await.unwrap_err();
            assert_eq!((failure.index(), class_of(&failure)), (Some(0), Class::Permanent), "{failure}");
        }
    }
}

#[tokio::test]
async fn x_10_a_name_with_a_nul_is_its_events_failure() {
    let Some(mut world) = World::new().await else { return };
    let def =
        def().schema("CREATE TABLE v (x text)").on("A", "INSERT INTO v VALUES (:stream)").log_elsewhere();
    let mut running = world.running(def, &[]).await;
    let log = [event((1, 0), "s", "A", "{}"), event((2, 0), "a\0b", "A", "{}")];
    let failure = running.apply(&log).await.unwrap_err();
    assert_eq!((failure.index(), class_of(&failure)), (Some(1), Class::Permanent));
    assert!(failure.message().contains("U+0000"), "{failure}");
}

#[tokio::test]
async fn f_6_binary_payloads_fail_only_the_sql_that_opens_them() {
    let Some(mut world) = World::new().await else { return };
    let mut parts = parts((1, 0), "s", "A", vec![0xff, 0x00]);
    parts.content_type = ContentType::Binary;
    let log = [RecordedEvent::new(parts)];
    for (value, fails) in [(":stream", false), (":data", true), (":data.x", true), (":metadata.x", true)] {
        let def = def().schema("CREATE TABLE v (x text)").log_elsewhere();
        let def = def.on("A", &format!("INSERT INTO v VALUES ({value})"));
        let mut running = world.running(def, &[]).await;
        let outcome = running.apply(&log).await;
        // Metadata of a binary event is binary, too; here it happens to be JSON.
        let class = outcome.err().map(|failure| class_of(&failure));
        assert_eq!(
            class,
            if fails && value != ":metadata.x" { Some(Class::Permanent) } else { None },
            "{value}"
        );
    }
}

#[tokio::test]
async fn f_3_statements_of_an_entry_run_in_order_for_each_event_and_rows_are_passed_over() {
    let Some(mut world) = World::new().await else { return };
    let sql = "SELECT * FROM v;
               VALUES (:stream, :position); TABLE v;
               UPDATE v SET n = n + 1 WHERE s = :stream;
               INSERT INTO v SELECT :stream, 1 WHERE NOT EXISTS (SELECT 1 FROM v WHERE s = :stream) RETURNING n;
               WITH it AS (SELECT n FROM v WHERE s = :stream)
               INSERT INTO log SELECT :position, n FROM it RETURNING *;
               WITH gone AS (DELETE FROM log WHERE n = :data.gone RETURNING *) SELECT count(*) FROM gone;
               (SELECT 1) UNION SELECT :sequence;
               MERGE INTO v USING (SELECT :stream AS s) m ON v.s = m.s WHEN MATCHED THEN UPDATE SET n = n";
    let def = def().schema("CREATE TABLE v (s text, n int); CREATE TABLE log (p bigint, n int)").on("A", sql);
    let data = r#"{"gone":7}"#;
    let log = [event((1, 0), "a", "A", data), event((2, 0), "b", "A", data), event((3, 0), "a", "A", data)];
    for def in [def.clone(), def.log_elsewhere()] {
        let mut running = world.running(def, &log).await;
        running.apply(&log).await.unwrap();
        assert_eq!(running.world.lines("SELECT p, n FROM log ORDER BY p").await, ["1,1", "2,1", "3,2"]);
    }
}

#[tokio::test]
async fn f_3_columns_win_over_names_of_the_generated_function() {
    let Some(mut world) = World::new().await else { return };
    let schema = "CREATE TABLE v (found text, _hw text, _hw_n int, sqlstate text, loop int)";
    let sql = "INSERT INTO v (found, _hw, _hw_n, sqlstate, loop) VALUES (:stream, :stream, 1, 'x', 2);
               UPDATE v SET _hw_n = _hw_n + 1, loop = loop + 1 WHERE found = :stream AND sqlstate = 'x'";
    let log = [event((1, 0), "s", "A", "{}")];
    let mut running = world.running(def().schema(schema).on("A", sql), &log).await;
    running.apply(&log).await.unwrap();
    assert_eq!(running.world.lines("SELECT * FROM v").await, ["s,s,2,x,3"]);
}

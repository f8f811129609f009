use highwater_core::model::{Partition, Pattern, RecordedEvent};
use highwater_core::ports::{ApplySlice, DynProjection};
use highwater_postgres::sql_projection::SqlProjectionDef;
use uuid::Uuid;

use super::support::{With, World, at, def, event, parts};

const SEEN: &str = "CREATE TABLE seen (position bigint, \"offset\" int, id uuid, stream text, category text,
     sequence bigint, type text, time timestamptz, data json, metadata json)";
const SEE: &str = "INSERT INTO seen SELECT * FROM events ORDER BY position, \"offset\"";

fn both() -> [SqlProjectionDef; 2] {
    let see = def().schema(SEEN).apply(SEE);
    [see.clone(), see.log_elsewhere()]
}

fn odd() -> RecordedEvent {
    let mut odd = parts((3, 1), "case-A/'\"\u{1}\\", "'; DROP TABLE seen; --", r#"{"a":1}"#);
    odd.id = Uuid::parse_str("0190B1A2-0000-7ABC-8DEF-000000000001").unwrap();
    odd.metadata = r#"{"m":"é"}"#.into();
    odd.sequence = 7;
    RecordedEvent::new(odd)
}

#[tokio::test]
async fn f_2_events_has_the_stated_columns_whether_the_log_is_here_or_elsewhere() {
    let Some(mut world) = World::new().await else { return };
    for (def, offset) in both().into_iter().zip(["integer", "bigint"]) {
        for contiguous in [true, false] {
            let mut running = world.running(def.clone(), &[odd()]).await;
            running.slice(ApplySlice::Events { events: &[odd()], contiguous }).await.unwrap();
            let rows = running.world.rows("SELECT * FROM seen").await;
            let expected = [
                "3",
                "1",
                "0190b1a2-0000-7abc-8def-000000000001",
                "case-A/'\"\u{1}\\",
                "case",
                "7",
                "'; DROP TABLE seen; --",
                "2013-01-01 10:17:00.12+00",
                r#"{"a":1}"#,
                r#"{"m":"é"}"#,
            ];
            assert_eq!(rows, [expected.map(|text| Some(text.to_owned())).to_vec()]);
        }
        let columns = world
            .lines(
                "SELECT attname, format_type(atttypid, atttypmod), attcollation = 'pg_catalog.\"default\"'::regcollation
                 FROM pg_attribute WHERE attrelid = 'pg_temp.events'::regclass AND attnum > 0 ORDER BY attnum",
            )
            .await;
        assert_eq!(
            columns,
            [
                "position,bigint,f".to_owned(),
                format!("offset,{}", if offset == "bigint" { "bigint,f" } else { "integer,f" }),
                "id,uuid,f".to_owned(),
                "stream,text,t".to_owned(),
                "category,text,t".to_owned(),
                "sequence,bigint,f".to_owned(),
                "type,text,t".to_owned(),
                "time,timestamp with time zone,f".to_owned(),
                "data,json,f".to_owned(),
                "metadata,json,f".to_owned(),
            ]
        );
    }
}

#[tokio::test]
async fn f_2_no_metadata_is_null_and_times_far_away_are_kept() {
    let Some(mut world) = World::new().await else { return };
    for def in both() {
        let events: Vec<RecordedEvent> = (1..)
            .zip([0, -1, 1_357_035_420_120_001, -62_135_596_800_000_001, 253_402_300_799_999_999])
            .map(|(n, micros)| {
                let mut parts = parts((n, 0), "s", "A", "{}");
                parts.metadata = "".into();
                parts.time_micros = micros;
                RecordedEvent::new(parts)
            })
            .collect();
        let mut running = world.running(def, &events).await;
        running.apply(&events).await.unwrap();
        let lines = running.world.lines("SELECT time, metadata FROM seen ORDER BY position").await;
        assert_eq!(
            lines,
            [
                "1970-01-01 00:00:00+00,-",
                "1969-12-31 23:59:59.999999+00,-",
                "2013-01-01 10:17:00.120001+00,-",
                "0001-12-31 23:59:59.999999+00 BC,-",
                "9999-12-31 23:59:59.999999+00,-",
            ]
        );
    }
}

#[tokio::test]
async fn f_2_only_events_that_match_are_seen_and_only_those_of_the_slice() {
    let Some(mut world) = World::new().await else { return };
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
        let mut running = world.running(def, &log).await;
        let matching = running.matching(&log);
        running.apply(&matching[2..7]).await.unwrap();
        let seen = running.world.lines("SELECT position, \"offset\" FROM seen").await;
        let expected: Vec<String> =
            matching[2..7].iter().map(|event| event.position().to_string().replace(':', ",")).collect();
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn f_2_a_partition_sees_its_own_streams() {
    let Some(mut world) = World::new().await else { return };
    let log: Vec<RecordedEvent> = (1..20).map(|n| event((n, 0), &format!("s-{n}"), "A", "{}")).collect();
    let on = def().schema(SEEN).on("A", "INSERT INTO seen (position, stream) VALUES (:position, :stream)");
    for mut def in [def().schema(SEEN).apply(SEE), on] {
        def.filter.partition = Some(Partition { index: 1, of: 3 });
        let mut running = world.running(def, &log).await;
        let matching = running.matching(&log);
        assert!(!matching.is_empty() && matching.len() < log.len());
        running.apply(&matching).await.unwrap();
        let expected: Vec<String> = matching.iter().map(|event| event.stream().to_owned()).collect();
        assert_eq!(running.world.lines("SELECT stream FROM seen ORDER BY position").await, expected);
    }
}

#[tokio::test]
async fn e_3_a_range_is_open_below_and_closed_above_in_whole_positions() {
    let Some(mut world) = World::new().await else { return };
    let log: Vec<RecordedEvent> = (0..12).map(|n| event((n / 4 + 1, n % 4), "s", "A", "{}")).collect();
    let mut running = world.running(def().schema(SEEN).apply(SEE), &log).await;
    for (after, through, count) in [
        (None, (1, 0), 1),
        (None, (u64::MAX, 0), 12),
        (Some((1, 0)), (1, 3), 3),
        (Some((1, 2)), (3, 0), 6),
        (Some((1, 3)), (2, u64::MAX), 4),
        (Some((1, u64::MAX)), (2, 0), 1),
        (Some((3, 3)), (u64::MAX, u64::MAX), 0),
    ] {
        running.world.execute("TRUNCATE seen").await;
        let range = ApplySlice::Range { after: after.map(at), through: at(through), count: 2 };
        running.slice(range).await.unwrap();
        assert_eq!(running.world.count("seen").await, count, "{after:?} {through:?}");
    }
}

#[tokio::test]
async fn f_2_events_shadows_a_users_table_in_apply_and_nowhere_else() {
    let Some(mut world) = World::new().await else { return };
    let schema = "CREATE TABLE events (stream text); CREATE INDEX by_stream ON events (stream);
                  INSERT INTO events VALUES ('mine'); CREATE TABLE copy (stream text)";
    let log = [event((1, 0), "s-1", "A", "{}")];
    for def in [def(), def().log_elsewhere()] {
        let def = def.schema(schema).apply("INSERT INTO copy SELECT stream FROM Events");
        let mut running = world.running(def, &log).await;
        running.apply(&log).await.unwrap();
        assert_eq!(running.world.lines("SELECT stream FROM copy").await, ["s-1"]);
        // whoever has the session next finds the user's table
        assert_eq!(running.world.lines("SELECT stream FROM events").await, ["mine"]);
        running.world.execute("INSERT INTO events VALUES ('more')").await;
        running.projection.clear(&mut running.world.connection).await.unwrap();
        assert_eq!((running.world.count("copy").await, running.world.count("events").await), (0, 1));
    }
    let mut running =
        world.running(def().schema(schema).on("A", "INSERT INTO events VALUES (:stream)"), &log).await;
    running.apply(&log).await.unwrap();
    assert_eq!(running.world.lines("SELECT stream FROM events").await, ["mine", "s-1"]);
}

#[tokio::test]
async fn f_2_behind_a_pooler_nothing_stays_in_the_session() {
    use highwater_postgres::{Database, Ownership};

    let Some(mut world) = World::new().await else { return };
    let options = world.place.options().ownership(Ownership::Lease);
    world.database = Database::open(&world.place.url(), &options).await.unwrap();
    let schema = "CREATE TABLE seen (stream text); CREATE TABLE events (stream text)";
    let log = [event((1, 0), "s-1", "A", "{}")];
    for def in [def(), def().log_elsewhere()] {
        let def = def.schema(schema).apply("INSERT INTO seen SELECT stream FROM events");
        let path = world.lines("SHOW search_path").await;
        let mut running = world.running(def, &log).await;
        for _ in 0..2 {
            running.apply(&log).await.unwrap();
        }
        assert_eq!((running.world.count("seen").await, running.world.count("events").await), (2, 0));
        assert_eq!(running.world.lines("SELECT to_regclass('pg_temp.events')").await, ["-"]);
        assert_eq!(running.world.lines("SHOW search_path").await, path);
    }
}

#[tokio::test]
async fn f_2_apply_may_begin_with_with_and_hold_several_statements() {
    let Some(mut world) = World::new().await else { return };
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2)
               INSERT INTO t SELECT stream, i FROM events CROSS JOIN n;
               CREATE TEMP TABLE latest AS SELECT max(position) AS p FROM events;
               INSERT INTO t SELECT 'last', p FROM latest;
               SELECT * FROM t; -- rows are passed over
               DROP TABLE latest;";
    for def in [def().apply(sql), def().apply(sql).log_elsewhere()] {
        let log = [event((1, 0), "a", "A", "{}"), event((2, 0), "b", "A", "{}")];
        let mut running = world.running(def.schema("CREATE TABLE t (s text, n bigint)"), &log).await;
        for event in &log {
            running.apply(std::slice::from_ref(event)).await.unwrap();
        }
        assert_eq!(running.world.count("t").await, 6);
        assert_eq!(running.world.lines("SELECT n FROM t WHERE s = 'last' ORDER BY n").await, ["1", "2"]);
    }
}

#[tokio::test]
async fn e_19_a_rolled_back_slice_leaves_nothing_that_misleads_the_next() {
    let Some(mut world) = World::new().await else { return };
    let log: Vec<RecordedEvent> = (1..9).map(|n| event((n, 0), "s", "A", "{}")).collect();
    world.reset(&log).await;
    world.execute(SEEN).await;
    // A session that was never used before: everything that it is given goes with the savepoint.
    let see = || def().apply(SEE).on("B", "INSERT INTO seen (position) VALUES (:position)");
    let projection = world.projection(see());
    world.execute("BEGIN").await;
    for (events, contiguous) in
        [(&log[..3], false), (&log[2..4], true), (&log[1..8], false), (&log[..], true)]
    {
        for contiguous in [contiguous, !contiguous, contiguous] {
            world.execute("SAVEPOINT outside").await;
            let slice = ApplySlice::Events { events, contiguous };
            projection.apply_slice(slice, &mut world.connection).await.unwrap();
            assert_eq!(world.count("seen").await, i64::try_from(events.len()).unwrap());
            world.execute("ROLLBACK TO outside; RELEASE outside").await;
        }
    }
    for (events, contiguous) in [(&log[..2], false), (&log[2..4], true), (&log[4..5], false)] {
        let slice = ApplySlice::Events { events, contiguous };
        projection.apply_slice(slice, &mut world.connection).await.unwrap();
    }
    world.execute("COMMIT").await;
    assert_eq!(world.count("seen").await, 5);
    let slice = ApplySlice::Events { events: &log[5..6], contiguous: false };
    world.execute("BEGIN").await;
    projection.apply_slice(slice, &mut world.connection).await.unwrap();
    world.execute("COMMIT").await;
    assert_eq!(world.count("seen").await, 6);
}

#[tokio::test]
async fn projections_share_a_session() {
    let Some(mut world) = World::new().await else { return };
    let log: Vec<RecordedEvent> =
        (1..5).map(|n| event((n, 0), "s", if n % 2 == 0 { "A" } else { "B" }, "{}")).collect();
    let on = world.projection(def().on("A", "INSERT INTO seen (type) VALUES ('on')").types(&["A"]));
    let b = world.projection(def().apply(SEE).types(&["B"]));
    let mut running = world.running(def().schema(SEEN).apply(SEE).types(&["A"]), &log).await;
    for _ in 0..2 {
        let whole = ApplySlice::Range { after: None, through: at((9, 0)), count: 2 };
        b.apply_slice(whole, &mut running.world.connection).await.unwrap();
        running.slice(whole).await.unwrap();
        let events = running.matching(&log);
        let slice = ApplySlice::Events { events: &events, contiguous: true };
        running.world.execute("BEGIN").await;
        on.apply_slice(slice, &mut running.world.connection).await.unwrap();
        running.world.execute("COMMIT").await;
    }
    assert_eq!(
        running.world.lines("SELECT type, count(*) FROM seen GROUP BY 1 ORDER BY 1").await,
        ["A,4", "B,4", "on,4"]
    );
}

#[tokio::test]
async fn e_3_a_range_is_read_by_the_index_of_positions() {
    let Some(mut world) = World::new().await else { return };
    let mut running = world.running(def().schema(SEEN).apply(SEE).types(&["A", "B*"]), &[]).await;
    let schema = running.world.place.schema().to_owned();
    running
        .world
        .execute(&format!(
            "INSERT INTO {schema}.event (position, \"offset\", id, stream, category, sequence, type, time, stream_hash,
                                         size, data)
             SELECT n, 0, md5(n::text)::uuid, 's-' || n % 100, 's', n, CASE WHEN n % 3 = 0 THEN 'A' ELSE 'Bc' END,
                    now(), n % 1000, 2, '{{}}' FROM generate_series(1, 20000) n;
             ANALYZE {schema}.event"
        ))
        .await;
    let range = ApplySlice::Range { after: Some(at((9000, 0))), through: at((9500, 0)), count: 500 };
    running.slice(range).await.unwrap();
    assert_eq!(running.world.count("seen").await, 500);
    running
        .world
        .execute(
            "SELECT set_config('hw.lo_position', '9000', false), set_config('hw.hi_position', '9500', false),
                    set_config('hw.lo_offset', '0', false), set_config('hw.hi_offset', '0', false)",
        )
        .await;
    for sql in [
        "SELECT stream, count(*) FROM pg_temp.events GROUP BY 1",
        "SELECT data->>'a' FROM pg_temp.events WHERE data->>'b' = '1'",
        "SELECT t.stream, e.data FROM seen t LEFT JOIN pg_temp.events e ON e.sequence = t.sequence",
    ] {
        let plan = running.world.lines(&format!("EXPLAIN {sql}")).await.join("\n");
        assert!(
            plan.contains("Index Cond: ((\"position\" >= ") && !plan.contains("Seq Scan on event"),
            "{plan}"
        );
        // and the planner knows how much it is
        let rows = plan.split(" event_position ").nth(1).and_then(|rest| rest.split("rows=").nth(1));
        let rows = rows.unwrap_or_else(|| panic!("{plan}"));
        let rows: u32 = rows.split(' ').next().unwrap().parse().unwrap();
        assert!((250..1000).contains(&rows), "{plan}");
    }
}

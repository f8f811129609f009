//! SQL against a fold in Rust, at random cuts.

use std::collections::BTreeMap;

use highwater_core::model::RecordedEvent;
use highwater_core::ports::{ApplySlice, DynProjection};
use highwater_postgres::sql_projection::SqlProjectionDef;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::support::{With, World, def, event};

const SCHEMA: &str = "CREATE TABLE t (stream text PRIMARY KEY, n bigint, total bigint, last bigint, at text)";
const APPLY: &str = "
    INSERT INTO t
    SELECT stream, count(*), sum((data->>'v')::bigint),
           (SELECT (e.data->>'v')::bigint FROM events e WHERE e.stream = events.stream
            ORDER BY position DESC, \"offset\" DESC LIMIT 1),
           (SELECT e.position || ':' || e.\"offset\" FROM events e WHERE e.stream = events.stream
            ORDER BY position DESC, \"offset\" DESC LIMIT 1)
    FROM events GROUP BY stream
    ON CONFLICT (stream) DO UPDATE SET n = t.n + excluded.n, total = t.total + excluded.total,
                                        last = excluded.last, at = excluded.at";
const ON: &str = "
    INSERT INTO t VALUES (:stream, 1, :data.v, :data.v, :position || ':' || :offset)
    ON CONFLICT (stream) DO UPDATE SET n = t.n + 1, total = t.total + excluded.total,
                                        last = excluded.last, at = excluded.at";
/// Types are counted apart, since `apply` and `on` see them in another order.
const TYPES: [&str; 3] = ["A", "Ab", "B"];

fn forms() -> Vec<SqlProjectionDef> {
    let forms = [
        def().apply(APPLY),
        def().on("A", ON).on("Ab", ON),
        def().apply(APPLY).types(&["A*"]),
        def().apply(APPLY).on("Ab", ON),
    ];
    forms.into_iter().flat_map(|def| [def.clone(), def.log_elsewhere()]).collect()
}

/// Events of streams that hold one type each.
fn log() -> impl Strategy<Value = Vec<RecordedEvent>> {
    proptest::collection::vec((1..3u64, 0..3usize, 0..3u8, -1000..1000i64), 0..60).prop_map(|steps| {
        let mut at = (1, 0);
        steps
            .into_iter()
            .map(|(step, event_type, stream, v)| {
                at = if step == 1 { (at.0, at.1 + 1) } else { (at.0 + step, 0) };
                let event_type = TYPES[event_type];
                event(at, &format!("{event_type}-{stream}"), event_type, format!(r#"{{"v":{v}}}"#))
            })
            .collect()
    })
}

fn fold(events: &[RecordedEvent]) -> Vec<String> {
    let mut streams: BTreeMap<&str, (i64, i64, i64, String)> = BTreeMap::new();
    for event in events {
        let v = event.json::<serde_json::Value>().unwrap()["v"].as_i64().unwrap();
        let row = streams.entry(event.stream()).or_default();
        *row = (row.0 + 1, row.1 + v, v, event.position().to_string());
    }
    let line = |(stream, (n, total, last, at)): (&str, (i64, i64, i64, String))| {
        format!("{stream},{n},{total},{last},{at}")
    };
    streams.into_iter().map(line).collect()
}

async fn cut(world: &mut World, log: &[RecordedEvent], cuts: &[(usize, bool)]) -> Result<(), TestCaseError> {
    world.reset(log).await;
    world.execute(SCHEMA).await;
    for def in forms() {
        world.execute("TRUNCATE t").await;
        let projection = world.projection(def);
        let filter = projection.filter().clone();
        let matching: Vec<RecordedEvent> =
            log.iter().filter(|event| filter.matches(event.event_type(), event.stream())).cloned().collect();
        let mut rest = matching.as_slice();
        world.execute("BEGIN").await;
        for (size, whole) in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (slice, after) = rest.split_at(rest.len().min(*size));
            let slice = if *whole && projection.takes_ranges() {
                let before = matching.len() - rest.len();
                ApplySlice::Range {
                    after: before.checked_sub(1).map(|last| matching[last].position()),
                    through: slice[slice.len() - 1].position(),
                    count: u64::try_from(slice.len()).unwrap(),
                }
            } else {
                ApplySlice::Events { events: slice, contiguous: *whole }
            };
            projection.apply_slice(slice, &mut world.connection).await.unwrap();
            rest = after;
        }
        world.execute("COMMIT").await;
        let found = world.lines("SELECT * FROM t ORDER BY stream COLLATE \"C\"").await;
        prop_assert_eq!(found, fold(&matching));
    }
    Ok(())
}

#[test]
fn f_1_any_cut_gives_what_a_fold_gives() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(world) = runtime.block_on(World::new()) else { return };
    let world = std::cell::RefCell::new(world);
    let cuts = proptest::collection::vec((1..20usize, any::<bool>()), 1..8);
    TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(24) })
        .run(&(log(), cuts), |(log, cuts)| runtime.block_on(cut(&mut world.borrow_mut(), &log, &cuts)))
        .unwrap();
}

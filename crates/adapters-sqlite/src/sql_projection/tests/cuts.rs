//! SQL against a fold in Rust, at random cuts.

use std::collections::BTreeMap;

use highwater_core::model::RecordedEvent;
use highwater_core::ports::ApplySlice;
use proptest::prelude::*;
use rusqlite::types::Value;

use super::super::SqlProjectionDef;
use super::support::{Running, With, def, event, text};

const SCHEMA: &str = "CREATE TABLE t (stream TEXT PRIMARY KEY, n, total, last, at)";
const APPLY: &str = "
    INSERT INTO t
    SELECT stream, count(*), sum(data->>'v'),
           (SELECT e.data->>'v' FROM events e WHERE e.stream = events.stream
            ORDER BY position DESC, \"offset\" DESC LIMIT 1),
           (SELECT e.position || ':' || e.\"offset\" FROM events e WHERE e.stream = events.stream
            ORDER BY position DESC, \"offset\" DESC LIMIT 1)
    FROM events WHERE true GROUP BY stream
    ON CONFLICT (stream) DO UPDATE SET n = n + excluded.n, total = total + excluded.total,
                                        last = excluded.last, at = excluded.at";
const ON: &str = "
    INSERT INTO t VALUES (:stream, 1, :data.v, :data.v, :position || ':' || :offset)
    ON CONFLICT (stream) DO UPDATE SET n = n + 1, total = total + excluded.total,
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
    forms
        .into_iter()
        .map(|def| def.schema(SCHEMA))
        .flat_map(|def| [def.clone(), def.log_elsewhere()])
        .collect()
}

/// Events of streams that hold one type each.
fn log() -> impl Strategy<Value = Vec<RecordedEvent>> {
    proptest::collection::vec((1..3u64, 0..3usize, 0..3u8, -1000..1000i64), 0..60).prop_map(|steps| {
        let mut at = (0, 0);
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

fn fold(events: &[RecordedEvent]) -> Vec<Vec<Value>> {
    let mut streams: BTreeMap<&str, (i64, i64, i64, String)> = BTreeMap::new();
    for event in events {
        let v = event.json::<serde_json::Value>().unwrap()["v"].as_i64().unwrap();
        let row = streams.entry(event.stream()).or_default();
        *row = (row.0 + 1, row.1 + v, v, event.position().to_string());
    }
    let row = |(stream, (n, total, last, at)): (&str, (i64, i64, i64, String))| {
        vec![text(stream), Value::Integer(n), Value::Integer(total), Value::Integer(last), Value::Text(at)]
    };
    streams.into_iter().map(row).collect()
}

proptest! {
    #[test]
    fn f_1_any_cut_gives_what_a_fold_gives(
        log in log(), cuts in proptest::collection::vec((1..20usize, any::<bool>()), 1..8)
    ) {
        for def in forms() {
            let running = Running::on(def, &log);
            let matching = running.matching(&log);
            let mut rest = matching.as_slice();
            for (size, whole) in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (slice, after) = rest.split_at(rest.len().min(*size));
                if *whole && running.projection.ranges() {
                    let before = matching.len() - rest.len();
                    running.slice(ApplySlice::Range {
                        after: before.checked_sub(1).map(|last| matching[last].position()),
                        through: slice[slice.len() - 1].position(),
                        count: u64::try_from(slice.len()).unwrap(),
                    }).unwrap();
                } else {
                    running.slice(ApplySlice::Events { events: slice, contiguous: *whole }).unwrap();
                }
                rest = after;
            }
            prop_assert_eq!(running.rows("SELECT * FROM t ORDER BY stream"), fold(&matching));
        }
    }
}

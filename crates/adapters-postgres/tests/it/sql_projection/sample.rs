use highwater_core::error::ErrorKind;
use highwater_core::model::RecordedEvent;
use highwater_postgres::sql_projection::{SqlProjectionDef, TableDifference, check_sample};

use super::support::{With, World, def, event, events_with};

const SCHEMA: &str = "
    CREATE TABLE t (stream text PRIMARY KEY, n int DEFAULT 0);
    CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT CURRENT_TIMESTAMP, v int);
    INSERT INTO t VALUES ('seed', 1)";
const GOOD: &str = "INSERT INTO t SELECT stream, count(*) FROM events GROUP BY 1
                    ON CONFLICT (stream) DO UPDATE SET n = t.n + excluded.n;
                    INSERT INTO log (v) SELECT (data->>'v')::int FROM events";

fn log() -> Vec<RecordedEvent> {
    (1..31)
        .map(|n| {
            event(
                (n, 0),
                &format!("s-{}", n % 4),
                if n % 3 == 0 { "B" } else { "A" },
                format!(r#"{{"v":{n}}}"#),
            )
        })
        .collect()
}

#[tokio::test]
async fn f_1_a_projection_that_does_not_depend_on_the_cut_passes() {
    let Some(mut world) = World::new().await else { return };
    for def in [
        def().apply(GOOD),
        def().apply(GOOD).log_elsewhere(),
        def().apply(GOOD).types(&["A"]),
        def().apply(GOOD).on("B", "INSERT INTO log (v) VALUES (:data.v)"),
        def().on("A", "INSERT INTO log (v) VALUES (:data.v)"),
    ] {
        let report = check_sample(&def.schema(SCHEMA), &world.database, &log()).await.unwrap();
        assert_eq!((&report.cuts, &report.failed), (&Vec::new(), &Vec::new()));
        assert_eq!(report.tables, ["log", "t"]);
        assert_eq!(report.left_out, ["log.id", "log.at"]);
        assert!(report.events == 30 || report.events == 20, "{}", report.events);
    }
    assert_eq!(world.lines("SELECT to_regclass('log')").await, ["-"], "nothing stays");
}

#[tokio::test]
async fn f_1_a_projection_that_depends_on_the_cut_is_caught_with_a_row_that_differs() {
    let Some(world) = World::new().await else { return };
    for bad in [
        // overwrites instead of adding
        "INSERT INTO t SELECT stream, count(*) FROM events GROUP BY 1
         ON CONFLICT (stream) DO UPDATE SET n = excluded.n",
        // counts batches
        "INSERT INTO t VALUES ('batches', 1) ON CONFLICT (stream) DO UPDATE SET n = t.n + 1",
    ] {
        let report = check_sample(&def().schema(SCHEMA).apply(bad), &world.database, &log()).await.unwrap();
        assert_eq!(report.cuts.iter().map(|cut| cut.batch).collect::<Vec<_>>(), [7, 30]);
        let TableDifference::Rows { table, examples, .. } = &report.cuts[0].differences[0] else {
            panic!("{report:?}")
        };
        assert_eq!(table, "t");
        assert!(examples[0].expected.is_some() && examples[0].found.is_some(), "{examples:?}");
    }
}

#[tokio::test]
async fn f_1_a_batch_that_fails_where_each_event_passes_is_caught() {
    let Some(world) = World::new().await else { return };
    let sql =
        "INSERT INTO log (v) SELECT 1 / (CASE WHEN (SELECT count(*) FROM events) > 6 THEN 0 ELSE 1 END)";
    let report = check_sample(&def().schema(SCHEMA).apply(sql), &world.database, &log()).await.unwrap();
    assert_eq!(report.cuts.len(), 2);
    assert!(report.cuts.iter().all(|cut| cut.error.is_some() && cut.differences.is_empty()), "{report:?}");
}

#[tokio::test]
async fn f_1_events_that_cannot_be_applied_are_listed_and_left_out() {
    let Some(world) = World::new().await else { return };
    let mut log = events_with("A", &[r#"{"v":1}"#, "no json", r#"{"v":"x"}"#, r#"{"v":"\u0000"}"#]);
    log.extend((10..20).map(|n| event((n, 0), "s", "A", r#"{"v":5}"#)));
    for def in [def().apply(GOOD), def().apply(GOOD).log_elsewhere()] {
        let report = check_sample(&def.schema(SCHEMA), &world.database, &log).await.unwrap();
        assert_eq!(report.cuts, []);
        let failed: Vec<_> = report.failed.iter().map(|failure| failure.position).collect();
        assert_eq!(failed, [log[1].position(), log[2].position(), log[3].position()]);
    }
}

#[tokio::test]
async fn a_projection_that_is_wrong_itself_is_an_error() {
    let Some(world) = World::new().await else { return };
    let kind =
        async |def: SqlProjectionDef| check_sample(&def, &world.database, &log()).await.unwrap_err().kind();
    assert_eq!(kind(def()).await, ErrorKind::Invalid);
    assert_eq!(kind(def().apply("SELECT nosuch FROM events")).await, ErrorKind::Schema);
    assert_eq!(kind(def().schema("CREATE TABLE t (x int").apply("SELECT 1")).await, ErrorKind::Schema);
    let ends = def().schema(SCHEMA).on("A", "DO $$BEGIN COMMIT; END$$");
    assert_eq!(kind(ends).await, ErrorKind::TransactionEnded);
}

use highwater_core::error::ErrorKind;
use highwater_core::model::RecordedEvent;

use super::super::{TableDifference, check_sample};
use super::support::{With, def, event, events_with};

const SCHEMA: &str = "
    CREATE TABLE t (stream TEXT PRIMARY KEY, n INTEGER DEFAULT 0);
    CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, at DEFAULT CURRENT_TIMESTAMP, v)";
const GOOD: &str = "INSERT INTO t SELECT stream, count(*) FROM events WHERE true GROUP BY 1
                    ON CONFLICT (stream) DO UPDATE SET n = n + excluded.n;
                    INSERT INTO log (v) SELECT data->>'v' FROM events";

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

#[test]
fn f_1_a_projection_that_does_not_depend_on_the_cut_passes() {
    for def in [
        def().apply(GOOD),
        def().apply(GOOD).log_elsewhere(),
        def().apply(GOOD).types(&["A"]),
        def().apply(GOOD).on("B", "INSERT INTO log (v) VALUES (:data.v)"),
        def().on("A", "INSERT INTO log (v) VALUES (:data.v)"),
    ] {
        let report = check_sample(&def.schema(SCHEMA), &log()).unwrap();
        assert_eq!((&report.cuts, &report.failed), (&Vec::new(), &Vec::new()));
        assert_eq!(report.tables, ["log", "t"]);
        assert_eq!(report.left_out, ["log.id", "log.at"]);
        assert!(report.events == 30 || report.events == 20, "{}", report.events);
    }
}

#[test]
fn f_1_a_projection_that_depends_on_the_cut_is_caught_with_a_row_that_differs() {
    for bad in [
        // overwrites instead of adding
        "INSERT INTO t SELECT stream, count(*) FROM events WHERE true GROUP BY 1
         ON CONFLICT (stream) DO UPDATE SET n = excluded.n",
        // counts batches
        "INSERT INTO t VALUES ('batches', 1) ON CONFLICT (stream) DO UPDATE SET n = n + 1",
    ] {
        let report = check_sample(&def().schema(SCHEMA).apply(bad), &log()).unwrap();
        assert_eq!(report.cuts.iter().map(|cut| cut.batch).collect::<Vec<_>>(), [7, 30]);
        let TableDifference::Rows { table, examples, .. } = &report.cuts[0].differences[0] else {
            panic!("{report:?}")
        };
        assert_eq!(table, "t");
        assert!(examples[0].expected.is_some() && examples[0].found.is_some(), "{examples:?}");
    }
}

#[test]
fn f_1_a_batch_that_fails_where_each_event_passes_is_caught() {
    let sql = "INSERT INTO log (v) SELECT json('x') WHERE (SELECT count(*) FROM events) > 6";
    let report = check_sample(&def().schema(SCHEMA).apply(sql), &log()).unwrap();
    assert_eq!(report.cuts.len(), 2);
    assert!(report.cuts.iter().all(|cut| cut.error.is_some() && cut.differences.is_empty()), "{report:?}");
}

#[test]
fn f_1_events_that_cannot_be_applied_are_listed_and_left_out() {
    let mut log = events_with("A", &[r#"{"v":1}"#, "no json", r#"{"v":3}"#, r#"{"v":4}"#]);
    log.extend((10..20).map(|n| event((n, 0), "s", "A", r#"{"v":5}"#)));
    for def in [def().apply(GOOD), def().apply(GOOD).log_elsewhere()] {
        let report = check_sample(&def.schema(SCHEMA), &log).unwrap();
        assert_eq!(report.cuts, []);
        assert_eq!(report.failed.len(), 1);
        assert_eq!(report.failed[0].position, log[1].position());
        assert!(report.failed[0].message.contains("JSON"), "{report:?}");
    }
}

#[test]
fn a_projection_that_is_wrong_itself_is_an_error() {
    let kind = |def| check_sample(&def, &log()).unwrap_err().kind();
    assert_eq!(kind(def()), ErrorKind::Invalid);
    assert_eq!(kind(def().apply("SELECT nosuch FROM events")), ErrorKind::Schema);
    assert_eq!(kind(def().schema("CREATE TABLE t (x").apply("SELECT 1")), ErrorKind::Schema);
    assert_eq!(
        kind(
            def()
                .schema("CREATE TABLE t (n UNIQUE ON CONFLICT ROLLBACK)")
                .on("A", "INSERT INTO t VALUES (1)")
        ),
        ErrorKind::TransactionEnded
    );
}

use highwater_core::error::{Error, ErrorKind};

use super::super::{SqlProjection, SqlProjectionDef};
use super::support::{With, def};
use crate::sql_projection::scratch::Scratch;

const TABLE: &str = "CREATE TABLE t (stream TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0)";

/// What the check at the start says, with its chain.
fn checked(def: SqlProjectionDef) -> Result<(), Error> {
    let scratch = Scratch::in_memory().unwrap();
    scratch.load_log(&[]).unwrap();
    let projection = SqlProjection::new(def).unwrap();
    projection.setup_on(&scratch.conn).unwrap();
    projection.check_on(&scratch.conn)
}

fn refused(def: SqlProjectionDef) -> String {
    let error = checked(def).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    error.chain()
}

#[test]
fn f_5_an_error_names_projection_text_line_and_column() {
    for (sql, place, what) in [
        ("INSERT INTO t\nSELECT streem, 1 FROM events", "line 2, column 8", "streem"),
        ("SELECT 1;\n\n  INSERT INTO missing SELECT 1 FROM events", "line 3, column 3", "missing"),
        ("SELECT 'é', '\n€' || nosuch FROM events", "line 2, column 7", "nosuch"),
        ("SELECT 1 FROM events WHERE", "line 1, column 27", "incomplete"),
        ("SELEC 1", "line 1, column 1", "SELEC"),
        ("INSERT INTO t VALUES (1)", "line 1, column 1", "2 columns"),
        ("SELECT nofunction(data) FROM events", "line 1, column 8", "nofunction"),
    ] {
        let text = refused(def().schema(TABLE).apply(sql));
        for part in ["projection `p`, apply.sql", place, what] {
            assert!(text.contains(part), "{sql}: {part} in {text}");
        }
    }
}

#[test]
fn f_5_places_are_right_behind_parameters_that_are_rendered_shorter_or_longer() {
    for (sql, place) in [
        ("INSERT INTO t VALUES (:data.customer.\"long name\".id, nosuch)", "line 1, column 54"),
        ("INSERT INTO t VALUES (:id\n, :data.a, :data.b, :stream, :id, nosuch)", "line 2, column 35"),
        ("UPDATE t SET n = 1 WHERE stream = :stream AND", "line 1, column 46"),
    ] {
        let text = refused(def().schema(TABLE).on("A", sql));
        assert!(text.contains("on A") && text.contains(place), "{sql}: {text}");
    }
}

#[test]
fn f_5_every_bad_statement_is_named_at_once() {
    let text = refused(
        def()
            .schema(TABLE)
            .apply("SELECT a1 FROM events; SELECT a2 FROM events")
            .on("A", "DELETE FROM gone")
            .on("B", "DELETE FROM t WHERE n = :data.n"),
    );
    for part in ["a1", "a2", "on A", "gone"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("on B"), "{text}");
}

#[test]
fn f_5_a_bare_upsert_is_told_about_where_true() {
    let upsert = |condition: &str| {
        format!(
            "INSERT INTO t SELECT stream, count(*) FROM events {condition}
             ON CONFLICT (stream) DO UPDATE SET n = t.n + excluded.n"
        )
    };
    let text = refused(def().schema(TABLE).apply(&upsert("")));
    assert!(text.contains("WHERE true") && text.contains("line 2, column 35"), "{text}");
    checked(def().schema(TABLE).apply(&upsert("WHERE true GROUP BY 1"))).unwrap();
    let other = refused(def().schema(TABLE).apply("SELECT 1 FROM nosuch"));
    assert!(!other.contains("WHERE true"), "{other}");
}

#[test]
fn f_5_statements_behind_ddl_are_left_to_their_run() {
    checked(def().schema(TABLE).apply(
        "CREATE TEMP TABLE later AS SELECT stream FROM events;
         INSERT INTO t SELECT stream, 1 FROM later;
         DROP TABLE later",
    ))
    .unwrap();
}

#[test]
fn f_2_events_cannot_be_written_to() {
    for sql in
        ["INSERT INTO events (stream) VALUES ('x')", "DELETE FROM events", "UPDATE events SET data = 1"]
    {
        for def in [def().apply(sql), def().apply(sql).log_elsewhere()] {
            assert!(refused(def).contains("view"), "{sql}");
        }
    }
}

#[test]
fn f_5_a_check_changes_nothing() {
    let scratch = Scratch::in_memory().unwrap();
    scratch.load_log(&[]).unwrap();
    scratch.conn.execute_batch(TABLE).unwrap();
    let projection = SqlProjection::new(
        def().apply("INSERT INTO t SELECT stream, 1 FROM events").on("A", "DELETE FROM t"),
    )
    .unwrap();
    let version = |sql: &str| -> i64 { scratch.conn.query_row(sql, [], |row| row.get(0)).unwrap() };
    let before =
        (version("PRAGMA data_version"), version("PRAGMA schema_version"), scratch.conn.total_changes());
    projection.check_on(&scratch.conn).unwrap();
    projection.check_on(&scratch.conn).unwrap();
    let after =
        (version("PRAGMA data_version"), version("PRAGMA schema_version"), scratch.conn.total_changes());
    assert_eq!(before, after);
}

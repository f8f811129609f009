use highwater_core::model::{Filter, Pattern};

use super::super::{SqlProjection, SqlProjectionDef};
use super::support::{With, def, problems};

fn texts(def: SqlProjectionDef) -> Vec<String> {
    problems(def).iter().map(ToString::to_string).collect()
}

fn one(def: SqlProjectionDef) -> String {
    let mut found = texts(def);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn f_5_all_problems_are_reported_at_once_with_their_places() {
    let mut wrong = def()
        .schema("CREATE TABLE t (x);\n  PRAGMA foreign_keys = off;")
        .apply("INSERT INTO t SELECT :stream FROM events")
        .on("A", "INSERT INTO t VALUES (:streem)")
        .on("B", "  -- nothing\n")
        .on("C", "INSERT INTO t VALUES (:stream)")
        .types(&["A", "B"]);
    wrong.schema.as_mut().unwrap().first_line = 40;
    let found = problems(wrong);
    let places: Vec<_> =
        found.iter().map(|problem| (problem.origin.as_deref().unwrap(), problem.place)).collect();
    assert_eq!(
        places,
        [
            ("on C", None),
            ("schema.sql", Some((41, 3))),
            ("apply.sql", Some((1, 22))),
            ("on A", Some((1, 23))),
            ("on B", Some((1, 1))),
        ]
    );
    let text = found[1].to_string();
    assert!(
        text.contains("`p`, schema.sql") && text.contains("PRAGMA") && text.contains("line 41"),
        "{text}"
    );
    assert!(found[3].to_string().contains(":stream"), "{}", found[3]);
}

#[test]
fn e_9_statements_that_reach_for_the_transaction_are_refused_at_load() {
    for control in
        ["COMMIT", "rollback", "BEGIN", "SAVEPOINT x", "RELEASE x", "ATTACH 'x' AS y", "VACUUM", "END"]
    {
        for def in [
            def().apply(&format!("SELECT 1; {control}")),
            def().on("A", control),
            def().schema(control).on("A", "SELECT 1"),
        ] {
            let word = control.split(' ').next().unwrap().to_uppercase();
            assert!(one(def).contains(&word), "{control}");
        }
    }
}

#[test]
fn f_4_the_filter_is_what_is_written_else_the_keys_of_on() {
    let filter = |def| SqlProjection::new(def).unwrap().filter().clone();
    assert_eq!(filter(def().apply("SELECT 1")), Filter::all());
    assert_eq!(filter(def().apply("SELECT 1").on("A", "SELECT 1")), Filter::all());
    assert_eq!(filter(def().on("A", "SELECT 1").on("B", "SELECT 1")), Filter::types(["A", "B"]));
    assert_eq!(filter(def().on("A", "SELECT 1").types(&["A", "C*"])), Filter::types(["A", "C*"]));
    let mut streams = def().on("A", "SELECT 1");
    streams.filter.streams = vec![Pattern::parse("case-*")];
    assert_eq!(filter(streams.clone()), Filter { types: Filter::types(["A"]).types, ..streams.filter });
}

#[test]
fn only_a_set_based_projection_on_its_own_log_takes_ranges() {
    let ranges = |def| SqlProjection::new(def).unwrap().ranges();
    assert!(ranges(def().apply("SELECT 1")));
    assert!(!ranges(def().apply("SELECT 1").on("A", "SELECT 1")));
    assert!(!ranges(def().on("A", "SELECT 1")));
    assert!(!ranges(def().apply("SELECT 1").log_elsewhere()));
}

use highwater_core::error::ErrorKind;
use highwater_core::ports::DynProjection;
use highwater_postgres::sql_projection::{SqlProjection, SqlProjectionDef};

use super::support::{With, World, def};

const TABLE: &str = "CREATE TABLE t (stream text PRIMARY KEY, n int NOT NULL DEFAULT 0)";

async fn refused(world: &mut World, def: SqlProjectionDef) -> String {
    let error = world.started(def).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema, "{error}");
    error.to_string()
}

#[tokio::test]
async fn f_5_all_problems_of_the_texts_are_reported_at_once_with_their_places() {
    let Some(world) = World::new().await else { return };
    let mut wrong = def()
        .schema("CREATE TABLE t (x int);\n  VACUUM t")
        .apply("INSERT INTO t SELECT :stream FROM events")
        .on("A", "INSERT INTO t VALUES (:streem)")
        .on("B", "  -- nothing\n")
        .on("C", "INSERT INTO t VALUES (:stream)")
        .types(&["A", "B"]);
    wrong.schema.as_mut().unwrap().first_line = 40;
    wrong.tables = Some(vec!["a b".to_owned()]);
    let found = SqlProjection::new(wrong, &world.database).unwrap_err();
    let places: Vec<_> = found.iter().map(|problem| (problem.origin.as_deref(), problem.place)).collect();
    assert_eq!(
        places,
        [
            (Some("on C"), None),
            (Some("schema.sql"), Some((41, 3))),
            (Some("apply.sql"), Some((1, 22))),
            (Some("on A"), Some((1, 23))),
            (Some("on B"), Some((1, 1))),
            (None, None),
        ]
    );
}

#[tokio::test]
async fn e_9_statements_that_reach_for_the_transaction_are_refused_at_load() {
    let Some(world) = World::new().await else { return };
    for control in
        ["COMMIT", "rollback", "BEGIN", "START TRANSACTION", "SAVEPOINT x", "RELEASE x", "END", "ABORT"]
    {
        for def in [
            def().apply(&format!("SELECT 1; {control}")),
            def().on("A", control),
            def().schema(control).on("A", "SELECT 1"),
        ] {
            let word = control.split(' ').next().unwrap().to_uppercase();
            let found = SqlProjection::new(def, &world.database).unwrap_err();
            assert_eq!(found.len(), 1);
            assert!(found[0].to_string().contains(&word), "{control}");
        }
    }
}

#[tokio::test]
async fn e_9_sql_that_writes_to_what_is_the_runners_is_refused_at_the_start() {
    let Some(mut world) = World::new().await else { return };
    let event = format!("{}.event", world.place.schema());
    for sql in [
        format!("DELETE FROM {event}"),
        format!("UPDATE {event} SET type = 'x'"),
        format!("WITH gone AS (DELETE FROM {event} RETURNING stream) INSERT INTO t SELECT stream FROM gone"),
    ] {
        for def in [def().apply(&sql), def().on("A", &sql)] {
            let text = refused(&mut world, def.schema(TABLE)).await;
            assert!(text.contains(world.place.schema()) && text.contains("line 1"), "{text}");
        }
    }
    let reading = format!("INSERT INTO t SELECT stream FROM {event} ON CONFLICT DO NOTHING");
    world.started(def().schema(TABLE).apply(&reading)).await.unwrap();
}

#[tokio::test]
async fn f_5_an_error_names_projection_text_line_and_column() {
    let Some(mut world) = World::new().await else { return };
    for (sql, place, what) in [
        ("INSERT INTO t\nSELECT streem, 1 FROM events", "line 2, column 8", "streem"),
        ("SELECT 1;\n\n  INSERT INTO missing SELECT 1 FROM events", "line 3, column 15", "missing"),
        ("SELECT 'é', '\n€' || nosuch FROM events", "line 2, column 7", "nosuch"),
        ("SELECT 1 FROM events WHERE", "line 1, column 27", "end of input"),
        ("SELECT 1;\nSELECT FROM FROM", "line 2, column 13", "syntax"),
        ("INSERT INTO t VALUES (1, 'x', 2)", "line 1, column 31", "more expressions"),
        ("SELECT nofunction(data) FROM events", "line 1, column 8", "nofunction"),
        ("INSERT INTO t (n) SELECT stream FROM events", "line 1, column 26", "type integer"),
        ("SELECT (data->>'a') + 1 FROM events", "line 1, column 21", "operator"),
        ("SELECT 'x'::int FROM events", "line 1, column 8", "invalid input"),
    ] {
        let text = refused(&mut world, def().schema(TABLE).apply(sql)).await;
        for part in ["projection `p`, apply.sql", place, what] {
            assert!(text.contains(part), "{sql}: {part} in {text}");
        }
        let elsewhere = refused(&mut world, def().schema(TABLE).apply(sql).log_elsewhere()).await;
        assert_eq!(elsewhere, text);
    }
}

#[tokio::test]
async fn f_5_places_are_right_behind_parameters_that_are_rendered_shorter_or_longer() {
    let Some(mut world) = World::new().await else { return };
    for (sql, place) in [
        ("INSERT INTO t VALUES (:data.customer.\"long name\".id, nosuch)", "line 1, column 54"),
        ("SELECT :id\n, :data.a, :data.b, :stream, :id, nosuch", "line 2, column 35"),
        ("UPDATE t SET n = 1 WHERE stream = :stream AND", "line 1, column 46"),
        ("UPDATE t SET n = 'é€' WHERE n = :data.a", "line 1, column 18"),
        ("SELECT :data.a + :data.b, :stream", "line 1, column 16"),
        ("SELECT :data.a + 1, :stream = 1", "line 1, column 29"),
    ] {
        let text = refused(&mut world, def().schema(TABLE).on("A", sql)).await;
        assert!(text.contains("on A") && text.contains(place), "{sql}: {text}");
    }
}

#[tokio::test]
async fn f_5_every_bad_statement_is_named_at_once() {
    let Some(mut world) = World::new().await else { return };
    let def = def()
        .schema(TABLE)
        .apply("SELECT a1 FROM events; SELECT a2 FROM events")
        .on("A", "DELETE FROM gone")
        .on("B", "DELETE FROM t WHERE n = :data.n");
    let text = refused(&mut world, def).await;
    for part in ["a1", "a2", "on A", "gone"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("on B"), "{text}");
}

#[tokio::test]
async fn f_5_statements_behind_ddl_are_left_to_their_run() {
    let Some(mut world) = World::new().await else { return };
    let apply = "CREATE TEMP TABLE later ON COMMIT DROP AS SELECT stream FROM events;
                 INSERT INTO t SELECT stream, 1 FROM later";
    world.started(def().schema(TABLE).apply(apply)).await.unwrap();
}

#[tokio::test]
async fn f_5_a_privilege_that_is_missing_is_found() {
    let Some(mut world) = World::new().await else { return };
    let role = format!("{}_role", world.place.schema());
    world.reset(&[]).await;
    let (user, ours) = (world.place.user_schema(), world.place.schema().to_owned());
    world
        .execute(&format!(
            "CREATE TABLE t (stream text); CREATE TABLE secret (x text); CREATE ROLE {role};
             GRANT USAGE ON SCHEMA {user}, {ours} TO {role}; GRANT INSERT, SELECT ON t, {ours}.event TO {role}"
        ))
        .await;
    let mut check = async |def: SqlProjectionDef| {
        let projection = world.projection(def);
        world.execute(&format!("BEGIN; SET LOCAL ROLE {role}")).await;
        let outcome = projection.check(&mut world.connection).await;
        world.execute("ROLLBACK").await;
        outcome.map_err(|failure| failure.message())
    };
    let good = check(def().apply("INSERT INTO t SELECT stream FROM events")).await;
    let bad = check(def().apply("INSERT INTO secret SELECT stream FROM events")).await;
    world.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    good.unwrap();
    assert!(bad.unwrap_err().contains("secret"));
}

#[tokio::test]
async fn f_2_events_cannot_be_written_to() {
    let Some(mut world) = World::new().await else { return };
    for sql in
        ["INSERT INTO events (stream) VALUES ('x')", "DELETE FROM events", "UPDATE events SET stream = '1'"]
    {
        for def in [def().apply(sql), def().apply(sql).log_elsewhere()] {
            let text = refused(&mut world, def).await;
            assert!(text.contains("events") && text.contains("line 1, column 1"), "{sql}: {text}");
        }
    }
}

#[tokio::test]
async fn f_5_a_check_leaves_nothing_but_what_a_slice_leaves() {
    let Some(mut world) = World::new().await else { return };
    let def = || {
        def()
            .apply("INSERT INTO t SELECT stream, 1 FROM events")
            .on("A", "DELETE FROM t WHERE n = :data.n")
            .on("B", "SELECT jsonb_build_object('a', :data.a)")
    };
    world.running(def().schema(TABLE), &[]).await;
    let projection = world.projection(def());
    for _ in 0..2 {
        world.execute("BEGIN").await;
        projection.check(&mut world.connection).await.unwrap();
        world.execute("COMMIT").await;
    }
    let left = "SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql IS FALSE";
    assert_eq!(world.lines(left).await, ["0"]);
    assert_eq!(world.count("t").await, 0);
}

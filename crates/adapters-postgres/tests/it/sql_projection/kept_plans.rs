//! A statement of `apply` runs by a plan that its session keeps: what that saves must show nowhere else.

use highwater_core::error::ErrorKind;
use highwater_core::model::RecordedEvent;
use highwater_core::ports::ApplySlice;
use highwater_postgres::sql_projection::SqlProjectionDef;

use super::support::{Running, With, World, class_of, def, error_of, event};

const TABLES: &str = "CREATE TABLE t (stream text PRIMARY KEY, n bigint NOT NULL);
     CREATE TABLE sums (n bigint NOT NULL CHECK (n < 1000))";
const APPLY: &str = "-- per stream\nINSERT INTO t SELECT stream, count(*) FROM events GROUP BY 1
     ON CONFLICT (stream) DO UPDATE SET n = t.n + excluded.n;
   INSERT INTO sums SELECT sum((data->>'n')::bigint) FROM events";

fn one(n: u64, payload: &str) -> RecordedEvent {
    event((n, 0), "s-1", "A", payload.to_owned())
}

fn log() -> Vec<RecordedEvent> {
    (1..=60).map(|n| one(n, r#"{"n":1}"#)).collect()
}

fn both() -> [SqlProjectionDef; 2] {
    let counts = def().schema(TABLES).apply(APPLY);
    [counts.clone(), counts.log_elsewhere()]
}

/// The driver's own are its affair.
async fn forget_all(world: &mut World) {
    let forget = "DO $$ DECLARE plan text; BEGIN
         FOR plan IN SELECT name FROM pg_prepared_statements WHERE name LIKE 'hw\\_%' LOOP
             EXECUTE 'DEALLOCATE ' || plan;
         END LOOP; END $$";
    world.execute(forget).await;
}

async fn plans(running: &mut Running<'_>) -> Vec<String> {
    let kept = "SELECT split_part(name, '_', 2), split_part(name, '_', 4), generic_plans
         FROM pg_prepared_statements WHERE name LIKE 'hw\\_%' ORDER BY 1, 2";
    running.world.lines(kept).await
}

#[tokio::test]
async fn f_1_a_plan_is_kept_for_some_slices_and_then_made_anew() {
    let Some(mut world) = World::new().await else { return };
    for def in both() {
        forget_all(&mut world).await;
        let mut running = world.running(def, &log()).await;
        for n in 0..20 {
            running.apply(&log()[n..=n]).await.unwrap();
        }
        assert_eq!(plans(&mut running).await, ["1,1,20", "2,1,20"]);
        running.world.execute("SELECT pg_sleep(0.15)").await;
        running.apply(&log()[20..21]).await.unwrap();
        assert_eq!(plans(&mut running).await, ["1,1,1", "2,1,1"], "what the tables hold has changed since");
        // of another order of magnitude
        running.apply(&log()[21..60]).await.unwrap();
        assert_eq!(plans(&mut running).await, ["1,1,1", "1,2,1", "2,1,1", "2,2,1"]);
        assert_eq!(running.world.lines("SELECT * FROM t").await, ["s-1,60"]);
        assert_eq!(running.world.lines("SELECT sum(n), count(*) FROM sums").await, ["60,22"]);
    }
}

#[tokio::test]
async fn f_5_an_error_names_its_statement_whether_its_plan_is_new_or_kept() {
    let Some(mut world) = World::new().await else { return };
    for def in both() {
        forget_all(&mut world).await;
        let bad = one(2, r#"{"n":"none"}"#);
        let mut running = world.running(def, &[one(1, r#"{"n":1}"#), bad.clone()]).await;
        for round in ["new", "kept"] {
            let failure = running.apply(std::slice::from_ref(&bad)).await.unwrap_err();
            assert_eq!(error_of(&failure).backend_code(), Some("22P02"), "{round}");
            let message = failure.message();
            assert!(message.contains("in apply.sql, line 4"), "{round}: {message}");
            running.apply(&[one(1, r#"{"n":1}"#)]).await.unwrap();
        }
        running.world.execute("ALTER TABLE sums ADD CHECK (n <> 1) NOT VALID").await;
        let failure = running.apply(&[one(1, r#"{"n":1}"#)]).await.unwrap_err();
        assert_eq!(error_of(&failure).kind(), ErrorKind::Constraint, "{failure}");
        assert!(failure.message().contains("in apply.sql, line 4"), "{failure}");
    }
}

#[tokio::test]
async fn f_5_an_error_from_a_trigger_names_the_statement_that_fired_it() {
    let Some(mut world) = World::new().await else { return };
    for def in both() {
        let mut running = world.running(def, &log()).await;
        let trigger = "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS
                 $$ DECLARE n int; BEGIN SELECT 'x'::text::int INTO n; RETURN new; END $$;
             CREATE TRIGGER odd BEFORE INSERT ON sums FOR EACH ROW EXECUTE FUNCTION odd()";
        running.world.execute(trigger).await;
        let failure = running.apply(&log()[..1]).await.unwrap_err();
        assert_eq!(error_of(&failure).backend_code(), Some("22P02"));
        assert!(failure.message().contains("in apply.sql, line 4"), "{failure}");
    }
}

#[tokio::test]
async fn f_5_a_table_that_is_dropped_behind_a_kept_plan_is_named_with_its_place() {
    let Some(mut world) = World::new().await else { return };
    for def in both() {
        for applied_before in [true, false] {
            forget_all(&mut world).await;
            let mut running = world.running(def.clone(), &log()).await;
            if applied_before {
                running.apply(&log()[..1]).await.unwrap();
            }
            running.world.execute("DROP TABLE sums").await;
            let failure = running.apply(&log()[1..2]).await.unwrap_err();
            assert_eq!(error_of(&failure).backend_code(), Some("42P01"), "{failure}");
            assert!(failure.message().contains("line 4, column 16"), "{applied_before}: {failure}");
            running.world.execute("CREATE TABLE sums (n bigint)").await;
            running.apply(&log()[1..2]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_column_that_changes_its_type_behind_a_kept_plan_is_as_it_is_now() {
    let Some(mut world) = World::new().await else { return };
    let mut running = world.running(def().schema(TABLES).apply(APPLY), &log()).await;
    running.apply(&log()[..1]).await.unwrap();
    running.world.execute("ALTER TABLE sums ALTER n TYPE numeric, ADD m int NOT NULL DEFAULT 7").await;
    running.apply(&log()[1..2]).await.unwrap();
    assert_eq!(running.world.lines("SELECT * FROM sums ORDER BY 1").await, ["1,7", "1,7"]);
}

#[tokio::test]
async fn a_session_keeps_a_bounded_number_of_plans() {
    let Some(mut world) = World::new().await else { return };
    for n in 0..40 {
        let apply = format!("INSERT INTO t SELECT stream, {n} FROM events");
        let table = "CREATE TABLE t (stream text, n bigint)";
        let mut running = world.running(def().schema(table).apply(&apply), &log()).await;
        running.apply(&log()[..1]).await.unwrap();
        let kept = plans(&mut running).await;
        assert_eq!(kept.len(), (n + 1).min(32));
    }
}

#[tokio::test]
async fn what_cannot_be_prepared_runs_all_the_same() {
    let Some(mut world) = World::new().await else { return };
    let apply = "CREATE TEMP TABLE own ON COMMIT DROP AS SELECT stream FROM events;
        /* a /* nested */ word */ INSERT INTO t SELECT stream, count(*) FROM own GROUP BY 1
        ON CONFLICT (stream) DO UPDATE SET n = t.n + excluded.n";
    let mut running = world.running(def().schema(TABLES).apply(apply), &log()).await;
    for n in 0..3 {
        let slice = ApplySlice::Events { events: &log()[n..=n], contiguous: true };
        running.slice(slice).await.unwrap();
    }
    assert_eq!(running.world.lines("SELECT * FROM t").await, ["s-1,3"]);
}

#[tokio::test]
async fn a_slice_that_fails_leaves_its_plan_as_it_was() {
    let Some(mut world) = World::new().await else { return };
    let mut running = world.running(def().schema(TABLES).apply(APPLY), &[one(1, r#"{"n":5000}"#)]).await;
    for _ in 0..3 {
        let failure = running.apply(&[one(1, r#"{"n":5000}"#)]).await.unwrap_err();
        assert_eq!(class_of(&failure), highwater_core::policy::Class::Permanent);
    }
    assert_eq!(plans(&mut running).await, ["1,1,3", "2,1,3"]);
    assert_eq!(running.world.count("t").await, 0);
}

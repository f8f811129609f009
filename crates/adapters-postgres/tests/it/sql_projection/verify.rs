use std::collections::BTreeSet;

use async_trait::async_trait;
use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Filter, Position, RecordedEvent};
use highwater_core::ports::{
    ApplySlice, DynProjection, EventBatch, EventLog, EventRange, EventReader, Limit,
};
use highwater_postgres::sql_projection::{SqlProjectionDef, TableDifference, VerifyReport, verify};

use super::support::{With, World, at, def, event};

const SCHEMA: &str = "
    CREATE TYPE side AS ENUM ('left', 'right');
    CREATE UNLOGGED TABLE delays (origin text PRIMARY KEY, flights int NOT NULL DEFAULT 0, minutes float8, mean numeric);
    CREATE TABLE diversion (id bigserial PRIMARY KEY, made timestamptz DEFAULT now(), on_day date DEFAULT CURRENT_DATE,
                            stream text, dest json, side side DEFAULT 'left', tags text[] DEFAULT '{}'::text[],
                            n numeric(10, 2) DEFAULT 0.00);
    CREATE INDEX ON diversion (stream)";
const APPLY: &str = "
    INSERT INTO delays
    SELECT data->>'origin', count(*), sum((data->>'minutes')::float8), sum((data->>'minutes')::numeric) FROM events
    GROUP BY 1
    ON CONFLICT (origin) DO UPDATE SET flights = delays.flights + excluded.flights,
        minutes = delays.minutes + excluded.minutes, mean = delays.mean + excluded.mean";
const ON: &str = "INSERT INTO diversion (stream, dest) VALUES (:stream, :data)";

fn delays() -> SqlProjectionDef {
    def().schema(SCHEMA).apply(APPLY).on("Diverted", ON).types(&["Departed", "Diverted"])
}

/// 60 events; every third is none of the projection's, and the minutes are no whole numbers.
fn log() -> Vec<RecordedEvent> {
    (0..60)
        .map(|n| {
            let event_type = ["Departed", "Landed", "Diverted"][usize::try_from(n % 3).unwrap()];
            let data = format!(r#"{{"origin":"A{}","minutes":{}.{},"dest":{n}}}"#, n % 4, n / 10, n % 10);
            event((n / 2 + 1, n % 2), &format!("case-{}", n % 7), event_type, data)
        })
        .collect()
}

/// A log that hands out these events, a few at a time.
struct List(Vec<RecordedEvent>);

struct ListReader {
    rest: Vec<RecordedEvent>,
    filter: Filter,
}

#[async_trait]
impl EventLog for List {
    async fn head(&self) -> Result<Option<Position>, Error> {
        Ok(self.0.last().map(RecordedEvent::position))
    }

    async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error> {
        let mut rest = self.0.clone();
        rest.retain(|event| after.is_none_or(|after| event.position() > after));
        Ok(Box::new(ListReader { rest, filter: filter.clone() }))
    }

    async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error> {
        Ok(self.0.iter().find(|event| event.position() == position).cloned())
    }

    async fn count_between(
        &self,
        _: Option<Position>,
        _: Option<Position>,
        _: &Filter,
    ) -> Result<Option<u64>, Error> {
        Ok(None)
    }
}

#[async_trait]
impl EventReader for ListReader {
    async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error> {
        let taken: Vec<_> = self.rest.drain(..self.rest.len().min(limit.events).min(17)).collect();
        let scanned = taken.last().map(RecordedEvent::position);
        let events = taken
            .into_iter()
            .filter(|event| self.filter.matches(event.event_type(), event.stream()))
            .collect();
        Ok(EventBatch { events, scanned, caught_up: self.rest.is_empty() })
    }

    async fn next_range(&mut self, _: Limit) -> Result<EventRange, Error> {
        Err(Error::new(ErrorKind::Unsupported, "read a range"))
    }

    async fn wait(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// A world in which the projection has applied the log.
async fn applied(world: &mut World, def: SqlProjectionDef, log: &[RecordedEvent]) -> Vec<RecordedEvent> {
    let mut running = world.running(def, log).await;
    let events = running.matching(log);
    for slice in events.chunks(9) {
        running.slice(ApplySlice::Events { events: slice, contiguous: true }).await.unwrap();
    }
    events
}

async fn verified(
    world: &World,
    def: &SqlProjectionDef,
    log: &[RecordedEvent],
    through: Option<Position>,
    skip: &[Position],
    ignore: &[&str],
) -> Result<VerifyReport, Error> {
    let skip: BTreeSet<Position> = skip.iter().copied().collect();
    let ignore: Vec<String> = ignore.iter().map(ToString::to_string).collect();
    verify(def, &world.database, &List(log.to_vec()), None, through, &skip, &ignore).await
}

#[tokio::test]
async fn e_26_verify_finds_what_differs_and_nothing_else() {
    let Some(mut world) = World::new().await else { return };
    for def in [delays(), delays().log_elsewhere()] {
        let events = applied(&mut world, def.clone(), &log()).await;
        let last = Some(events[39].position());
        let report = verified(&world, &def, &log(), last, &[], &[]).await.unwrap();
        assert_eq!((report.differences, report.events, report.not_applied), (Vec::new(), 40, Vec::new()));
        assert_eq!(report.tables, ["delays", "diversion"]);
        assert_eq!(report.left_out, ["diversion.id", "diversion.made", "diversion.on_day"]);

        world
            .execute(
                "UPDATE delays SET flights = flights + 1 WHERE origin = 'A2';
                 UPDATE delays SET minutes = minutes * (1 + 1e-15), mean = mean + 0.000;
                 UPDATE diversion SET id = id + 100, made = 'epoch'",
            )
            .await;
        let report = verified(&world, &def, &log(), last, &[], &[]).await.unwrap();
        let [TableDifference::Rows { table, rows: 1, examples }] = report.differences.as_slice() else {
            panic!("{report:?}")
        };
        assert_eq!(table, "delays");
        let (expected, found) =
            (examples[0].expected.as_deref().unwrap(), examples[0].found.as_deref().unwrap());
        assert!(expected.starts_with("origin 'A2', flights 5, minutes "), "{expected}");
        assert!(found.starts_with("origin 'A2', flights 6, minutes "), "{found}");
        for ignore in ["flights", "delays.flights"] {
            let report = verified(&world, &def, &log(), last, &[], &[ignore]).await.unwrap();
            assert_eq!(report.differences, []);
        }
        let error = verified(&world, &def, &log(), last, &[], &["delays.flight"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);

        world
            .execute(
                "DELETE FROM diversion WHERE id = 103; UPDATE diversion SET side = 'right' WHERE id = 104",
            )
            .await;
        let report = verified(&world, &def, &log(), last, &[], &["flights"]).await.unwrap();
        let [TableDifference::Rows { table, rows: 3, examples }] = report.differences.as_slice() else {
            panic!("{report:?}")
        };
        assert_eq!(table, "diversion");
        assert_eq!(examples.iter().filter(|row| row.found.is_none()).count(), 2);
    }
}

#[tokio::test]
async fn e_26_verify_stops_where_the_state_stands_and_leaves_out_what_was_not_applied() {
    let Some(mut world) = World::new().await else { return };
    let events = applied(&mut world, delays(), &log()).await;
    let last = Some(events[39].position());
    let skipped = events.iter().find(|event| event.event_type() == "Diverted").unwrap();
    let report = verified(&world, &delays(), &log(), last, &[skipped.position()], &[]).await.unwrap();
    assert_eq!((report.events, report.differences.len()), (39, 1));
    assert_eq!(report.differences[0].table(), "diversion");
    let before_last = Some(events[38].position());
    let report = verified(&world, &delays(), &log(), before_last, &[], &[]).await.unwrap();
    assert_eq!((report.events, report.differences.len()), (39, 1));
    let report = verified(&world, &delays(), &log(), None, &[], &[]).await.unwrap();
    assert_eq!((report.events, report.differences.len()), (0, 2));
}

#[tokio::test]
async fn e_26_an_event_that_cannot_be_applied_again_is_left_out_and_named() {
    let Some(mut world) = World::new().await else { return };
    applied(&mut world, delays(), &log()).await;
    let mut bad = log();
    bad.push(event((99, 0), "case-1", "Departed", r#"{"origin":"A1","minutes":"x"}"#));
    bad.push(event((99, 1), "case-1", "Diverted", "no json"));
    let last = Some(at((99, 1)));
    let report = verified(&world, &delays(), &bad, last, &[], &[]).await.unwrap();
    assert_eq!((report.differences, report.events), (Vec::new(), 40));
    let named: Vec<Position> = report.not_applied.iter().map(|event| event.position).collect();
    assert_eq!(named, [at((99, 0)), at((99, 1))]);
    assert!(report.not_applied[0].message.contains("double precision"), "{:?}", report.not_applied);
}

#[tokio::test]
async fn e_26_a_table_that_the_projection_does_not_create_is_copied_empty() {
    let Some(mut world) = World::new().await else { return };
    world.reset(&log()).await;
    world
        .execute(
            "CREATE TABLE mine (id bigserial PRIMARY KEY, n numeric, stream text NOT NULL, UNIQUE (stream, n));
             INSERT INTO mine (n, stream) SELECT 1, 'case-' || n FROM generate_series(1, 2) n",
        )
        .await;
    let tables = Some(vec!["mine".to_owned()]);
    let def = SqlProjectionDef { tables, ..def() }
        .on("Diverted", "INSERT INTO mine (n, stream) VALUES (1, :stream) ON CONFLICT DO NOTHING");
    let report = verified(&world, &def, &log(), Some(at((99, 0))), &[], &[]).await.unwrap();
    assert_eq!(report.left_out, ["mine.id"]);
    let [TableDifference::Rows { rows: 5, .. }] = report.differences.as_slice() else { panic!("{report:?}") };
    assert_eq!(world.lines("SELECT count(*), max(id) FROM mine").await, ["2,2"]);
    assert_eq!(world.lines("INSERT INTO mine (stream) VALUES ('x') RETURNING id").await, ["3"]);
}

#[tokio::test]
async fn e_26_verify_never_touches_what_is_real() {
    let Some(mut world) = World::new().await else { return };
    let user = world.place.user_schema();
    let real = "CREATE TABLE IF NOT EXISTS t (n bigint)";
    for (schema, on) in [
        ("DROP TABLE IF EXISTS t; CREATE TABLE t (n bigint)".to_owned(), "INSERT INTO t VALUES (:position)"),
        (real.to_owned(), "INSERT INTO t VALUES (:position)"),
    ] {
        world.reset(&log()).await;
        world.execute("CREATE TABLE t (n bigint); INSERT INTO t VALUES (7)").await;
        let def = def().schema(&schema).on("Diverted", on);
        let report = verified(&world, &def, &log(), Some(at((99, 0))), &[], &[]).await.unwrap();
        assert_eq!(report.differences.len(), 1);
        assert_eq!(world.lines("SELECT n FROM t").await, ["7"]);
    }
    let insert = format!("INSERT INTO {user}.t VALUES (:position)");
    for (schema, on) in [
        (format!("CREATE TABLE IF NOT EXISTS {user}.t (n bigint)"), "SELECT 1".to_owned()),
        (format!("CREATE TABLE u (n bigint); DROP TABLE {user}.t"), "SELECT 1".to_owned()),
        ("CREATE TABLE u (n bigint); INSERT INTO t VALUES (8)".to_owned(), "SELECT 1".to_owned()),
        ("CREATE TABLE u (n bigint); CREATE INDEX ON t (n)".to_owned(), "SELECT 1".to_owned()),
        (real.to_owned(), insert.clone()),
        (real.to_owned(), format!("{insert} RETURNING n; SELECT 2")),
        (real.to_owned(), format!("TRUNCATE {user}.t")),
    ] {
        world.reset(&log()).await;
        world.execute("CREATE TABLE t (n bigint); INSERT INTO t VALUES (7)").await;
        let def = def().schema(&schema).on("Diverted", &on);
        let error = verified(&world, &def, &log(), Some(at((99, 0))), &[], &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{schema}; {on}: {}", error.chain());
        assert_eq!(world.lines("SELECT n FROM t").await, ["7"]);
    }
}

#[tokio::test]
async fn e_26_sql_with_ddl_of_its_own_can_be_verified() {
    let Some(mut world) = World::new().await else { return };
    let def = def().schema("CREATE TABLE t (n bigint)").apply(
        "CREATE TEMP TABLE latest ON COMMIT DROP AS SELECT position FROM events;
         INSERT INTO t SELECT * FROM latest; DROP TABLE latest",
    );
    applied(&mut world, def.clone(), &log()).await;
    let report = verified(&world, &def, &log(), Some(at((99, 0))), &[], &[]).await.unwrap();
    assert_eq!((report.differences, report.events), (Vec::new(), 60));
    assert_eq!(world.projection(def).creates(), ["t"]);
}

//! Projections in SQL, driven as the runtime drives them: in a store, over a log in the same file.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::failure::Failure;
use highwater_core::model::{Append, Expected, Filter, NewEvent, Position, RecordedEvent};
use highwater_core::ports::{AppendEvents, ApplySlice, DynProjection, EventLog, Limit, UnitOfWork};
use highwater_sqlite::SqliteLog;
use highwater_sqlite::sql_projection::{
    SqlProjection, SqlProjectionDef, SqlText, TableDifference, VerifyReport, verify,
};

use crate::kit::{Place, create, name, number, options, transact};

const SCHEMA: &str = "
    CREATE TABLE delays (origin TEXT PRIMARY KEY, flights INTEGER NOT NULL DEFAULT 0, minutes REAL);
    CREATE TABLE diversion (id INTEGER PRIMARY KEY AUTOINCREMENT, made DEFAULT CURRENT_TIMESTAMP,
                            stream TEXT, dest);";
const APPLY: &str = "
    INSERT INTO delays
    SELECT data->>'origin', count(*), sum(data->>'minutes') FROM events WHERE true GROUP BY 1
    ON CONFLICT (origin) DO UPDATE SET
        flights = delays.flights + excluded.flights, minutes = delays.minutes + excluded.minutes";
const ON: &str = "INSERT INTO diversion (stream, dest) VALUES (:stream, :data.dest)";

fn def() -> SqlProjectionDef {
    SqlProjectionDef {
        name: name("delays"),
        schema: Some(SqlText::new(SCHEMA, "delays.sql")),
        apply: Some(SqlText::new(APPLY, "apply")),
        on: vec![("Diverted".to_owned(), SqlText::new(ON, "on"))],
        filter: Filter::types(["Departed", "Diverted"]),
        tables: None,
        log_in_store: true,
    }
}

fn only_apply() -> SqlProjectionDef {
    SqlProjectionDef { on: Vec::new(), ..def() }
}

/// 60 events in 30 appends; every third is none of the projection's, and the minutes are no whole numbers.
async fn log(place: &Place) -> SqliteLog {
    let log = SqliteLog::open(place.file(), &options()).await.unwrap();
    for n in 0..30_u32 {
        let event = |k: u32| {
            let event_type = ["Departed", "Landed", "Diverted"][usize::try_from((2 * n + k) % 3).unwrap()];
            let minutes = f64::from(n) / 10.0;
            NewEvent::json(event_type, format!(r#"{{"origin":"A{}","minutes":{minutes},"dest":{n}}}"#, n % 4))
        };
        append(&log, &format!("case-{}", n % 7), vec![event(0), event(1)]).await;
    }
    log
}

/// Appends to a stream; says where the last event stands.
async fn append(log: &SqliteLog, stream: &str, events: Vec<NewEvent>) -> Position {
    let call = Append { stream: stream.into(), category: None, expected: Expected::Any, events };
    log.append(&[call]).await.unwrap()[0].last
}

async fn matching(log: &SqliteLog, projection: &SqlProjection) -> Vec<RecordedEvent> {
    let mut reader = log.open(None, projection.filter()).await.unwrap();
    let batch = reader.next(Limit { events: 1_000, bytes: 1 << 20 }).await.unwrap();
    assert!(batch.caught_up);
    batch.events
}

fn error_of(failure: &Failure) -> &Error {
    failure.source().downcast_ref().expect("an error of ours")
}

/// A store in which the projection is set up, checked, and has applied the log.
async fn applied(place: &Place, def: SqlProjectionDef) -> (SqliteLog, Vec<RecordedEvent>) {
    let log = log(place).await;
    let store = place.store().await;
    let state = create(&store, "delays").await;
    let projection = Arc::new(SqlProjection::new(def).unwrap());
    let events = matching(&log, &projection).await;
    let slices = events.clone();
    transact(&store, move |mut unit| async move {
        projection.setup(unit.tx()).await.unwrap();
        projection.check(unit.tx()).await.unwrap();
        let mut after = None;
        for slice in slices.chunks(9) {
            unit.savepoint().await?;
            let through = slice[slice.len() - 1].position();
            let count = u64::try_from(slice.len()).unwrap();
            let slice = if projection.takes_ranges() {
                ApplySlice::Range { after, through, count }
            } else {
                ApplySlice::Events { events: slice, contiguous: true }
            };
            projection.apply_slice(slice, unit.tx()).await.unwrap();
            unit.release().await?;
            after = Some(through);
        }
        unit.commit(&state, &state).await
    })
    .await
    .unwrap();
    (log, events)
}

#[tokio::test]
async fn f_2_a_batch_is_applied_where_the_log_stands() {
    let place = Place::new();
    let (_log, events) = applied(&place, only_apply()).await;
    assert_eq!(events.len(), 40);
    let raw = place.raw();
    assert_eq!(number(&raw, "SELECT sum(flights) FROM delays"), 40);
    assert_eq!(number(&raw, "SELECT count(*) FROM delays"), 4);
}

#[tokio::test]
async fn f_4_apply_and_on_share_a_batch() {
    let place = Place::new();
    applied(&place, def()).await;
    let raw = place.raw();
    assert_eq!(number(&raw, "SELECT sum(flights) FROM delays"), 20);
    assert_eq!(number(&raw, "SELECT count(*) FROM diversion"), 20);
}

#[tokio::test]
async fn e_19_slices_may_be_undone_and_handed_over_in_another_form() {
    let place = Place::new();
    let log = log(&place).await;
    let store = place.store().await;
    let state = create(&store, "delays").await;
    let projection = Arc::new(SqlProjection::new(only_apply()).unwrap());
    let events = matching(&log, &projection).await;
    transact(&store, move |mut unit| async move {
        projection.setup(unit.tx()).await.unwrap();
        unit.savepoint().await?;
        for contiguous in [false, true, false] {
            let slice = ApplySlice::Events { events: &events, contiguous };
            projection.apply_slice(slice, unit.tx()).await.unwrap();
            unit.rollback_to().await?;
        }
        let last = events[39].position();
        projection
            .apply_slice(ApplySlice::Range { after: None, through: last, count: 40 }, unit.tx())
            .await
            .unwrap();
        unit.release().await?;
        unit.commit(&state, &state).await
    })
    .await
    .unwrap();
    assert_eq!(number(&place.raw(), "SELECT sum(flights) FROM delays"), 40);
}

/// What the start says to a definition.
async fn start(def: SqlProjectionDef) -> Result<(), Failure> {
    let place = Place::new();
    let store = place.store().await;
    transact(&store, move |mut unit| async move {
        let projection = SqlProjection::new(def).unwrap();
        let mut outcome = projection.setup(unit.tx()).await;
        if outcome.is_ok() {
            outcome = projection.check(unit.tx()).await;
        }
        unit.rollback().await?;
        Ok(outcome)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn e_9_sql_that_reaches_for_what_is_the_runners_is_refused_at_the_start() {
    start(def()).await.unwrap();
    for sql in ["DELETE FROM highwater_event", "UPDATE highwater_projection SET epoch = 0"] {
        let apply = Some(SqlText::new(sql, "apply"));
        let failure = start(SqlProjectionDef { apply, ..only_apply() }).await.unwrap_err();
        assert_eq!(error_of(&failure).kind(), ErrorKind::Schema);
        assert!(failure.message().contains("highwater_") && failure.message().contains("apply"), "{failure}");
    }
    let schema = Some(SqlText::new("CREATE TABLE mine (x);\nCREATE TABLE highwater_mine (x)", "delays.sql"));
    let failure = start(SqlProjectionDef { schema, ..only_apply() }).await.unwrap_err();
    assert_eq!(error_of(&failure).kind(), ErrorKind::TransactionEnded);
    assert!(failure.message().contains("line 2"), "{failure}");
}

#[tokio::test]
async fn f_5_what_is_missing_is_found_at_the_start() {
    let apply = Some(SqlText::new("INSERT INTO delays\nSELECT nosuch, 1, 2 FROM events", "apply"));
    let failure = start(SqlProjectionDef { apply, ..only_apply() }).await.unwrap_err();
    assert_eq!(error_of(&failure).kind(), ErrorKind::Schema);
    for part in ["`delays`, apply", "nosuch", "line 2, column 8"] {
        assert!(failure.message().contains(part), "{part} in {failure}");
    }
}

#[tokio::test]
async fn e_24_a_rebuild_empties_the_read_model() {
    let place = Place::new();
    applied(&place, def()).await;
    let store = place.store().await;
    let state = crate::kit::committed(&store, "delays").await;
    transact(&store, move |mut unit| async move {
        SqlProjection::new(def()).unwrap().clear(unit.tx()).await.unwrap();
        unit.commit(&state, &state).await
    })
    .await
    .unwrap();
    let raw = place.raw();
    assert_eq!(number(&raw, "SELECT (SELECT count(*) FROM delays) + (SELECT count(*) FROM diversion)"), 0);
}

fn sent<F: Future + Send>(future: F) -> F {
    future
}

async fn verified(
    place: &Place,
    log: &SqliteLog,
    through: Option<Position>,
    skip: &[Position],
    ignore: &[&str],
) -> Result<VerifyReport, Error> {
    let skip: BTreeSet<Position> = skip.iter().copied().collect();
    let ignore: Vec<String> = ignore.iter().map(ToString::to_string).collect();
    let report = sent(verify(&def(), &place.file(), log, None, through, &skip, &ignore)).await;
    let left: Vec<String> = std::fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("scratch"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    report
}

#[tokio::test]
async fn e_26_verify_finds_what_differs_and_nothing_else() {
    let place = Place::new();
    let (log, events) = applied(&place, def()).await;
    let last = Some(events[39].position());
    let report = verified(&place, &log, last, &[], &[]).await.unwrap();
    assert_eq!((report.differences, report.events), (Vec::new(), 40));
    assert_eq!(report.tables, ["delays", "diversion"]);
    assert_eq!(report.left_out, ["diversion.id", "diversion.made"]);

    place
        .raw()
        .execute_batch(
            "UPDATE delays SET flights = flights + 1 WHERE origin = 'A2';
             UPDATE diversion SET id = id + 100, made = 'never'",
        )
        .unwrap();
    let report = verified(&place, &log, last, &[], &[]).await.unwrap();
    let [TableDifference::Rows { table, rows: 1, examples }] = report.differences.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!(table, "delays");
    let (expected, found) = (examples[0].expected.as_deref().unwrap(), examples[0].found.as_deref().unwrap());
    assert!(
        expected.starts_with("origin 'A2', flights 4") && found.starts_with("origin 'A2', flights 5"),
        "{found}"
    );

    for ignore in ["flights", "delays.flights"] {
        assert_eq!(verified(&place, &log, last, &[], &[ignore]).await.unwrap().differences, []);
    }
    let error = verified(&place, &log, last, &[], &["delays.flight"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn e_26_verify_stops_where_the_state_stands_and_leaves_out_what_was_not_applied() {
    let place = Place::new();
    let (log, events) = applied(&place, def()).await;
    let last = Some(events[39].position());
    let skipped = events.iter().find(|event| event.event_type() == "Diverted").unwrap();
    let report = verified(&place, &log, last, &[skipped.position()], &[]).await.unwrap();
    assert_eq!((report.events, report.differences.len()), (39, 1));
    assert_eq!(report.differences[0].table(), "diversion");
    let before_last = Some(events[38].position());
    let report = verified(&place, &log, before_last, &[], &[]).await.unwrap();
    assert_eq!((report.events, report.differences.len()), (39, 1));
    let report = verified(&place, &log, None, &[], &[]).await.unwrap();
    assert_eq!((report.events, report.differences.len()), (0, 2));
}

#[tokio::test]
async fn e_26_an_event_that_cannot_be_applied_again_is_left_out_and_named() {
    let place = Place::new();
    let (log, _events) = applied(&place, def()).await;
    let bad = append(&log, "case-1", vec![NewEvent::json("Diverted", "no json")]).await;
    let report = verified(&place, &log, Some(bad), &[], &[]).await.unwrap();
    assert_eq!(report.differences, []);
    assert_eq!(report.not_applied.iter().map(|event| event.position).collect::<Vec<_>>(), [bad]);
    assert!(!report.not_applied[0].message.is_empty());
    let report = verified(&place, &log, Some(bad), &[bad], &[]).await.unwrap();
    assert_eq!(report.differences, []);
}

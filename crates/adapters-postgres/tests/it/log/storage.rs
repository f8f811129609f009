//! What stands in the table.

use highwater_core::ErrorKind;
use highwater_core::model::{Filter, NewEvent, Partition, RecordedEvent, stream_hash};
use highwater_core::ports::{AppendEvents, EventLog, EventReader};
use highwater_postgres::PgLog;
use highwater_postgres::sqlx::{AssertSqlSafe, Row, query};
use highwater_testkit::fixtures::{append_range, append_to, hostile_names, new_event};

use super::session::{LIMIT, Session, commits, read, reader};
use crate::kit::Place;

async fn all(log: &PgLog, filter: &Filter) -> Vec<RecordedEvent> {
    let mut reader = log.open(None, filter).await.expect("the log can be opened");
    reader.next(LIMIT).await.expect("the log can be read").events
}

#[tokio::test]
async fn x_9_payloads_come_back_byte_for_byte_and_none_is_not_an_empty_object() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let long = format!("[{}]", "\"\u{e9}\\u0000\", ".repeat(100_000) + "1e400000");
    let texts = [" {\n\t} ", r#"{"b":1, "a":2,"b":3}"#, r#""\ud800""#, "0.10", long.as_str()];
    let events: Vec<_> = texts
        .iter()
        .flat_map(|text| {
            [text, ""].map(|metadata| NewEvent {
                metadata: metadata.to_owned().into(),
                ..NewEvent::json("A", (*text).to_owned())
            })
        })
        .collect();
    log.append(&[append_to("a", events.clone())]).await.expect("a valid append");
    for (event, new) in all(&log, &Filter::all()).await.iter().zip(&events) {
        assert!(event.data() == &*new.data && event.metadata() == &*new.metadata, "{event:?}");
    }
    let mut session = Session::new(&place).await;
    assert_eq!(session.number("SELECT count(*) FROM highwater.event WHERE metadata IS NULL").await, 5);
}

#[tokio::test]
async fn the_server_keeps_hash_and_size_as_this_program_computes_them() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    for (n, name) in (0..).zip(hostile_names()).filter(|(_, name)| !name.contains('\0')) {
        let metadata = if n % 2 == 0 { "{\"é\":1}".into() } else { "".into() };
        let event = NewEvent { metadata, ..new_event(n, &name) };
        log.append(&[append_to(&name, vec![event])]).await.expect("a legal name");
    }
    // By the function for people, which hashes by itself; and by a call of several appends.
    Session::new(&place).await.append("日本語-飛行").await;
    let several = [append_to("é", vec![new_event(900, "A")]), append_to("e", vec![new_event(901, "Ä")])];
    log.append(&several).await.expect("a valid call");
    let events = all(&log, &Filter::all()).await;
    let mut connection = place.raw().await;
    let sql = format!("SELECT stream_hash, size FROM {}.event ORDER BY position", place.schema());
    let rows = query(AssertSqlSafe(sql));
    let rows = rows.fetch_all(&mut connection).await.expect("the rows");
    assert_eq!(rows.len(), events.len());
    for (row, event) in rows.iter().zip(&events) {
        assert_eq!(row.get::<i64, _>(0), i64::from(stream_hash(event.stream())), "{event:?}");
        assert_eq!(usize::try_from(row.get::<i32, _>(1)), Ok(event.size()), "{event:?}");
    }
    for of in [2, 3, 7] {
        let mut together = Vec::new();
        for index in 0..of {
            let filter = Filter { partition: Some(Partition { index, of }), ..Filter::all() };
            let part = all(&log, &filter).await;
            assert!(part.iter().all(|event| filter.matches(event.event_type(), event.stream())));
            together.extend(commits(&part));
        }
        together.sort_unstable();
        assert_eq!(together, commits(&events), "each event is in one of {of} partitions");
    }
}

#[tokio::test]
async fn e_2_a_log_survives_being_dumped_and_restored() {
    let (Some(place), Some(copy)) = (Place::new().await, Place::new().await) else { return };
    let log = PgLog::new(&place.database().await);
    let restored = PgLog::new(&copy.database().await);
    let mut open = Session::new(&place).await;
    append_range(&log, 0..5).await.expect("the log takes events");
    open.run("BEGIN").await;
    open.append("open").await;
    append_range(&log, 5..10).await.expect("the log takes events");
    // What a dump has: the rows that are visible, and where the sequence stands. Nothing else is needed: no
    // transaction's id is stored.
    let mut session = Session::new(&copy).await;
    session
        .run(&format!(
            "INSERT INTO highwater.event SELECT * FROM {from}.event; \
             SELECT setval('highwater.position', (SELECT last_value FROM {from}.position))",
            from = place.schema()
        ))
        .await;
    open.run("COMMIT").await;
    assert_eq!(read(&mut *reader(&log).await).await.len(), 11);
    let mut all = reader(&restored).await;
    assert_eq!(read(&mut *all).await, [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]);
    assert_eq!(session.append("new").await, 12);
    assert_eq!(read(&mut *all).await, [12]);

    // A restore that forgot the sequence is told, and writes nothing.
    assert_eq!(restored.check().await.expect("the log answers"), [""; 0]);
    session.run("ALTER SEQUENCE highwater.position RESTART CACHE 5").await;
    let wrong = restored.check().await.expect("the log answers");
    assert!(wrong.len() == 2 && wrong[0].contains("CACHE 1") && wrong[1].contains("setval"), "{wrong:?}");
    assert!(wrong[1].contains("highwater migrate"), "{wrong:?}");
    let error = restored.append(&[append_to("x", vec![new_event(99, "A")])]).await.expect_err("it is behind");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert_eq!(read(&mut *all).await, [0; 0]);
}

/// A log with the events 1, 2, 3 and 5, of which 4 is dead for readers, and whose sequence was set back to 3.
async fn set_back(place: &Place) -> (PgLog, Box<dyn EventReader>, Session) {
    let log = PgLog::new(&place.database().await);
    let mut session = Session::new(place).await;
    append_range(&log, 0..3).await.expect("the log takes events");
    session.run("BEGIN").await;
    session.append("rolled-back").await;
    session.run("ROLLBACK").await;
    assert_eq!(session.append("later").await, 5);
    let mut all = reader(&log).await;
    assert_eq!(read(&mut *all).await, [1, 2, 3, 5], "a reader has passed number 4");
    session.run("SELECT setval('highwater.position', 3)").await;
    (log, all, session)
}

#[tokio::test]
async fn e_2_an_append_below_the_settled_mark_is_refused() {
    let Some(place) = Place::new().await else { return };
    let (log, mut all, mut session) = set_back(&place).await;
    // What it would draw is free, but behind every reader.
    let by_function = r#"SELECT * FROM highwater.append('new', '{"type": "A"}')"#;
    for _ in 0..2 {
        let error = log.append(&[append_to("x", vec![new_event(99, "A")])]).await.expect_err("it is behind");
        assert_eq!((error.kind(), error.backend_code()), (ErrorKind::Corrupt, Some("HW003")), "{error:?}");
        assert!(error.chain().contains("highwater migrate"), "{}", error.chain());
        assert_eq!(session.refused(by_function).await, "HW003");
    }
    let mut connection = place.raw().await;
    let error = log.append_in(&mut connection, &[append_to("x", vec![new_event(99, "A")])]).await;
    assert_eq!(error.expect_err("it is behind").backend_code(), Some("HW003"));
    assert_eq!(session.number("SELECT last_value FROM highwater.position").await, 3, "no number was drawn");
    assert_eq!(read(&mut *all).await, [0; 0]);

    // Readers have noted how far they are, and the events themselves are gone: the mark alone tells.
    session.run("SELECT highwater.note_settled(5); DELETE FROM highwater.event WHERE position > 3").await;
    assert_eq!(session.refused(by_function).await, "HW003");
    session.run("SELECT setval('highwater.position', 5)").await;
    assert_eq!(session.append("new").await, 6);
    assert_eq!(read(&mut *all).await, [6]);
}

#[tokio::test]
async fn e_2_a_sequence_that_was_set_back_is_set_forward_when_the_log_is_opened() {
    let Some(place) = Place::new().await else { return };
    let (_, mut all, mut session) = set_back(&place).await;
    // Not by whoever may not change our tables: it is told what to do.
    let options = place.options().migrate(false);
    let looks = highwater_postgres::Database::open(&place.url(), &options).await.expect("it opens");
    let error = PgLog::new(&looks).ensure_sound().await.expect_err("it is behind");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.chain().contains("highwater migrate"), "{}", error.chain());

    // Several who open it at once, one of them while an append is under way, do it once.
    let mut open = Session::new(&place).await;
    open.run("BEGIN; LOCK TABLE highwater.event IN ROW EXCLUSIVE MODE").await;
    let logs = [PgLog::new(&place.database().await), PgLog::new(&place.database().await)];
    let both = async { tokio::join!(logs[0].ensure_sound(), logs[1].ensure_sound()) };
    let waiting =
        "SELECT count(*) FROM pg_locks WHERE relation = 'highwater.event'::regclass AND NOT granted";
    let (both, ()) = tokio::join!(both, async {
        while session.number(waiting).await < 2 {
            tokio::task::yield_now().await;
        }
        open.run("COMMIT").await;
    });
    both.0.and(both.1).expect("it is mended");
    assert_eq!(session.number("SELECT last_value FROM highwater.position").await, 5);
    logs[0].append(&[append_to("x", vec![new_event(99, "A")])]).await.expect("it is sound");
    assert_eq!(read(&mut *all).await, [6], "no reader has passed it");

    // What a number cannot mend is left to a person.
    session.run("ALTER SEQUENCE highwater.position RESTART CACHE 5").await;
    let error = logs[0].ensure_sound().await.expect_err("numbers in stock are lost");
    assert!(error.chain().contains("CACHE 1"), "{}", error.chain());
    assert_eq!(session.number("SELECT last_value FROM highwater.position").await, 1, "nothing was changed");
}

#[tokio::test]
async fn a_schema_may_have_an_odd_name() {
    let Some(place) = Place::new().await else { return };
    let name = format!("{} it's \"odd\"", place.schema());
    let options = place.options().schema(name.as_str());
    let database = highwater_postgres::Database::open(&place.url(), &options).await.expect("it opens");
    let log = PgLog::new(&database);
    append_range(&log, 0..3).await.expect("the log takes events");
    let found = read(&mut *reader(&log).await).await;
    let quoted = name.replace('"', "\"\"");
    let mut session = Session::new(&place).await;
    session.run(&format!("SELECT * FROM \"{quoted}\".append('a', '{{\"type\": \"A\"}}')")).await;
    assert_eq!(log.check().await.expect("the log answers"), [""; 0]);
    session.run(&format!("DROP SCHEMA \"{quoted}\" CASCADE")).await;
    assert_eq!(found, [1, 2, 3]);
}

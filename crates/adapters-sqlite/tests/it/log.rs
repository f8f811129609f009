//! The log, where it is SQLite's own.

use highwater_core::ErrorKind;
use highwater_core::model::{Append, ContentType, Filter, NewEvent, Pattern, Position};
use highwater_core::ports::{AppendEvents, EventLog, Limit};
use highwater_sqlite::SqliteLog;
use highwater_testkit::fixtures::{append_n, append_to, new_event};

use crate::kit::{Place, number, options};

const LARGE: Limit = Limit { events: 1_000_000, bytes: 1 << 30 };

async fn open(place: &Place) -> SqliteLog {
    SqliteLog::open(place.file(), &options()).await.expect("the log opens")
}

#[tokio::test]
async fn json_is_text_that_sql_can_read_and_bytes_are_blobs() {
    let place = Place::new();
    let log = open(&place).await;
    let binary = NewEvent { content_type: ContentType::Binary, ..NewEvent::json("B", "{}") };
    let json = NewEvent { time_micros: Some(-5), ..NewEvent::json("J", r#"{"a":{"b":7}}"#) };
    log.append(&[append_to("x-1", vec![json, binary])]).await.expect("a valid append");
    let conn = place.raw();
    assert_eq!(
        number(&conn, "SELECT data ->> '$.a.b' FROM highwater_event WHERE type = 'J' AND time = -5"),
        7
    );
    let kinds =
        "SELECT count(*) FROM highwater_event WHERE typeof(data) = 'blob' AND typeof(metadata) = 'blob'";
    assert_eq!(number(&conn, kinds), 1);
    assert_eq!(number(&conn, "SELECT time > 1600000000000000 FROM highwater_event WHERE type = 'B'"), 1);
}

#[tokio::test]
async fn x_9_json_that_is_no_utf_8_is_unstorable() {
    let place = Place::new();
    let log = open(&place).await;
    let broken = NewEvent::json("A", vec![b'"', 0xff, b'"']);
    let call = [append_to("fine", vec![new_event(1, "A")]), append_to("x", vec![broken])];
    let error = log.append(&call).await.expect_err("it is no text");
    assert_eq!(error.kind(), ErrorKind::Unstorable, "{error:?}");
    assert!(error.to_string().contains("append 1"), "{error}");
    assert_eq!(log.head().await.expect("the log answers"), None);
}

#[tokio::test]
async fn e_3_readers_search_by_the_whole_order_key() {
    let place = Place::new();
    let log = open(&place).await;
    append_n(&log, 10).await.expect("the log takes events");
    let conn = place.raw();
    let mut explain = conn
        .prepare(
            "EXPLAIN QUERY PLAN SELECT data FROM highwater_event WHERE (position, \"offset\") > (1, 0) \
             AND position <= 9 AND (+stream IN ('a')) ORDER BY position, \"offset\"",
        )
        .expect("a statement");
    let plan: Vec<String> =
        explain.query_map([], |row| row.get(3)).expect("a plan").collect::<Result<_, _>>().expect("its text");
    assert_eq!(plan.len(), 1, "it neither sorts nor scans: {plan:?}");
    assert!(plan[0].contains("SEARCH") && plan[0].contains("PRIMARY KEY"), "{plan:?}");
}

#[tokio::test]
async fn e_4_one_match_in_many_is_reached_in_bounded_steps() {
    let place = Place::new();
    let log = open(&place).await;
    let events = 90_000;
    append_n(&log, events).await.expect("the log takes events");
    log.append(&[append_to("rare-1", vec![new_event(events, "Rare")])]).await.expect("a valid append");
    let filter = Filter { streams: vec![Pattern::parse("rare-*")], ..Filter::all() };
    let mut reader = log.open(None, &filter).await.expect("the log can be opened");
    let (mut steps, mut scanned, mut found) = (0, None, 0);
    loop {
        let batch = reader.next(Limit { events: 10, bytes: 1 << 20 }).await.expect("the log can be read");
        assert!(batch.scanned > scanned || batch.caught_up);
        scanned = batch.scanned;
        found += batch.events.len();
        steps += 1;
        if batch.caught_up {
            break;
        }
    }
    assert_eq!((found, scanned), (1, log.head().await.expect("the log answers")));
    assert!(steps > 3, "one call looked at the whole log");
}

#[tokio::test]
async fn a_hole_in_the_positions_is_jumped_over() {
    let place = Place::new();
    let log = open(&place).await;
    append_n(&log, 3).await.expect("the log takes events");
    place
        .raw()
        .execute_batch(
            "UPDATE highwater_event SET position = 9000000000000000000 WHERE position = 2;
             UPDATE highwater_event SET position = 9223372036854775806, \"offset\" = 7 WHERE position = 3;",
        )
        .expect("the hole");
    let filter = Filter::types(["Counted"]); // the first and the last
    let mut reader = log.open(None, &filter).await.expect("the log can be opened");
    let (mut found, mut steps) = (Vec::new(), 0);
    loop {
        let batch = reader.next(LARGE).await.expect("the log can be read");
        found.extend(batch.events.iter().map(highwater_core::model::RecordedEvent::position));
        steps += 1;
        assert!(steps < 10, "it does not walk through the hole");
        if batch.caught_up {
            break;
        }
    }
    assert_eq!(found, [Position::new(1, 0), Position::new((1 << 63) - 2, 7)]);
    assert!(log.event_at(found[1]).await.expect("the log answers").is_some());
}

#[tokio::test]
async fn x_5_a_log_whose_numbers_are_used_up_refuses_and_keeps_what_it_has() {
    let place = Place::new();
    let log = open(&place).await;
    append_n(&log, 1).await.expect("the log takes events");
    place.raw().execute_batch("UPDATE highwater_event SET position = 9223372036854775807").expect("the end");
    let error =
        log.append(&[append_to("b", vec![new_event(5, "B")])]).await.expect_err("there is no position");
    assert_eq!(error.kind(), ErrorKind::Unstorable, "{error:?}");
    place
        .raw()
        .execute_batch("UPDATE highwater_event SET position = 1, sequence = 9223372036854775806")
        .expect("the stream's end");
    let error =
        log.append(&[append_to("counter-0", vec![new_event(6, "B")])]).await.expect_err("no sequence");
    assert_eq!(error.kind(), ErrorKind::Unstorable, "{error:?}");
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM highwater_event"), 1);
}

#[tokio::test]
async fn an_import_of_thousands_of_appends_is_one_call() {
    let place = Place::new();
    let log = open(&place).await;
    let call: Vec<Append> = (0..5000)
        .map(|n| Append {
            category: Some("imported".into()),
            ..append_to(&format!("s-{}", n % 700), vec![new_event(n, "A")])
        })
        .collect();
    let done = log.append(&call).await.expect("a valid call");
    assert_eq!(done.last().map(|one| one.last), Some(Position::new(5000, 0)));
    let again = log.append(&call).await.expect("all of it is there");
    assert!(again.iter().zip(&done).all(|(again, first)| again.duplicate && again.last == first.last));
    assert_eq!(
        number(&place.raw(), "SELECT count(*) FROM highwater_event WHERE category = 'imported'"),
        5000
    );
}

#[tokio::test]
async fn a_part_of_an_append_that_is_there_is_no_duplicate() {
    let place = Place::new();
    let log = open(&place).await;
    log.append(&[append_to("a", vec![new_event(0, "A"), new_event(1, "A")])]).await.expect("a valid append");
    for events in [[0, 5], [5, 1]] {
        let call = [append_to("a", events.map(|n| new_event(n, "A")).to_vec())];
        let error = log.append(&call).await.expect_err("one of them is there");
        assert_eq!(error.kind(), ErrorKind::EventIdReused, "{error:?}");
    }
    let twice = [append_to("a", vec![new_event(7, "A"), new_event(7, "A")])];
    let error = log.append(&twice).await.expect_err("one id for two events");
    assert_eq!(error.kind(), ErrorKind::EventIdReused, "{error:?}");
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM highwater_event"), 2);
}

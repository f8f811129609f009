//! Appending, where it is PostgreSQL's own.

use highwater_core::ErrorKind;
use highwater_core::model::{Append, Expected, Filter, NewEvent, Position};
use highwater_core::ports::{AppendEvents, EventLog};
use highwater_postgres::PgLog;
use highwater_postgres::sqlx::{AssertSqlSafe, Connection, query};
use highwater_testkit::fixtures::{append_n, append_to, id, new_event};

use super::session::{LIMIT, Session, read, reader};
use crate::kit::Place;

fn expecting(next: u64, append: Append) -> Append {
    Append { expected: Expected::Next(next), ..append }
}

fn context<'e>(error: &'e highwater_core::Error, key: &str) -> Option<&'e str> {
    error.context().iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn an_append_in_the_callers_transaction_is_visible_when_it_commits() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut mine = place.raw().await;
    query(AssertSqlSafe("CREATE TABLE orders (n int)")).execute(&mut mine).await.expect("a table");
    for commits in [false, true] {
        let mut tx = mine.begin().await.expect("a transaction");
        query(AssertSqlSafe("INSERT INTO orders VALUES (1)")).execute(&mut *tx).await.expect("a row");
        let first = [append_to("a", vec![new_event(0, "A"), new_event(1, "A")])];
        let done = log.append_in(&mut tx, &first).await.expect("a valid append");
        assert_eq!((done[0].next_sequence, done[0].duplicate), (2, false));
        let done = log.append_in(&mut tx, &[expecting(2, append_to("a", vec![new_event(2, "A")]))]).await;
        assert_eq!(done.expect("it sees the first")[0].next_sequence, 3);
        let again = log.append_in(&mut tx, &first).await.expect("it is there");
        assert!(again[0].duplicate);
        assert_eq!(read(&mut *reader(&log).await).await.len(), 0);
        if commits {
            tx.commit().await.expect("a commit");
            log.announce();
        } else {
            tx.rollback().await.expect("a rollback");
        }
        assert_eq!(read(&mut *reader(&log).await).await.len(), if commits { 3 } else { 0 });
    }
}

#[tokio::test]
async fn an_append_in_the_callers_transaction_says_what_is_wrong() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    append_n(&log, 1).await.expect("the log takes events"); // counter-0
    let mut mine = place.raw().await;
    let fine = || append_to("fine", vec![NewEvent::json("A", "{}")]);
    for (kind, bad) in [
        (ErrorKind::WrongExpectedSequence, expecting(5, append_to("counter-0", vec![new_event(9, "A")]))),
        (ErrorKind::EventIdReused, append_to("b", vec![new_event(0, "A")])),
        (ErrorKind::EventIdReused, expecting(1, append_to("counter-0", vec![new_event(0, "A")]))),
        (ErrorKind::Unstorable, append_to("b", vec![NewEvent::json("A", "{")])),
    ] {
        let mut tx = mine.begin().await.expect("a transaction");
        let error = log.append_in(&mut tx, &[fine(), bad]).await.expect_err("it is refused");
        assert_eq!((error.kind(), context(&error, "append")), (kind, Some("1")), "{error:?}");
        tx.rollback().await.expect("a rollback");
    }
    // A race that the other one wins while we wait for its row.
    let mut other = Session::new(&place).await;
    for (expected, kind) in
        [(Expected::Next(0), ErrorKind::WrongExpectedSequence), (Expected::Any, ErrorKind::Contention)]
    {
        let stream = format!("raced-{kind:?}");
        other.run("BEGIN").await;
        other.append(&stream).await;
        let mut tx = mine.begin().await.expect("a transaction");
        let call = [Append { expected, ..append_to(&stream, vec![NewEvent::json("A", "{}")]) }];
        let (error, ()) = tokio::join!(log.append_in(&mut tx, &call), async {
            wait_for_a_waiter(&place).await;
            other.run("COMMIT").await;
        });
        let error = error.expect_err("the other one has won");
        assert_eq!((error.kind(), context(&error, "append")), (kind, Some("0")), "{error:?}");
        tx.rollback().await.expect("a rollback");
    }
}

/// Until somebody waits for a row of this place's table.
async fn wait_for_a_waiter(place: &Place) {
    let mut watch = Session::new(place).await;
    while watch
        .number(
            "SELECT count(*) FROM pg_locks w JOIN pg_locks t USING (pid) \
             WHERE NOT w.granted AND t.relation = 'highwater.event'::regclass",
        )
        .await
        == 0
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_import_of_thousands_of_appends_is_one_call() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    for expects in [false, true] {
        let call: Vec<Append> = (0..5000)
            .map(|n| {
                let append = append_to(
                    &format!("s{expects}-{}", n % 700),
                    vec![new_event(n + 5000 * u64::from(expects), "A")],
                );
                Append {
                    category: Some("imported".into()),
                    expected: if expects { Expected::Next(n / 700) } else { Expected::Any },
                    ..append
                }
            })
            .collect();
        let done = log.append(&call).await.expect("a valid call");
        assert!(done.windows(2).all(|pair| pair[0].last < pair[1].last), "a position each, in order");
        assert!(done.iter().zip(0..).all(|(one, n)| one.next_sequence == n / 700 + 1 && !one.duplicate));
        let again = log.append(&call).await.expect("all of it is there");
        assert!(again.iter().zip(&done).all(|(again, first)| again.duplicate && again.last == first.last));
        // A line that stands twice, and a line that is new.
        let mut mixed = call[4000..].to_vec();
        let next = 5000 / 700 + 1;
        mixed.push(mixed[999].clone());
        mixed.push(expecting(next, append_to(&format!("s{expects}-0"), vec![NewEvent::json("A", "{}")])));
        let done = log.append(&mixed).await.expect("a valid call");
        assert!(done[..1001].iter().all(|one| one.duplicate) && !done[1001].duplicate);
    }
    let mut session = Session::new(&place).await;
    assert_eq!(
        session.number("SELECT count(*) FROM highwater.event WHERE category = 'imported'").await,
        10_000
    );
}

#[tokio::test]
async fn x_11_a_call_that_is_too_large_for_one_message_is_still_one_transaction() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let large = || NewEvent::json("A", format!("\"{}\"", "x".repeat(9 << 20)));
    let call = |last: Append| {
        let mut call = vec![append_to("a", vec![large()]), append_to("a", vec![large()])];
        call.push(last);
        call
    };
    let wrong = expecting(7, append_to("b", vec![NewEvent::json("A", "{}")]));
    let error = log.append(&call(wrong)).await.expect_err("the last one is wrong");
    assert_eq!(context(&error, "append"), Some("2"), "{error:?}");
    assert_eq!(log.head().await.expect("the log answers"), None);
    let right = expecting(2, append_to("a", vec![NewEvent::json("A", "{}")]));
    assert_eq!(log.append(&call(right)).await.expect("a valid call")[2].next_sequence, 3);
}

#[tokio::test]
async fn a_part_of_an_append_that_is_there_is_no_duplicate() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    log.append(&[append_to("a", vec![new_event(0, "A"), new_event(1, "A")])]).await.expect("a valid append");
    for events in [[0, 5], [5, 1]] {
        for expected in [Expected::Any, Expected::Next(2)] {
            let events = events.map(|n| new_event(n, "A")).to_vec();
            let error = log.append(&[Append { expected, ..append_to("a", events) }]).await;
            let error = error.expect_err("one of them is there");
            assert_eq!(error.kind(), ErrorKind::EventIdReused, "{error:?}");
        }
    }
    let twice = || append_to("b", vec![new_event(7, "A"), new_event(7, "A")]);
    for append in [twice(), expecting(0, twice())] {
        let error = log.append(&[append]).await.expect_err("one id for two events");
        assert_eq!(error.kind(), ErrorKind::EventIdReused, "{error:?}");
        assert_eq!(context(&error, "id"), Some(id(7).to_string().as_str()));
    }
    assert_eq!(read(&mut *reader(&log).await).await.len(), 2);
}

#[tokio::test]
async fn what_the_server_alone_refuses_is_still_pinned_to_its_append() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    // Deeper than the server's parser goes.
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let fine = |n| append_to("a", vec![new_event(n, "A")]);
    for (call, index) in [
        (vec![append_to("a", vec![NewEvent::json("A", deep.clone())])], "0"),
        (vec![fine(0), fine(1), append_to("a", vec![NewEvent::json("A", deep.clone())]), fine(2)], "2"),
    ] {
        let error = log.append(&call).await.expect_err("it is too deep");
        assert_eq!(
            (error.kind(), context(&error, "append")),
            (ErrorKind::Unstorable, Some(index)),
            "{error:?}"
        );
    }
    assert_eq!(log.head().await.expect("the log answers"), None);
}

#[tokio::test]
async fn x_9_what_no_postgresql_log_keeps_is_unstorable() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let event = |data: &[u8]| NewEvent::json("A", data.to_vec());
    let early = NewEvent { time_micros: Some(i64::MIN), ..event(b"{}") };
    let meta = NewEvent { metadata: "{".into(), ..event(b"{}") };
    let named = Append { category: Some("a\0".into()), ..append_to("a", vec![event(b"{}")]) };
    for (what, append) in [
        ("no UTF-8", append_to("a", vec![event(b"\"\xff\"")])),
        ("no JSON", append_to("a", vec![event(b"hello")])),
        ("a NUL", append_to("a", vec![event(b"\"\0\"")])),
        ("metadata that is no JSON", append_to("a", vec![meta])),
        ("a stream with a NUL", append_to("a\0b", vec![event(b"{}")])),
        ("a type with a NUL", append_to("a", vec![NewEvent::json("\0", "{}")])),
        ("a category with a NUL", named),
        ("a time before the calendar", append_to("a", vec![early])),
    ] {
        let call = [append_to("fine", vec![new_event(1, "A")]), append];
        let error = log.append(&call).await.expect_err(what);
        assert_eq!(
            (error.kind(), context(&error, "append")),
            (ErrorKind::Unstorable, Some("1")),
            "{what}: {error:?}"
        );
    }
    assert_eq!(log.head().await.expect("the log answers"), None);
}

#[tokio::test]
async fn x_5_a_log_whose_numbers_are_used_up_refuses_and_keeps_what_it_has() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut session = Session::new(&place).await;
    session.run(&format!("ALTER SEQUENCE highwater.position RESTART WITH {}", i64::MAX)).await;
    let done = log.append(&[append_to("a", vec![new_event(0, "A")])]).await.expect("the last number");
    assert_eq!(done[0].last, Position::new(i64::MAX.unsigned_abs(), 0));
    assert_eq!(read(&mut *reader(&log).await).await, [i64::MAX.unsigned_abs()]);
    let error = log.append(&[append_to("b", vec![new_event(1, "A")])]).await.expect_err("there is no number");
    assert_eq!(error.kind(), ErrorKind::Unstorable, "{error:?}");
    session.run(&format!("UPDATE highwater.event SET sequence = {}", i64::MAX)).await;
    let error =
        log.append(&[append_to("a", vec![new_event(1, "A")])]).await.expect_err("there is no sequence");
    assert_eq!(error.kind(), ErrorKind::Unstorable, "{error:?}");
    assert_eq!(
        log.count_between(None, Some(Position::MAX), &Filter::all()).await.expect("it counts"),
        Some(1)
    );
}

#[tokio::test]
async fn writers_of_one_stream_wait_for_each_other_instead_of_failing() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let writers: Vec<_> = (0..16_u64)
        .map(|writer| {
            let log = log.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let event = new_event(writer * 20 + n, "A");
                    log.append(&[append_to("shared", vec![event])]).await.expect("any place will do");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("the writer has not panicked");
    }
    let mut all = log.open(None, &Filter::all()).await.expect("the log can be opened");
    let events = all.next(LIMIT).await.expect("the log can be read").events;
    assert!(events.iter().zip(0..).all(|(event, n)| event.sequence() == n) && events.len() == 320);
}

#[tokio::test]
async fn people_append_by_a_function() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut session = Session::new(&place).await;
    session
        .run(r#"SELECT highwater.append('order-1', '{"type": "Placed", "data": {"n":  1.50, "n": 2}}')"#)
        .await;
    session
        .run(
            r#"SELECT highwater.append('order-1', '[
                 {"type": "Picked", "id": "00000000-0000-0000-0000-000000000007", "time":
                  "2013-01-01T10:17:00Z"},
                 {"type": "Packed", "metadata": {"by": "é"}}]', expected => 1, category => 'sales')"#,
        )
        .await;
    let mut all = log.open(None, &Filter::all()).await.expect("the log can be opened");
    let events = all.next(LIMIT).await.expect("the log can be read").events;
    let shown: Vec<_> = events
        .iter()
        .map(|event| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (
                event.event_type().to_owned(),
                event.category().to_owned(),
                text(event.data()),
                text(event.metadata()),
            )
        })
        .collect();
    let row = |event_type: &str, category: &str, data: &str, metadata: &str| {
        (event_type.to_owned(), category.to_owned(), data.to_owned(), metadata.to_owned())
    };
    let expected = [
        row("Placed", "order", r#"{"n":  1.50, "n": 2}"#, ""),
        row("Picked", "sales", "{}", ""),
        row("Packed", "sales", "{}", r#"{"by": "é"}"#),
    ];
    assert_eq!(shown, expected);
    assert_eq!(events[1].time_rfc3339(), "2013-01-01T10:17:00Z");
    assert_eq!((events[1].id().as_u128(), events[2].position()), (7, Position::new(2, 1)));

    let again = r#"SELECT duplicate FROM highwater.append(
        'order-1', '{"type": "Picked", "id": "00000000-0000-0000-0000-000000000007"}', 1)"#;
    assert!(session.yes(again).await);
    for (code, arguments) in [
        ("HW001", r#"'order-1', '{"type": "A"}', 1"#),
        ("HW002", r#"'order-2', '{"type": "A", "id": "00000000-0000-0000-0000-000000000007"}'"#),
        ("22023", r#"'', '{"type": "A"}'"#),
        ("22023", r#"'a', '{"typ": "A"}'"#),
        ("22023", r#"'a', '{"data": {}}'"#),
        ("22023", r#"'a', '[]'"#),
        ("22023", r#"'a', '[7]'"#),
        ("23514", r#"'a', '{"type": ""}'"#),
        ("22P02", r#"'a', '{"type": "A", "id": "x"}'"#),
    ] {
        assert_eq!(
            session.refused(&format!("SELECT highwater.append({arguments})")).await,
            code,
            "{arguments}"
        );
    }
    let comment = "SELECT obj_description('highwater.append(text, json, bigint, text)'::regprocedure)";
    assert!(session.text_of(comment).await.contains("expected"));
}

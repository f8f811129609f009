//! Reading on, in pieces.

use highwater_core::model::{Filter, NewEvent, Pattern, Position, RecordedEvent};
use highwater_core::ports::{AppendEvents, EventLog, Limit};
use highwater_postgres::PgLog;
use highwater_testkit::fixtures::{append_n, append_to, new_event};

use super::session::{LIMIT, Session, commits, filtered, read, reader};
use crate::kit::Place;

#[tokio::test]
async fn e_3_readers_search_by_the_whole_order_key() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    append_n(&log, 5000).await.expect("the log takes events");
    let mut session = Session::new(&place).await;
    session.run("VACUUM (ANALYZE) highwater.event").await;
    let filter = "AND (type = ANY (ARRAY['Counted']) OR type ^@ ANY (ARRAY[]::text[]))";
    for (columns, filter, scan) in
        [("position, \"offset\", size", "", "Index Only Scan"), ("data", filter, "Index Scan")]
    {
        let sql = format!(
            "EXPLAIN SELECT {columns} FROM highwater.event \
             WHERE (position, \"offset\") > (2000, 0) AND position <= 9223372036854775807 {filter} \
             ORDER BY position, \"offset\" LIMIT 500"
        );
        let plan = session.texts(&sql).await.join("\n");
        assert!(plan.contains(scan) && plan.contains("event_position"), "{plan}");
        assert!(!plan.contains("Sort") && !plan.contains("Seq Scan"), "{plan}");
    }
}

#[tokio::test]
async fn e_4_one_match_in_many_is_reached_in_bounded_steps() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut session = Session::new(&place).await;
    session
        .run(
            "INSERT INTO highwater.event \
             (position, \"offset\", sequence, time, stream_hash, size, id, stream, category, type, data) \
             SELECT n, 0, n, now(), 0, 9, gen_random_uuid(), 'foreign', 'x', 'A', '{}' FROM \
             generate_series(1, 70000) n; \
             SELECT setval('highwater.position', 70000)",
        )
        .await;
    log.append(&[append_to("rare-1", vec![new_event(1, "Rare")])]).await.expect("a valid append");
    let filter = Filter { streams: vec![Pattern::parse("rare-*")], ..Filter::all() };
    for extent in [false, true] {
        let mut reader = log.open(None, &filter).await.expect("the log can be opened");
        let (mut steps, mut before, mut found) = (0, None, 0);
        loop {
            let limit = Limit { events: 10, bytes: 1 << 20 };
            let (count, scanned, caught_up) = if extent {
                let range = reader.next_range(limit).await.expect("the log can be read");
                (range.events, range.scanned, range.caught_up)
            } else {
                let batch = reader.next(limit).await.expect("the log can be read");
                (u64::try_from(batch.events.len()).expect("a small number"), batch.scanned, batch.caught_up)
            };
            assert!(scanned > before || caught_up);
            before = scanned;
            found += count;
            steps += 1;
            if caught_up {
                break;
            }
        }
        assert_eq!((found, before), (1, log.head().await.expect("the log answers")));
        assert!(steps > 3, "one call looked at the whole log");
    }
}

#[tokio::test]
async fn a_hole_in_the_positions_is_jumped_over() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    append_n(&log, 3).await.expect("the log takes events");
    let mut session = Session::new(&place).await;
    session
        .run(
            "UPDATE highwater.event SET position = 9000000000000000000 WHERE position = 2; \
             UPDATE highwater.event SET position = 9223372036854775806, \"offset\" = 7 WHERE position = 3; \
             SELECT setval('highwater.position', 9223372036854775806)",
        )
        .await;
    for filter in [Filter::types(["Counted"]), Filter::types(["Tallied"]), Filter::all()] {
        let expected: Vec<u64> =
            [(1, "Counted"), (9_000_000_000_000_000_000, "Tallied"), ((1 << 63) - 2, "Counted")]
                .into_iter()
                .filter(|(_, event_type)| filter.matches(event_type, "counter-0"))
                .map(|(position, _)| position)
                .collect();
        let log = PgLog::new(log.database());
        let mut reader = log.open(None, &filter).await.expect("the log can be opened");
        let (mut found, mut steps) = (Vec::new(), 0);
        loop {
            let batch = reader.next(LIMIT).await.expect("the log can be read");
            found.extend(commits(&batch.events));
            steps += 1;
            assert!(steps < 10, "it does not walk through the hole");
            if batch.caught_up {
                assert_eq!(batch.scanned, Some(Position::new((1 << 63) - 2, 7)));
                break;
            }
        }
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn dead_numbers_do_not_cut_batches_short() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    append_n(&log, 600).await.expect("the log takes events");
    place.execute("DELETE FROM highwater.event WHERE position % 3 = 0").await;
    let limit = Limit { events: 100, bytes: 1 << 20 };
    for filter in [Filter::all(), Filter::types(["*"])] {
        let log = PgLog::new(log.database());
        let mut reader = log.open(None, &filter).await.expect("the log can be opened");
        let mut ranges = log.open(None, &filter).await.expect("the log can be opened");
        for _ in 0..4 {
            let batch = reader.next(limit).await.expect("the log can be read");
            assert_eq!(batch.events.len(), 100, "{filter:?}");
            let range = ranges.next_range(limit).await.expect("the log can be read");
            assert_eq!((range.events, range.scanned), (100, batch.scanned), "{filter:?}");
        }
        assert!(reader.next(limit).await.expect("the log can be read").caught_up);
    }
}

#[tokio::test]
async fn e_1_c_times_that_step_back_change_nothing() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let (mut all, mut by_filter) = (reader(&log).await, filtered(&log).await);
    let hour = 3_600_000_000;
    for n in 0..5_i64 {
        let event = NewEvent {
            time_micros: Some(1_700_000_000_000_000 - n * hour),
            ..new_event(n.unsigned_abs(), "A")
        };
        log.append(&[append_to("a", vec![event])]).await.expect("a valid append");
        let position = n.unsigned_abs() + 1;
        assert_eq!((read(&mut *all).await, read(&mut *by_filter).await), (vec![position], vec![position]));
    }
}

#[tokio::test]
async fn an_append_is_never_torn_by_a_limit() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let three = (0..3).map(|n| new_event(n, "A")).collect();
    log.append(&[append_to("a", three)]).await.expect("a valid append");
    log.append(&[append_to("b", vec![new_event(3, "A")])]).await.expect("a valid append");
    let all: Vec<_> = [(1, 0), (1, 1), (1, 2), (2, 0)].map(|(c, p)| Position::new(c, p)).to_vec();
    for filter in [Filter::all(), Filter::types(["A"])] {
        for behind in 0..all.len() {
            // A process that knows nothing yet, and stands in the middle of an append.
            let log = PgLog::new(log.database());
            let after = behind.checked_sub(1).map(|before| all[before]);
            let mut reader = log.open(after, &filter).await.expect("the log can be opened");
            let mut found = Vec::new();
            loop {
                let batch = reader.next(Limit { events: 1, bytes: 1 << 20 }).await.expect("it can be read");
                found.extend(batch.events.iter().map(RecordedEvent::position));
                if batch.caught_up {
                    break;
                }
            }
            assert_eq!(found, all[behind..], "{filter:?} behind {after:?}");
        }
    }
}

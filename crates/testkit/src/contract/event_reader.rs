//! The laws 10 to 14, of `EventReader`.

use std::task::Poll;

use futures_util::FutureExt;
use futures_util::poll;

use highwater_core::ErrorKind;
use highwater_core::model::{Filter, NewEvent, RecordedEvent};
use highwater_core::ports::{EventReader, Limit};

use super::LogFixture;
use super::suite::suite;
use super::support::{SOON, at_most, drain, next_batch, positions, read_all, without};
use crate::fixtures::{append_n, append_range, append_to, id, new_event};

/// Reads on, dropping each `next` after 1 to 4 polls if it is not ready by then, until the log's end.
async fn drain_impatiently(reader: &mut dyn EventReader, limit: Limit) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    let mut turn = 0;
    loop {
        turn += 1;
        assert!(turn < 100_000, "the reader does not get on: {} events so far", all.len());
        let mut next = reader.next(limit);
        let mut answer = Poll::Pending;
        // Each tenth turn waits, so that a log whose every read takes longer is read to its end, too.
        let polls = if turn % 10 == 0 { usize::MAX } else { turn % 4 + 1 };
        for _ in 0..polls {
            if polls == usize::MAX {
                answer = Poll::Ready((&mut next).await);
            } else {
                answer = poll!(&mut next);
            }
            if answer.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(next);
        if let Poll::Ready(batch) = answer {
            let batch = batch.expect("the log can be read");
            all.extend(batch.events);
            if batch.caught_up {
                return all;
            }
        }
    }
}

suite! {
    [$] event_reader => event_reader_laws [] (fixture: LogFixture)

    /// After an error or a dropped future the reader stands where it stood.
    fn law_10_a_dropped_or_failed_next_moves_nothing {
        append_n(&*fixture.append, 300).await.expect("the log takes events");
        let all = read_all(&*fixture.log).await;
        let mut reader = fixture.log.open(None, &Filter::all()).await.expect("the log can be opened");
        assert_eq!(positions(&drain_impatiently(&mut *reader, at_most(10)).await), positions(&all));

        let mut reader = fixture.log.open(None, &Filter::all()).await.expect("the log can be opened");
        let mut seen = reader.next(at_most(10)).await.expect("the log can be read").events;
        let Some(outage) = fixture.outage.clone() else { return without("law_10", "outage") };
        outage(true).await;
        reader.next(at_most(10)).await.expect_err("the log is cut off");
        reader.next(at_most(10)).await.expect_err("the log is cut off");
        outage(false).await;
        seen.extend(drain(&mut *reader, at_most(10)).await);
        assert_eq!(positions(&seen), positions(&all), "after an error");
    }

    /// A batch holds at most the limit's events, and at most its bytes unless it holds a single event.
    fn law_11_a_batch_keeps_its_limits {
        let sizes = [10, 5000, 10, 10, 10, 9000, 9000, 10, 700, 700];
        let events: Vec<_> = (0..)
            .zip(sizes)
            .map(|(n, size)| NewEvent::json("Sized", format!("\"{}\"", "x".repeat(size))).with_id(id(n)))
            .collect();
        let expected = events.len();
        fixture.append.append(&[append_to("sized", events)]).await.expect("the append is valid");
        for (events, bytes) in [(1, 1 << 20), (3, 1 << 20), (100, 1), (100, 1500), (2, 1500), (100, 10_000)] {
            let mut reader = fixture.log.open(None, &Filter::all()).await.expect("the log can be opened");
            let (mut seen, mut before) = (0, None);
            loop {
                let batch = next_batch(&mut *reader, Limit { events, bytes }, &mut before).await;
                let size: usize = batch.events.iter().map(RecordedEvent::size).sum();
                assert!(batch.events.len() <= events, "{} events at a limit of {events}", batch.events.len());
                assert!(size <= bytes || batch.events.len() == 1, "{size} bytes at a limit of {bytes}");
                seen += batch.events.len();
                if batch.caught_up {
                    break;
                }
            }
            assert_eq!(seen, expected, "at a limit of {events} events and {bytes} bytes");
        }
    }

    /// `scanned` never goes back; a batch without events has a further scanned bound, or is caught up.
    fn law_12_the_scanned_bound_only_rises {
        for block in 0..4 {
            append_range(&*fixture.append, block * 1500..(block + 1) * 1500)
                .await
                .expect("the log takes events");
            let rare = append_to("rare", vec![new_event(100_000 + block, "Rare")]);
            fixture.append.append(&[rare]).await.expect("the append is valid");
        }
        let head = fixture.log.head().await.expect("the log answers");
        for (filter, matches) in [(Filter::types(["Rare"]), 4), (Filter::types(["Never"]), 0)] {
            let mut reader = fixture.log.open(None, &filter).await.expect("the log can be opened");
            let (mut before, mut seen) = (None, 0);
            loop {
                let batch = next_batch(&mut *reader, at_most(2), &mut before).await;
                assert!(batch.events.last().map(RecordedEvent::position) <= batch.scanned);
                seen += batch.events.len();
                if batch.caught_up {
                    break;
                }
            }
            assert_eq!(seen, matches);
            assert!(before >= head, "{before:?} of {head:?}");
            let again = reader.next(at_most(2)).await.expect("the log can be read");
            assert!(again.caught_up && again.events.is_empty() && again.scanned >= before);
        }
    }

    /// `next_range` advances exactly as `next` would have with the same limit.
    fn law_13_next_range_advances_as_next {
        append_n(&*fixture.append, 100).await.expect("the log takes events");
        let small = Limit { events: 50, bytes: 200 };
        for filter in [Filter::all(), Filter::types(["Count*"]), Filter::types(["Never"])] {
            for limit in [at_most(1), at_most(7), at_most(1000), small] {
                let mut reads = fixture.log.open(None, &filter).await.expect("the log can be opened");
                let mut ranges = fixture.log.open(None, &filter).await.expect("the log can be opened");
                let mut mixed = fixture.log.open(None, &filter).await.expect("the log can be opened");
                for turn in 0.. {
                    let batch = reads.next(limit).await.expect("the log can be read");
                    let range = match ranges.next_range(limit).await {
                        Ok(range) => range,
                        Err(error) if error.kind() == ErrorKind::Unsupported => {
                            return without("law_13", "log that can read a range");
                        }
                        Err(error) => panic!("{error:?}"),
                    };
                    assert_eq!(range.events, u64::try_from(batch.events.len()).expect("a small number"));
                    assert_eq!(range.last, batch.events.last().map(RecordedEvent::position));
                    assert_eq!((range.scanned, range.caught_up), (batch.scanned, batch.caught_up));
                    // One reader may take turns.
                    if turn % 2 == 0 {
                        assert_eq!(mixed.next_range(limit).await.expect("the log can be read"), range);
                    } else {
                        let events = mixed.next(limit).await.expect("the log can be read").events;
                        assert_eq!(positions(&events), positions(&batch.events));
                    }
                    if batch.caught_up {
                        break;
                    }
                }
            }
        }
    }

    /// `wait` returns soon after an append that this reader has not yet seen; dropping it ends the wait.
    fn law_14_wait_returns_after_an_append {
        append_n(&*fixture.append, 1).await.expect("the log takes events");
        let mut reader = fixture.log.open(None, &Filter::all()).await.expect("the log can be opened");
        assert_eq!(drain(&mut *reader, at_most(10)).await.len(), 1);

        // Appended between `next` and `wait`: the hint must not be lost.
        append_range(&*fixture.append, 1..2).await.expect("the log takes events");
        assert_eq!(waited(&mut *reader).await, 1, "an append before the wait");

        // A wait that is dropped changes nothing.
        assert!(matches!(reader.wait().now_or_never(), None | Some(Ok(()))));

        // Appended during the wait.
        let waiting = tokio::spawn(async move {
            let found = waited(&mut *reader).await;
            (reader, found)
        });
        tokio::task::yield_now().await;
        append_range(&*fixture.append, 2..3).await.expect("the log takes events");
        let (mut reader, found) = waiting.await.expect("the wait has not panicked");
        assert_eq!(found, 1, "an append during the wait");
        assert_eq!(drain(&mut *reader, at_most(10)).await.len(), 0);
    }
}

/// Waits, as often as the hint comes too early, until there is something; answers how much.
async fn waited(reader: &mut dyn EventReader) -> usize {
    let found = async {
        loop {
            reader.wait().await.expect("the log can be watched");
            let events = drain(reader, at_most(10)).await;
            if !events.is_empty() {
                return events.len();
            }
        }
    };
    tokio::time::timeout(SOON, found).await.expect("wait returns soon after an append")
}

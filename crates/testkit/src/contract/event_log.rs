//! The laws 1 to 9 and 15, of `EventLog`.

use std::collections::HashMap;
use std::sync::Arc;

use highwater_core::ErrorKind;
use highwater_core::model::{
    Append, Expected, Filter, NewEvent, Partition, Pattern, Position, RecordedEvent,
};
use highwater_core::ports::AppendEvents;

use super::LogFixture;
use super::suite::suite;
use super::support::{SOON, at_most, may_be_refused, next_batch, positions, read, read_all, without};
use crate::fixtures::{append_n, append_range, append_to, hostile_names, id, nasty_payloads, new_event};

const WRITERS: u64 = 4;
const CALLS: u64 = 25;

/// Appends calls of two streams with two events each; each third call is refused by the log on purpose.
async fn write_in_bursts(append: Arc<dyn AppendEvents>, writer: u64) {
    for call in 0..CALLS {
        let first = (writer * CALLS + call) * 4;
        let two = |n| vec![new_event(n, "Written"), new_event(n + 1, "Written")];
        let own = append_to(&format!("own-{writer}"), two(first));
        let shared = append_to("shared", two(first + 2));
        append.append(&[own, shared]).await.expect("both appends are valid");
        if call % 3 == 0 {
            let refused = Append {
                expected: Expected::Next(1_000_000),
                ..append_to("shared", vec![NewEvent::json("Refused", "{}")])
            };
            append.append(&[refused]).await.expect_err("the expected sequence is wrong");
        }
    }
}

/// Events whose types and streams are all the hostile names that the log takes, each once as either.
async fn append_hostile(fixture: &LogFixture) {
    let names = hostile_names();
    for (n, name) in (0..).zip(&names) {
        let stream = &names[(usize::try_from(n).expect("a small number") + 7) % names.len()];
        let answer = fixture.append.append(&[append_to(stream, vec![new_event(n, name)])]).await;
        if let Err(error) = answer {
            let nul = name.contains('\0') || stream.contains('\0');
            assert!(!fixture.stores_everything && nul, "{name:?} in {stream:?}: {error:?}");
            assert_eq!(error.kind(), ErrorKind::Unstorable, "{error:?}");
        }
    }
}

fn filters() -> Vec<Filter> {
    let names = hostile_names();
    let by = |types: &[&str], streams: &[&str], except: &[&str]| {
        let parse = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text)).collect();
        Filter { types: parse(types), streams: parse(streams), except_types: parse(except), partition: None }
    };
    let mut filters: Vec<Filter> = names
        .iter()
        .flat_map(|name| {
            let exact = vec![Pattern::Exact(name.as_str().into())];
            [
                Filter { types: exact.clone(), ..Filter::all() },
                Filter { streams: exact.clone(), ..Filter::all() },
                Filter { except_types: exact, ..Filter::all() },
            ]
        })
        .collect();
    filters.extend([
        Filter::all(),
        by(&["a*"], &[], &[]),
        by(&["A*", "%*", "_*"], &[], &[]),
        by(&["\u{e9}*"], &[], &[]),
        by(&[], &["\0*", "日本*", "$*"], &[]),
        by(&["*"], &["*"], &["a*", "-"]),
        by(&["a*", "-"], &["'*", "$*", "%*", "e*"], &["a/*"]),
        by(&["no such type"], &[], &[]),
        by(&[], &["no such stream*"], &[]),
    ]);
    filters.extend([1, 2, 3].into_iter().flat_map(|of| {
        (0..of).map(move |index| Filter { partition: Some(Partition { index, of }), ..Filter::all() })
    }));
    filters.push(Filter { partition: Some(Partition { index: 1, of: 2 }), ..by(&["a*", "-"], &[], &[]) });
    filters
}

fn matching(all: &[RecordedEvent], filter: &Filter) -> Vec<Position> {
    all.iter()
        .filter(|event| filter.matches(event.event_type(), event.stream()))
        .map(RecordedEvent::position)
        .collect()
}

suite! {
    [$] event_log => event_log_laws [] (fixture: LogFixture)

    /// Once a reader returned a scanned bound, no event at or below it becomes visible later (E-1, E-2).
    fn law_1_nothing_is_passed_over {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write_in_bursts(fixture.append.clone(), writer)))
            .collect();
        let mut reader = fixture.log.open(None, &Filter::all()).await.expect("the log can be opened");
        let (mut seen, mut before): (Vec<RecordedEvent>, _) = (Vec::new(), None);
        loop {
            let quiet = writers.iter().all(tokio::task::JoinHandle::is_finished);
            let batch = next_batch(&mut *reader, at_most(7), &mut before).await;
            assert!(
                batch.events.last().map(RecordedEvent::position) <= batch.scanned,
                "an event stands behind the scanned bound"
            );
            let caught_up = batch.caught_up;
            seen.extend(batch.events);
            if caught_up && quiet {
                break;
            }
            if caught_up {
                tokio::task::yield_now().await;
            }
        }
        for writer in writers {
            writer.await.expect("the writer has not panicked");
        }
        let all = read_all(&*fixture.log).await;
        assert_eq!(all.len(), usize::try_from(WRITERS * CALLS * 4).expect("a small number"));
        assert_eq!(positions(&seen), positions(&all), "read while writing and read afterwards differ");
    }

    /// Events come in strictly rising position; per stream in rising sequence.
    fn law_2_positions_rise_strictly_and_sequences_by_stream {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write_in_bursts(fixture.append.clone(), writer)))
            .collect();
        for writer in writers {
            writer.await.expect("the writer has not panicked");
        }
        let all = read_all(&*fixture.log).await;
        assert!(!all.is_empty());
        assert!(
            all.windows(2).all(|pair| pair[0].position() < pair[1].position()),
            "positions rise strictly"
        );
        let mut next: HashMap<&str, u64> = HashMap::new();
        for event in &all {
            let expected = next.entry(event.stream()).or_default();
            assert_eq!(event.sequence(), *expected, "in stream {}", event.stream());
            *expected += 1;
        }
    }

    /// `open(after)` begins with the first event behind `after`, whether or not an event stands there (E-3).
    fn law_3_open_begins_behind_the_position {
        let calls = [
            append_to("a-1", (0..3).map(|n| new_event(n, "A")).collect()),
            append_to("b-1", (3..5).map(|n| new_event(n, "B")).collect()),
        ];
        fixture.append.append(&calls).await.expect("the appends are valid");
        let all = positions(&read_all(&*fixture.log).await);
        assert_eq!(all.len(), 5);
        for (index, position) in all.iter().enumerate() {
            let behind = read(&*fixture.log, Some(*position), &Filter::all()).await.expect("it can be read");
            assert_eq!(positions(&behind), all[index + 1..], "behind {position}");
        }
        let between = Position::new(all[2].commit(), all[2].prepare() + 1000);
        if between < all[3] {
            let behind = read(&*fixture.log, Some(between), &Filter::all()).await.expect("it can be read");
            assert_eq!(positions(&behind), all[3..], "behind {between}, where no event stands");
        }
        // X-5: a position that the log may never reach does not overflow to the beginning.
        for beyond in [Position::new(i64::MAX.unsigned_abs(), 0), Position::MAX] {
            if let Ok(events) = read(&*fixture.log, Some(beyond), &Filter::all()).await {
                let expected: Vec<_> = all.iter().copied().filter(|position| *position > beyond).collect();
                assert_eq!(positions(&events), expected, "behind {beyond}");
            }
        }
    }

    /// A filter leaves out exactly what `Filter::matches` refuses, and one that matches nothing still reaches
    /// the end of the log (E-4).
    fn law_4_a_filter_leaves_out_exactly_what_it_refuses {
        append_hostile(&fixture).await;
        let all = read_all(&*fixture.log).await;
        let head = fixture.log.head().await.expect("the log has a head");
        for filter in filters() {
            let expected = matching(&all, &filter);
            let mut reader = fixture.log.open(None, &filter).await.expect("the log can be opened");
            let (mut found, mut before) = (Vec::new(), None);
            let scanned = loop {
                let batch = next_batch(&mut *reader, at_most(4), &mut before).await;
                found.extend(positions(&batch.events));
                if batch.caught_up {
                    break batch.scanned;
                }
            };
            assert_eq!(found, expected, "{filter:?}");
            assert!(scanned >= head, "{filter:?} reached {scanned:?} of {head:?}");
            let middle = all[all.len() / 2].position();
            let behind = read(&*fixture.log, Some(middle), &filter).await.expect("it can be read");
            let expected: Vec<_> = expected.into_iter().filter(|position| *position > middle).collect();
            assert_eq!(positions(&behind), expected, "{filter:?} behind {middle}");
        }
    }

    /// A read error is an error, never an empty batch (E-8).
    fn law_5_a_read_error_is_never_an_empty_batch {
        let Some(outage) = fixture.outage.clone() else { return without("law_5", "outage") };
        append_n(&*fixture.append, 10).await.expect("the log takes events");
        let mut reader = fixture.log.open(None, &Filter::all()).await.expect("the log can be opened");
        outage(true).await;
        reader.next(at_most(100)).await.expect_err("next must fail while the log is cut off");
        fixture.log.head().await.expect_err("head must fail while the log is cut off");
        fixture
            .log
            .event_at(Position::new(1, 0))
            .await
            .expect_err("event_at must fail while the log is cut off");
        let counted = fixture.log.count_between(None, Some(Position::MAX), &Filter::all()).await;
        assert!(!matches!(counted, Ok(Some(_))), "a log that is cut off cannot count");
        if let Ok(mut opened) = fixture.log.open(None, &Filter::all()).await {
            opened.next(at_most(100)).await.expect_err("next must fail while the log is cut off");
        }
        outage(false).await;
    }

    /// Names, types and payloads come back byte for byte (X-9, X-10).
    fn law_6_names_and_payloads_come_back_byte_for_byte {
        append_hostile(&fixture).await;
        let mut expected = Vec::new();
        for (n, payload) in (1000..).zip(nasty_payloads()) {
            let event = NewEvent {
                id: id(n),
                event_type: payload.name.into(),
                time_micros: Some(-1),
                content_type: payload.content_type,
                data: payload.data.clone(),
                metadata: payload.data.clone(),
            };
            match fixture.append.append(&[append_to("payloads", vec![event])]).await {
                Ok(_) => expected.push(payload),
                Err(error) => {
                    let permitted = !fixture.stores_everything && may_be_refused(&payload);
                    assert!(
                        permitted && error.kind() == ErrorKind::Unstorable,
                        "{}: {error:?}",
                        payload.name
                    );
                }
            }
        }
        let all = read_all(&*fixture.log).await;
        let names = hostile_names();
        let derived =
            |stream: &str| all.iter().find(|event| event.stream() == stream).map(|event| event.category());
        assert_eq!(derived("a/b\\c/../d"), Some("a/b\\c/../d"), "without a dash the category is the stream");
        assert_eq!(derived("日本語-飛行"), Some("日本語"), "the category stands before the first dash");
        let given = Append {
            category: Some("Given - é".into()),
            ..append_to("given-1", vec![new_event(5000, "Given")])
        };
        fixture.append.append(&[given]).await.expect("the append is valid");
        let last = read_all(&*fixture.log).await.pop().expect("the log is not empty");
        assert_eq!((last.category(), last.stream()), ("Given - é", "given-1"));
        for event in all.iter().filter(|event| event.stream() != "payloads") {
            let n =
                names.iter().position(|name| name == event.event_type()).expect("a type that was appended");
            assert_eq!(event.stream(), names[(n + 7) % names.len()]);
            assert_eq!(event.id(), id(u64::try_from(n).expect("a small number")));
            assert_eq!(event.data(), format!(r#"{{"n":{n}}}"#).as_bytes());
        }
        let stored: Vec<_> = all.iter().filter(|event| event.stream() == "payloads").collect();
        assert_eq!(stored.len(), expected.len());
        for (event, payload) in stored.into_iter().zip(expected) {
            assert_eq!(event.event_type(), payload.name);
            assert_eq!(event.data(), payload.data, "{}", payload.name);
            assert_eq!(event.metadata(), payload.data, "{}", payload.name);
            assert_eq!(event.content_type(), payload.content_type, "{}", payload.name);
            assert_eq!(event.time_micros(), -1, "{}", payload.name);
            let again =
                fixture.log.event_at(event.position()).await.expect("it can be read").expect("it exists");
            assert_eq!(
                (again.data(), again.metadata()),
                (event.data(), event.metadata()),
                "{}",
                payload.name
            );
        }
    }

    /// `head` is the position of the last event, whatever any filter says; `None` in an empty log.
    fn law_7_head_is_the_last_event {
        assert_eq!(fixture.log.head().await.expect("the log answers"), None);
        let mut last = None;
        for n in 0..3 {
            let done = append_range(&*fixture.append, n..n + 1).await.expect("the log takes events");
            let head = tokio::time::timeout(SOON, async {
                loop {
                    let head = fixture.log.head().await.expect("the log answers");
                    if head > last {
                        return head;
                    }
                    tokio::task::yield_now().await;
                }
            });
            last = head.await.expect("the head moves soon after an append");
            assert_eq!(last, Some(done[0].last));
        }
        assert_eq!(read_all(&*fixture.log).await.last().map(RecordedEvent::position), last);
    }

    /// `event_at` answers `None` only if no event stands there.
    fn law_8_event_at_finds_exactly_what_stands_there {
        assert!(fixture.log.event_at(Position::new(1, 0)).await.expect("the log answers").is_none());
        let call = append_to("a-1", (0..3).map(|n| new_event(n, "A")).collect());
        fixture.append.append(&[call]).await.expect("the append is valid");
        append_n(&*fixture.append, 0).await.expect("nothing is appended");
        let all = read_all(&*fixture.log).await;
        for event in &all {
            let found = fixture.log.event_at(event.position()).await.expect("the log answers");
            let found = found.expect("an event stands there");
            assert_eq!(
                (found.position(), found.id(), found.stream(), found.sequence(), found.category()),
                (event.position(), event.id(), event.stream(), event.sequence(), event.category())
            );
        }
        let last = all[all.len() - 1].position();
        let nowhere = [
            Position::new(last.commit(), last.prepare() + 1000),
            Position::new(last.commit() + 1000, 0),
            Position::new(i64::MAX.unsigned_abs(), i64::MAX.unsigned_abs()),
            Position::MAX,
        ];
        for position in nowhere {
            let found = fixture.log.event_at(position).await.expect("the log answers");
            assert!(found.is_none(), "{position}: {found:?}");
        }
    }

    /// `count_between` counts the matching events in `(after, through]`, or says `None`.
    fn law_9_count_between_counts_the_half_open_range {
        append_hostile(&fixture).await;
        let all = read_all(&*fixture.log).await;
        let everything = fixture.log.count_between(None, Some(Position::MAX), &Filter::all()).await;
        if everything.expect("the log answers").is_none() {
            return without("law_9", "log that can count");
        }
        let middle = all[all.len() / 2].position();
        let last = all[all.len() - 1].position();
        let ranges = [
            (None, Some(last)),
            (None, Some(Position::MAX)),
            (None, Some(middle)),
            (Some(middle), Some(last)),
            (Some(middle), Some(middle)),
            (Some(last), Some(middle)),
            (Some(last), Some(Position::MAX)),
            (Some(Position::MAX), Some(Position::MAX)),
        ];
        for filter in filters() {
            let matching = matching(&all, &filter);
            for (after, through) in ranges {
                let expected =
                    matching.iter().filter(|at| Some(**at) > after && Some(**at) <= through).count();
                let counted = fixture.log.count_between(after, through, &filter).await;
                let counted = counted.expect("the log answers");
                assert_eq!(
                    counted,
                    Some(u64::try_from(expected).expect("a small number")),
                    "{after:?} to {through:?} of {filter:?}"
                );
            }
        }
    }

    /// Nothing holds readers back where every append has ended.
    fn law_15_appends_that_have_ended_hold_nobody_back {
        assert_eq!(fixture.log.held_back().await.expect("the log answers"), None, "an empty log");
        append_hostile(&fixture).await;
        assert_eq!(fixture.log.held_back().await.expect("the log answers"), None);
    }
}

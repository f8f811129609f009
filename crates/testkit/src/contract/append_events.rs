//! The laws of `AppendEvents`.

use std::collections::BTreeSet;

use futures_util::poll;

use highwater_core::ErrorKind;
use highwater_core::model::{Append, Expected, Filter, MAX_NAME_BYTES, NewEvent};

use super::LogFixture;
use super::suite::suite;
use super::support::{at_most, context, drain, positions, read_all};
use crate::fixtures::{append_n, append_to, hostile_names, id, new_event};

fn expecting(next: u64, append: Append) -> Append {
    Append { expected: Expected::Next(next), ..append }
}

suite! {
    [$] append_events => append_events_laws [] (fixture: LogFixture)

    /// All appends of one call become visible together or not at all.
    fn law_1_a_call_is_all_or_nothing {
        let call = [
            append_to("a-1", vec![new_event(0, "A"), new_event(1, "A")]),
            append_to("b-1", vec![new_event(2, "B")]),
            expecting(2, append_to("a-1", vec![new_event(3, "A")])), // sees the first
        ];
        let done = fixture.append.append(&call).await.expect("the appends are valid");
        assert_eq!(done.len(), 3, "one answer an append");
        assert_eq!(done.iter().map(|one| one.next_sequence).collect::<Vec<_>>(), [2, 1, 3]);
        assert!(done.iter().all(|one| !one.duplicate));
        let all = read_all(&*fixture.log).await;
        assert_eq!(all.iter().map(|event| event.sequence()).collect::<Vec<_>>(), [0, 1, 0, 2]);
        let at = positions(&all);
        assert_eq!(done.iter().map(|one| one.last).collect::<Vec<_>>(), [at[1], at[2], at[3]]);

        // The last append is refused: the first two must not be there.
        let refused = [
            append_to("a-1", vec![new_event(10, "A")]),
            append_to("c-1", vec![new_event(11, "C")]),
            expecting(7, append_to("d-1", vec![new_event(12, "D")])),
        ];
        fixture.append.append(&refused).await.expect_err("the last append expects a wrong sequence");
        assert_eq!(positions(&read_all(&*fixture.log).await), at, "nothing of a refused call is written");

        // No reader sees half a call.
        let (append, log) = (fixture.append.clone(), fixture.log.clone());
        let writer = tokio::spawn(async move {
            for n in 0..20 {
                let first = 100 + n * 5;
                let left = append_to("left", (first..first + 2).map(|n| new_event(n, "L")).collect());
                let right = append_to("right", (first + 2..first + 5).map(|n| new_event(n, "R")).collect());
                append.append(&[left, right]).await.expect("the appends are valid");
            }
        });
        loop {
            let done = writer.is_finished();
            let mut reader = log.open(None, &Filter::types(["L", "R"])).await.expect("the log can be opened");
            let seen = drain(&mut *reader, at_most(1000)).await.len();
            assert_eq!(seen % 5, 0, "half a call is visible: {seen} events");
            if done {
                assert_eq!(seen, 100);
                break;
            }
            tokio::task::yield_now().await;
        }
        writer.await.expect("the writer has not panicked");
    }

    /// `Expected::Next(n)` succeeds only if the stream's next sequence is `n`.
    fn law_2_the_expected_sequence_is_checked {
        let first = expecting(0, append_to("a-1", vec![new_event(0, "A"), new_event(1, "A")]));
        fixture.append.append(&[first]).await.expect("the stream does not exist yet");
        for wrong in [0, 1, 3, i64::MAX.unsigned_abs(), u64::MAX] {
            let append = expecting(wrong, append_to("a-1", vec![NewEvent::json("A", "{}")]));
            let error = fixture.append.append(&[append]).await.expect_err("the next sequence is 2");
            assert_eq!(error.kind(), ErrorKind::WrongExpectedSequence, "{error:?}");
            assert_eq!(context(&error, "stream"), Some("a-1"));
            assert_eq!(context(&error, "expected"), Some(wrong.to_string().as_str()));
            assert_eq!(context(&error, "actual"), Some("2"));
        }
        assert_eq!(read_all(&*fixture.log).await.len(), 2);
        let right = expecting(2, append_to("a-1", vec![new_event(2, "A")]));
        let done = fixture.append.append(&[right]).await.expect("the next sequence is 2");
        assert_eq!(done[0].next_sequence, 3);
    }

    /// Appending the same events again changes nothing; an id with other content is `EventIdReused`.
    fn law_3_idempotent_by_event_id {
        let events = || vec![new_event(0, "A"), new_event(1, "A"), new_event(2, "B")];
        let first = fixture.append.append(&[append_to("a-1", events())]).await.expect("a valid append");
        fixture.append.append(&[append_to("a-1", vec![new_event(3, "A")])]).await.expect("a valid append");
        let before = positions(&read_all(&*fixture.log).await);
        for again in [
            append_to("a-1", events()),
            expecting(0, append_to("a-1", events())),
            expecting(999, append_to("a-1", events())),
        ] {
            let done = fixture.append.append(&[again]).await.expect("the events are there already");
            assert!(done[0].duplicate);
            assert_eq!((done[0].last, done[0].next_sequence), (first[0].last, 4));
        }
        let part = fixture.append.append(&[append_to("a-1", events()[1..].to_vec())]).await;
        assert!(part.expect("the events are there already")[0].duplicate, "a part of an earlier append");

        let other_data = NewEvent { data: r#"{"n": 0}"#.into(), ..new_event(0, "A") };
        let other_metadata = NewEvent { metadata: "{ }".into(), ..new_event(0, "A") };
        for (what, stream, events) in [
            ("another stream", "a-2", vec![new_event(0, "A")]),
            ("another type", "a-1", vec![new_event(0, "a")]),
            ("other data", "a-1", vec![other_data]),
            ("other metadata", "a-1", vec![other_metadata]),
            ("another order", "a-1", vec![new_event(1, "A"), new_event(0, "A")]),
        ] {
            let error = fixture.append.append(&[append_to(stream, events)]).await.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::EventIdReused, "{what}: {error:?}");
            let named = context(&error, "id").expect("the error names the id").to_owned();
            assert!([id(0).to_string(), id(1).to_string()].contains(&named), "{what}: {named}");
        }
        assert_eq!(positions(&read_all(&*fixture.log).await), before, "nothing was written");
    }

    /// Two writers that race on one stream with the same expectation: one wins.
    fn law_4_one_of_racing_writers_wins {
        for round in 0..5_u64 {
            let racers: Vec<_> = (0..8)
                .map(|racer| {
                    let append = fixture.append.clone();
                    let event = new_event(round * 8 + racer, "Raced");
                    let call = [expecting(round, append_to("raced", vec![event]))];
                    tokio::spawn(async move { append.append(&call).await })
                })
                .collect();
            let mut won = 0;
            for racer in racers {
                match racer.await.expect("the racer has not panicked") {
                    Ok(_) => won += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WrongExpectedSequence, "{error:?}"),
                }
            }
            assert_eq!(won, 1, "in round {round}");
        }
        assert_eq!(read_all(&*fixture.log).await.len(), 5);
    }

    /// An append without events, an empty or overlong name: refused, and nothing is written.
    fn law_5_what_cannot_be_kept_is_refused {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        let long_in_bytes = "é".repeat(MAX_NAME_BYTES / 2 + 1);
        for (what, append) in [
            ("no events", append_to("a-1", Vec::new())),
            ("no stream name", append_to("", vec![new_event(0, "A")])),
            ("a stream name of 1,025 bytes", append_to(&long, vec![new_event(0, "A")])),
            ("a stream name of 513 characters", append_to(&long_in_bytes, vec![new_event(0, "A")])),
            ("no type", append_to("a-1", vec![new_event(0, "")])),
            ("a type of 1,025 bytes", append_to("a-1", vec![new_event(0, "A"), new_event(1, &long)])),
        ] {
            let call = [append_to("fine", vec![new_event(9, "A")]), append];
            let error = fixture.append.append(&call).await.expect_err(what);
            assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unstorable), "{what}: {error:?}");
        }
        assert_eq!(read_all(&*fixture.log).await.len(), 0, "nothing was written");
        // The longest name is taken.
        let longest = hostile_names().pop().expect("the list is not empty");
        let call = [append_to(&longest, vec![new_event(0, &longest)])];
        fixture.append.append(&call).await.expect("a name of 1,024 bytes");
    }

    /// Any error names in its context `append` the index of the append that failed.
    fn law_6_an_error_names_the_append {
        append_n(&*fixture.append, 1).await.expect("the log takes events");
        let fine = |n| append_to("fine", vec![new_event(n, "A")]);
        for (what, bad) in [
            ("no events", append_to("a-1", Vec::new())),
            ("no stream name", append_to("", vec![new_event(50, "A")])),
            ("a wrong sequence", expecting(5, append_to("a-1", vec![new_event(51, "A")]))),
            ("a used id", append_to("a-1", vec![new_event(0, "A")])),
        ] {
            let error = fixture.append.append(&[fine(60), fine(61), bad]).await.expect_err(what);
            assert_eq!(context(&error, "append"), Some("2"), "{what}: {error:?}");
        }
    }

    /// Dropping the future leaves the appends either done or not done.
    fn law_7_a_dropped_append_is_done_or_not_done {
        for n in 0..30_u64 {
            let first = n * 3;
            let call = [
                append_to("left", vec![new_event(first, "L"), new_event(first + 1, "L")]),
                append_to("right", vec![new_event(first + 2, "R")]),
            ];
            {
                let mut dropped = fixture.append.append(&call);
                for _ in 0..n % 5 {
                    if poll!(&mut dropped).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let done = fixture.append.append(&call).await.expect("trying again is safe");
            assert_eq!(done[0].duplicate, done[1].duplicate, "half a call was written");
        }
        let all = read_all(&*fixture.log).await;
        assert_eq!(all.len(), 90);
        assert_eq!(all.iter().map(|event| event.id()).collect::<BTreeSet<_>>().len(), 90);
    }
}

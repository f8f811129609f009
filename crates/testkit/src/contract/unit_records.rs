//! The laws 12 and 15, of `UnitOfWork`: what it keeps of failed events, and that it keeps every bit.

use std::sync::Arc;

use highwater_core::model::{
    DeadLetter, EventParts, FailedEvent, FailedState, LastEvent, Position, ProjectionKey, ProjectionState,
    RecordedEvent,
};
use highwater_core::ports::{ReadModelStore, UnitOfWork};

use super::StoreFixture;
use super::store_support::{
    DEADLINE, advance, committed, create, failed_row, failure, fresh, key, lock, name, put, record, rows,
    untimed, waiting, whole,
};
use super::suite::suite;
use crate::fixtures::{event, event_with, hostile_names, id, nasty_payloads};

/// A state with the greatest numbers that a log may hold, and the least pleasant names.
fn extreme(key: ProjectionKey) -> ProjectionState {
    let edge = i64::MAX.unsigned_abs();
    let names = hostile_names();
    ProjectionState {
        key,
        generation: edge,
        last: Some(LastEvent {
            position: Position::new(edge - 1, edge),
            stream: names[4].as_str().into(),
            category: names[29].as_str().into(),
            sequence: edge,
            id: id(u64::MAX),
            time_micros: i64::MIN,
        }),
        scanned: Some(Position::new(edge, edge)),
        filter_fingerprint: "f".repeat(64),
        sql_fingerprint: String::new(),
        epoch: edge,
        paused: true,
        crashes: u32::MAX,
        stopped_cleanly: false,
        fault: Some(names.concat()),
        claimed_at: Some(Position::new((1 << 53) + 1, (1 << 53) - 1)),
        updated_at_micros: i64::MAX,
    }
}

async fn letter<S: ReadModelStore>(store: &S, key: &ProjectionKey, at: Position) -> Option<DeadLetter> {
    let key = key.clone();
    store
        .transact(DEADLINE, move |mut unit| async move { unit.dead_letter(&key, at).await })
        .await
        .expect("the store answers")
}

suite! {
    [$] unit_records => unit_records_laws [<S: ReadModelStore>] (fixture: StoreFixture<S>)

    /// A failed event's row and letter are written by `record_failed` and removed by `resolve_failed`.
    fn law_12_failed_events_are_part_of_the_transaction {
        use FailedState::{Held, Parked, Recorded, Retrying};
        let state = fixture.created().await;
        let other = fresh(ProjectionKey { partition: 1, ..key("p") });
        create(&fixture.store, &other).await.expect("there is no such row yet");
        let at = |n: u64, stream: &str| event(n, "A", stream);
        record(
            &fixture.store,
            &state,
            vec![
                failure(&state.key, Parked, &at(2, "a-1")),
                failure(&state.key, Held, &at(10, "a-1")),
                failure(&state.key, Held, &at(9, "a-1")),
                failure(&state.key, Recorded, &at(4, "b-1")),
                failure(&state.key, Retrying, &at(12, "c-1")),
                failure(&state.key, Retrying, &at(11, "d-1")),
            ],
        )
        .await;
        record(&fixture.store, &other, vec![failure(&other.key, Parked, &at(1, "z-1"))]).await;
        let found = waiting(&fixture.second, &state.key, "a-1").await;
        assert_eq!(
            found,
            (4, vec!["a-1".to_owned()], Some(2)),
            "the parked event is the first of its stream"
        );
        for stream in ["b-1", "c-1", "z-1"] {
            assert_eq!(
                waiting(&fixture.second, &state.key, stream).await.2,
                None,
                "nothing waits in {stream}"
            );
        }
        let acquired = committed(&fixture.second, &state.key).await.expect("the state exists");
        assert_eq!(
            acquired.retrying,
            Some(failed_row(&state.key, Retrying, &at(11, "d-1"))),
            "the first by position"
        );
        assert_eq!(acquired.replay, None);

        // Replacing: a row loses its letter with its state, and gains what an operator asks for.
        let replay =
            FailedEvent { replay_requested: true, ..failed_row(&state.key, Recorded, &at(10, "a-1")) };
        record(
            &fixture.store,
            &state,
            vec![
                (replay.clone(), None),
                (
                    FailedEvent { replay_requested: true, ..failed_row(&state.key, Retrying, &at(1, "d-1")) },
                    None,
                ),
            ],
        )
        .await;
        assert!(letter(&fixture.second, &state.key, at(10, "a-1").position()).await.is_none());
        let acquired = committed(&fixture.second, &state.key).await.expect("the state exists");
        assert_eq!(acquired.replay, Some(replay), "retrying ones are left out");

        // Rolled back with the rest; resolved twice is resolved; unknown is nothing.
        for commits in [false, true] {
            let read = state.clone();
            let resolved = fixture.store.transact(DEADLINE, move |mut unit| async move {
                lock(&mut unit, &read.key).await?;
                for n in [2, 2, 11, 999] {
                    unit.resolve_failed(&read.key, Position::new(n, 0)).await?;
                }
                if commits { unit.commit(&read, &read).await } else { unit.rollback().await }
            });
            resolved.await.expect("failed events can be resolved");
            let found = waiting(&fixture.second, &state.key, "a-1").await;
            let (open, first) = if commits { (3, 9) } else { (4, 2) };
            assert_eq!(
                found,
                (open, vec!["a-1".to_owned()], Some(first)),
                "a held event comes after the parked one"
            );
            let gone = letter(&fixture.second, &state.key, Position::new(2, 0)).await.is_none();
            assert_eq!(gone, commits);
        }
        let read = state.clone();
        let cleared = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            unit.clear_failed(&read.key).await?;
            unit.commit(&read, &read).await
        });
        cleared.await.expect("failed events can be cleared");
        assert_eq!(waiting(&fixture.second, &state.key, "a-1").await, (0, vec![], None));
        assert_eq!(waiting(&fixture.second, &other.key, "z-1").await.0, 1, "another partition keeps its own");

        // Payloads are bytes, names are what they are.
        let names = hostile_names();
        let mut nasty = Vec::new();
        for (n, payload) in (1..).zip(nasty_payloads()) {
            let index = usize::try_from(n).expect("a small number");
            let mut parts =
                event_with(n, &names[index], &names[index + 14], payload.data.clone()).parts().clone();
            parts.content_type = payload.content_type;
            parts.metadata = payload.data;
            parts.category = names[29 - index].as_str().into();
            let event = RecordedEvent::new(parts);
            let row = FailedEvent {
                message: names[index].clone(),
                code: (n % 2 == 0).then(|| names[index].clone()),
                ..failed_row(&state.key, Held, &event)
            };
            nasty.push((row.clone(), Some(DeadLetter { failed: row, event })));
        }
        record(&fixture.store, &state, nasty.clone()).await;
        for (row, expected) in nasty {
            let found = letter(&fixture.second, &state.key, row.position).await.expect("it has a letter");
            assert_eq!(Some(whole(&found)), expected.as_ref().map(whole));
            assert_eq!(
                waiting(&fixture.second, &state.key, &row.stream).await.2,
                Some(row.position.commit())
            );
        }
    }

    /// States, counters and positions keep every bit of what the log may hold.
    fn law_15_every_bit_is_kept {
        let widest = ProjectionKey { name: name(&"n".repeat(100)), version: u32::MAX, partition: u32::MAX };
        for key in [key("p"), widest] {
            let state = extreme(key.clone());
            create(&fixture.store, &state).await.expect("there is no such row yet");
            let found = committed(&fixture.second, &key).await.expect("the state exists");
            assert_eq!(found.state, untimed(state.clone()));

            let least = ProjectionState {
                generation: 1,
                last: None,
                scanned: None,
                epoch: 0,
                paused: false,
                crashes: 0,
                stopped_cleanly: true,
                fault: None,
                claimed_at: None,
                ..state.clone()
            };
            advance(&fixture.store, &state, &least).await.expect("the row is as it was read");
            let found = committed(&fixture.second, &key).await.expect("the state exists");
            assert_eq!(found.state, untimed(least.clone()));
            advance(&fixture.store, &least, &state).await.expect("and back again");
            let found = committed(&fixture.second, &key).await.expect("the state exists");
            assert_eq!(found.state, untimed(state.clone()));

            let edge = i64::MAX.unsigned_abs();
            for (commit, prepare) in [(edge, edge), (edge, 0), (0, edge), ((1 << 53) + 1, (1 << 53) + 1)] {
                let parts = event(7, "A", "a-1").parts().clone();
                let event = RecordedEvent::new(EventParts {
                    position: Position::new(commit, prepare),
                    sequence: edge,
                    time_micros: i64::MIN,
                    ..parts
                });
                let row = FailedEvent {
                    generation: edge,
                    attempts: u32::MAX,
                    first_failed_micros: i64::MIN,
                    last_failed_micros: i64::MAX,
                    next_attempt_micros: Some(i64::MAX),
                    ..failed_row(&key, FailedState::Parked, &event)
                };
                let expected = DeadLetter { failed: row.clone(), event };
                record(&fixture.store, &state, vec![(row.clone(), Some(expected.clone()))]).await;
                let found = letter(&fixture.second, &key, row.position).await.expect("it has a letter");
                assert_eq!(whole(&found), whole(&expected));
            }
        }
        // Values of the user's table as well; NUL is left out, since not every backend has it in its text.
        let values: Vec<String> = hostile_names().into_iter().filter(|value| !value.contains('\0')).collect();
        let (table, values) = (fixture.table.clone(), Arc::new(values));
        let state = fresh(key("user"));
        create(&fixture.store, &state).await.expect("there is no such row yet");
        let (written, read) = (values.clone(), state);
        let done = fixture.store.transact(DEADLINE, move |mut unit| async move {
            for (n, value) in written.iter().enumerate() {
                put(&mut unit, &table, &format!("{n:02}"), value).await?;
            }
            unit.commit(&read, &read).await
        });
        done.await.expect("the store takes any text");
        let found: Vec<String> = rows(&fixture.second, &fixture.table).await.into_values().collect();
        assert_eq!(found, *values);
    }
}

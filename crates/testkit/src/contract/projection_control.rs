//! The laws of `ProjectionControl`.

use futures_util::poll;
use tokio::sync::oneshot;
use tokio::time::timeout;

use highwater_core::ErrorKind;
use highwater_core::model::{FailedEvent, FailedState, Position, ProjectionKey};
use highwater_core::ports::{Claim, FailedQuery, ProjectionControl, ReadModelStore, UnitOfWork};

use super::ControlFixture;
use super::store_support::{
    DEADLINE, Failed, advance, broken, committed, create, failure, fresh, key, lock, moved, name, record,
    untimed, whole,
};
use super::suite::suite;
use super::support::{QUIET, SOON};
use crate::fixtures::event;

use FailedState::{Held, Parked, Recorded, Retrying};

fn failures(key: &ProjectionKey, failed: &[(u64, FailedState, &str)]) -> Vec<Failed> {
    failed.iter().map(|(n, state, stream)| failure(key, *state, &event(*n, "A", stream))).collect()
}

fn of(projection: &str) -> FailedQuery {
    FailedQuery { projection: Some(name(projection)), ..FailedQuery::default() }
}

async fn failed(control: &dyn ProjectionControl, query: &FailedQuery) -> Vec<FailedEvent> {
    control.failed_events(query, 10_000).await.expect("the store answers")
}

/// Name and commit half of the position of each failed event.
async fn places(control: &dyn ProjectionControl, query: &FailedQuery) -> Vec<(String, u64)> {
    let found = failed(control, query).await;
    found.iter().map(|row| (row.key.name.to_string(), row.position.commit())).collect()
}

impl<S: ReadModelStore> ControlFixture<S> {
    /// The projections `p` and `q`, with failed events in all states.
    async fn with_failures(&self) {
        for text in ["q", "p"] {
            let state = fresh(key(text));
            create(&self.store, &state).await.expect("there is no such row yet");
            let failed = [
                (9, Held, "a-1"),
                (10, Held, "a-1"),
                (2, Parked, "a-1"),
                (4, Recorded, "b-1"),
                (11, Retrying, "c-1"),
            ];
            record(&self.store, &state, failures(&state.key, &failed)).await;
        }
    }
}

suite! {
    [$] projection_control => projection_control_laws [<S: ReadModelStore>] (fixture: ControlFixture<S>)

    /// `states` has one entry a state row, by name, version and partition.
    fn law_1_states_has_every_row_in_order {
        assert_eq!(fixture.control.states().await.expect("the store answers"), []);
        let mut keys = Vec::new();
        for (text, version, partition) in
            [("q", 1, 0), ("p", 10, 0), ("p", 2, 1), ("p", 2, 0), ("P", 1, 0), ("p", 2, 10)]
        {
            keys.push(ProjectionKey { name: name(text), version, partition });
        }
        for key in &keys {
            let state = fresh(key.clone());
            create(&fixture.store, &state).await.expect("there is no such row yet");
            advance(&fixture.store, &state, &moved(&state, 5)).await.expect("the row is as it was read");
        }
        keys.sort();
        let states = fixture.control.states().await.expect("the store answers");
        let expected: Vec<_> = keys.into_iter().map(|key| moved(&fresh(key), 5)).collect();
        assert_eq!(states.into_iter().map(untimed).collect::<Vec<_>>(), expected);
    }

    /// `set_paused` changes every version, says whether one changed, and no batch commits after it returned.
    fn law_2_paused_means_that_no_batch_commits {
        let unknown =
            fixture.control.set_paused(&name("p"), true).await.expect_err("there is no such projection");
        assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown:?}");
        for version in [1, 2] {
            let state = fresh(ProjectionKey { version, ..key("p") });
            create(&fixture.store, &state).await.expect("there is no such row yet");
        }
        create(&fixture.store, &fresh(key("q"))).await.expect("there is no such row yet");
        for paused in [true, false] {
            let change = fixture.control.set_paused(&name("p"), paused).await;
            assert!(change.expect("the store answers"), "it was not so before");
            let again = fixture.control.set_paused(&name("p"), paused).await;
            assert!(!again.expect("the store answers"), "it was so before");
            let states = fixture.control.states().await.expect("the store answers");
            let found: Vec<_> = states.iter().map(|state| (state.key.name.as_str(), state.paused)).collect();
            assert_eq!(found, [("p", paused), ("p", paused), ("q", false)]);
        }

        // A batch that is under way when the pause comes: the pause waits for it, and survives it.
        let read = fresh(key("p"));
        let (locked, is_locked) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        let batch = fixture.store.transact(DEADLINE, move |mut unit| async move {
            let acquired = lock(&mut unit, &read.key).await?;
            assert!(locked.send(()).is_ok(), "the law listens");
            gone.await.map_err(|error| broken("wait for the law").because(error))?;
            unit.commit(&acquired.state, &moved(&acquired.state, 3)).await
        });
        let law = async {
            is_locked.await.expect("the state is locked");
            let name = name("p");
            let mut pause = fixture.control.set_paused(&name, true);
            let early = timeout(QUIET, &mut pause).await;
            let was_early = early.is_ok();
            assert!(go.send(()).is_ok(), "the batch listens");
            match early {
                Ok(answer) => assert!(answer.expect("the store answers")),
                Err(_) => assert!(pause.await.expect("the store answers")),
            }
            was_early
        };
        let (batch, pause_came_first) = tokio::join!(batch, law);
        let found = committed(&fixture.store, &key("p")).await.expect("the state exists").state;
        assert!(found.paused, "the batch has overwritten the pause");
        assert!(!pause_came_first || batch.is_err(), "a batch committed after the pause had returned");
        assert_eq!(found.scanned.is_some(), batch.is_ok());
    }

    /// `failed_events` are by projection and position, at most `limit`.
    fn law_3_failed_events_are_in_order_and_bounded {
        assert_eq!(failed(&*fixture.control, &FailedQuery::default()).await, []);
        fixture.with_failures().await;
        let all = places(&*fixture.control, &FailedQuery::default()).await;
        let numbers = [2, 4, 9, 10, 11];
        let expected: Vec<_> =
            ["p", "q"].iter().flat_map(|text| numbers.map(|n| ((*text).to_owned(), n))).collect();
        assert_eq!(all, expected);
        for limit in [1, 4, 10] {
            let page = fixture.control.failed_events(&FailedQuery::default(), limit).await;
            assert_eq!(page.expect("the store answers").len(), limit);
        }
        let numbers = async |query: FailedQuery| -> Vec<u64> {
            places(&*fixture.control, &query).await.into_iter().map(|(_, n)| n).collect()
        };
        let at = |n| Some(Position::new(n, 0));
        assert_eq!(numbers(of("p")).await, [2, 4, 9, 10, 11]);
        assert_eq!(numbers(of("unknown")).await, [0; 0]);
        assert_eq!(numbers(FailedQuery { states: vec![Held], ..of("p") }).await, [9, 10]);
        assert_eq!(numbers(FailedQuery { states: vec![Parked, Retrying], ..of("q") }).await, [2, 11]);
        assert_eq!(numbers(FailedQuery { position: at(9), ..of("p") }).await, [9]);
        assert_eq!(numbers(FailedQuery { position: at(3), ..of("p") }).await, [0; 0]);
        assert_eq!(numbers(FailedQuery { position: at(4), ..FailedQuery::default() }).await, [4, 4]);
        assert_eq!(numbers(FailedQuery { after: at(9), ..of("p") }).await, [10, 11]);
        assert_eq!(numbers(FailedQuery { after: Some(Position::MAX), ..of("p") }).await, [0; 0]);
        let newer = fresh(ProjectionKey { version: 2, ..key("p") });
        create(&fixture.store, &newer).await.expect("there is no such row yet");
        record(&fixture.store, &newer, failures(&newer.key, &[(3, Parked, "a-1")])).await;
        assert_eq!(numbers(of("p")).await, [2, 3, 4, 9, 10, 11], "of all versions");
        assert_eq!(numbers(FailedQuery { version: Some(2), ..of("p") }).await, [3]);
        assert_eq!(numbers(FailedQuery { version: Some(1), ..of("p") }).await, [2, 4, 9, 10, 11]);
        assert_eq!(numbers(FailedQuery { version: Some(3), ..of("p") }).await, [0; 0]);
        let row = failed(&*fixture.control, &FailedQuery { position: at(2), ..of("p") }).await.remove(0);
        let (expected, expected_letter) = failures(&key("p"), &[(2, Parked, "a-1")]).remove(0);
        assert_eq!(row, expected);
        let letter = fixture.control.dead_letter(&key("p"), Position::new(2, 0)).await;
        let letter = letter.expect("the store answers").expect("a parked event has a letter");
        assert_eq!(Some(whole(&letter)), expected_letter.as_ref().map(whole));
        record(&fixture.store, &newer, failures(&newer.key, &[(2, Parked, "b-1")])).await;
        for (key, stream) in [(key("p"), "a-1"), (newer.key.clone(), "b-1")] {
            let letter = fixture.control.dead_letter(&key, Position::new(2, 0)).await;
            let letter = letter.expect("the store answers").expect("each version has its own");
            assert_eq!((&letter.failed.key, letter.event.stream()), (&key, stream));
        }
        for nothing in [4, 11, 3] {
            let letter = fixture.control.dead_letter(&key("p"), Position::new(nothing, 0)).await;
            assert!(letter.expect("the store answers").is_none(), "at {nothing}");
        }
    }

    /// `request_replay` marks parked, held and recorded events; one that is `retrying` is due at once.
    fn law_4_a_replay_is_asked_for {
        fixture.with_failures().await;
        let later = fresh(key("later"));
        create(&fixture.store, &later).await.expect("there is no such row yet");
        let mut retrying = failures(&later.key, &[(1, Retrying, "a-1")]);
        retrying[0].0.next_attempt_micros = Some(i64::MAX);
        record(&fixture.store, &later, retrying).await;
        let replay = async |query: &FailedQuery| -> u64 {
            fixture.control.request_replay(query).await.expect("the store answers")
        };
        assert_eq!(replay(&of("unknown")).await, 0);
        assert_eq!(replay(&FailedQuery { version: Some(2), ..of("p") }).await, 0, "another version has none");
        assert_eq!(replay(&FailedQuery { states: vec![Held], ..of("p") }).await, 2);
        let marked = failed(&*fixture.control, &of("p")).await;
        let marked: Vec<_> = marked.iter().filter(|row| row.replay_requested).collect();
        assert_eq!(marked.iter().map(|row| row.position.commit()).collect::<Vec<_>>(), [9, 10]);
        let acquired = committed(&fixture.store, &key("p")).await.expect("the state exists");
        assert_eq!(acquired.replay.map(|row| row.position.commit()), Some(9), "the owner sees the first");
        assert_eq!(replay(&FailedQuery { states: vec![Parked, Held, Recorded], ..of("q") }).await, 4);
        replay(&of("later")).await;
        let due = failed(&*fixture.control, &of("later")).await.remove(0);
        assert_eq!(due.state, Retrying);
        assert!(due.next_attempt_micros < Some(i64::MAX), "it is still due at the end of time");
        assert_eq!(failed(&*fixture.control, &of("p")).await.len(), 5, "nothing is removed");
    }

    /// `discard` removes parked, held and recorded events with their letters.
    fn law_5_discarded_is_gone {
        fixture.with_failures().await;
        let discard = async |query: &FailedQuery| -> u64 {
            fixture.control.discard(query).await.expect("the store answers")
        };
        assert_eq!(discard(&of("unknown")).await, 0);
        assert_eq!(discard(&FailedQuery { version: Some(2), ..of("p") }).await, 0, "another version has none");
        assert_eq!(
            discard(&FailedQuery { states: vec![Retrying], ..of("p") }).await,
            0,
            "it is not given up yet"
        );
        assert_eq!(discard(&FailedQuery { position: Some(Position::new(9, 0)), ..of("p") }).await, 1);
        assert_eq!(places(&*fixture.control, &of("p")).await.len(), 4);
        let letter = fixture.control.dead_letter(&key("p"), Position::new(9, 0)).await;
        assert!(letter.expect("the store answers").is_none(), "its letter is gone as well");
        assert_eq!(discard(&of("p")).await, 3);
        assert_eq!(
            places(&*fixture.control, &of("p")).await,
            [("p".to_owned(), 11)],
            "what is retrying stays"
        );
        assert_eq!(places(&*fixture.control, &of("q")).await.len(), 5, "another projection keeps its own");
    }

    /// `changed` returns soon after a commit to the store.
    fn law_6_changed_returns_after_a_commit {
        let mut state = fresh(key("p"));
        create(&fixture.store, &state).await.expect("there is no such row yet");
        for n in 1..4 {
            let next = moved(&state, n);
            let mut changed = fixture.control.changed();
            if let std::task::Poll::Ready(hint) = poll!(&mut changed) {
                hint.expect("the store can be watched");
                changed = fixture.control.changed();
            }
            let commit = advance(&fixture.store, &state, &next);
            let (hint, commit) = tokio::join!(timeout(SOON, changed), commit);
            commit.expect("the row is as it was read");
            hint.expect("changed returns soon after a commit").expect("the store can be watched");
            state = next;
        }
    }

    /// `owner` is `None` when nobody holds the claim.
    fn law_7_owner_is_who_holds_the_claim {
        assert_eq!(fixture.control.owner(&key("p").part()).await.expect("the store answers"), None);
        let Claim::Owned(lease) = fixture.store.claim(&key("p").part()).await.expect("the store can be asked")
        else {
            panic!("nobody has it");
        };
        let owner = fixture.control.owner(&key("p").part()).await.expect("the store answers");
        assert!(owner.is_some_and(|owner| !owner.name.is_empty()), "the owner has a name");
        assert_eq!(fixture.control.owner(&key("q").part()).await.expect("the store answers"), None);
        drop(lease);
        let free = async {
            while fixture.control.owner(&key("p").part()).await.expect("the store answers").is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, free).await.expect("the claim ends with its lease");
    }
}

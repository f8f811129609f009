//! The laws 6 to 11, 13 and 14, of `UnitOfWork`.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use highwater_core::ErrorKind;
use highwater_core::model::{FailedState, Position, ProjectionKey, ProjectionState};
use highwater_core::ports::{Locked, ReadModelStore, UnitOfWork};

use super::StoreFixture;
use super::store_support::{
    DEADLINE, advance, as_error, broken, committed, create, failure, fresh, key, lock, moved, name, put,
    rows, untimed, waiting,
};
use super::suite::suite;
use super::support::{QUIET, SOON, without};
use crate::fixtures::event;

suite! {
    [$] unit_of_work => unit_of_work_laws [<S: ReadModelStore>] (fixture: StoreFixture<S>)

    /// `lock` holds the state against every other transaction until this one ends; it does not wait.
    fn law_6_a_locked_state_is_held {
        assert!(committed(&fixture.store, &key("p")).await.is_none(), "there is no row yet");
        let state = fixture.created().await;
        let next = moved(&state, 7);
        let (locked, is_locked) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        let (read, to) = (state.clone(), next.clone());
        let holder = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            assert!(locked.send(()).is_ok(), "the law listens");
            gone.await.map_err(|error| broken("wait for the law").because(error))?;
            unit.commit(&read, &to).await
        });
        let attempt = async |store: &S| {
            let key = state.key.clone();
            store.transact(DEADLINE, move |mut unit| async move { unit.lock(&key).await }).await
        };
        let law = async {
            is_locked.await.expect("the state is locked");
            // Either the answer is `Busy`, or the transaction has to wait for its turn, as in SQLite.
            if let Ok(answer) = timeout(QUIET, attempt(&fixture.second)).await {
                assert!(matches!(answer.expect("busy is no error"), Locked::Busy), "it is not free");
            }
            assert!(go.send(()).is_ok(), "the holder listens");
        };
        let (held, ()) = tokio::join!(holder, law);
        held.expect("the holder can commit");
        match timeout(SOON, attempt(&fixture.second)).await.expect("the lock ends with its transaction") {
            Ok(Locked::Acquired(acquired)) => assert_eq!(untimed(acquired.state), untimed(next)),
            other => panic!("the state is free: {other:?}"),
        }
        assert!(committed(&fixture.store, &state.key).await.is_some(), "and is free again after a drop");
    }

    /// `create_state` fails with `AlreadyExists` if there is a row, `remove_state` with `NotFound` if there is
    /// none. `states` reads all rows of a projection, locked or not.
    fn law_7_a_state_is_created_once {
        let state = fixture.created().await;
        let again = create(&fixture.second, &fresh(key("p"))).await.expect_err("there is a row");
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{again:?}");
        let others = [
            ProjectionKey { version: 2, ..key("p") },
            ProjectionKey { version: 10, ..key("p") },
            ProjectionKey { partition: 1, ..key("p") },
            key("P.2"),
        ];
        for other in &others {
            create(&fixture.store, &fresh(other.clone())).await.expect("another key is another row");
        }
        let read = state.clone();
        let twice = fixture.store.transact(DEADLINE, move |mut unit| async move {
            let new = fresh(key("new"));
            unit.create_state(&new).await?;
            match unit.lock(&new.key).await? {
                Locked::Acquired(acquired) if untimed(acquired.state.clone()) == new => {}
                _ => return Err(broken("a transaction does not see the row that it created")),
            }
            drop(read);
            unit.create_state(&new).await
        });
        assert_eq!(twice.await.expect_err("there is a row").kind(), ErrorKind::AlreadyExists);
        assert!(committed(&fixture.store, &key("new")).await.is_none(), "it was rolled back");
        let keys = |states: Vec<ProjectionState>| states.into_iter().map(|state| state.key).collect::<Vec<_>>();
        let removed = others[0].clone();
        let gone = removed.clone();
        let read = fixture.store.transact(DEADLINE, move |mut unit| async move {
            let all = unit.states(&name("p")).await?;
            let unknown = unit.states(&name("unknown")).await?;
            let missing = unit.remove_state(&key("unknown")).await.expect_err("there is no row");
            let kept = all[0].clone();
            lock(&mut unit, &kept.key).await?;
            lock(&mut unit, &gone).await?;
            unit.remove_state(&gone).await?;
            let left = unit.states(&name("p")).await?;
            let next = moved(&kept, 3);
            unit.commit(&kept, &next).await?;
            Ok((all, unknown, missing.kind(), left))
        });
        let (all, unknown, missing, left) = read.await.expect("the store answers");
        assert_eq!(untimed(all[0].clone()), untimed(state));
        assert_eq!(keys(all), [key("p"), others[2].clone(), removed.clone(), others[1].clone()]);
        assert_eq!((unknown, missing), (vec![], ErrorKind::NotFound));
        assert_eq!(keys(left), [key("p"), others[2].clone(), others[1].clone()]);
        assert!(committed(&fixture.store, &removed).await.is_none(), "it was committed");
        assert!(committed(&fixture.store, &others[1]).await.is_some());
    }

    /// After `rollback_to` nothing since the savepoint is left, and it still stands; `release` keeps. They
    /// nest.
    fn law_8_savepoints_nest {
        let state = fixture.created().await;
        let (table, read) = (fixture.table.clone(), state.clone());
        let done = fixture.store.transact(DEADLINE, move |mut unit| async move {
            let one = event(1, "A", "a-1");
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "a", "1").await?;
            unit.savepoint().await?;
            put(&mut unit, &table, "a", "2").await?;
            put(&mut unit, &table, "b", "1").await?;
            unit.savepoint().await?;
            put(&mut unit, &table, "c", "1").await?;
            let (row, letter) = failure(&read.key, FailedState::Parked, &one);
            unit.record_failed(&row, letter.as_ref()).await?;
            unit.rollback_to().await?; // c and the failed event are gone, the inner savepoint stands
            put(&mut unit, &table, "d", "1").await?;
            unit.rollback_to().await?; // again
            put(&mut unit, &table, "e", "1").await?;
            unit.release().await?; // a, b, e are kept by the outer
            let inner = table.rows(unit.tx()).await.map_err(as_error)?;
            unit.rollback_to().await?; // a is 1 again
            let outer = table.rows(unit.tx()).await.map_err(as_error)?;
            put(&mut unit, &table, "f", "1").await?;
            unit.release().await?;
            // A failed statement in a savepoint of its own leaves the rest alone.
            unit.savepoint().await?;
            put(&mut unit, &table, "g", "1").await?;
            unit.rollback_to().await?;
            unit.release().await?;
            let open = unit.open_failures(&read.key).await?;
            unit.commit(&read, &moved(&read, 1)).await?;
            Ok((inner, outer, open))
        });
        let (inner, outer, open) = done.await.expect("savepoints work");
        assert_eq!(inner.into_keys().collect::<Vec<_>>(), ["a", "b", "e"]);
        assert_eq!(outer.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "1".to_owned())]);
        assert_eq!(open, 0, "a failed event outlived its savepoint");
        let found = rows(&fixture.second, &fixture.table).await;
        let expected = [("a", "1"), ("f", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    }

    /// `release` checks deferred constraints first: a violation is `Constraint`, and the savepoint stands
    /// (E-19).
    fn law_9_release_checks_deferred_constraints {
        let state = fixture.created().await;
        let (table, read) = (fixture.table.clone(), state.clone());
        let done = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "before", "1").await?;
            unit.savepoint().await?;
            let Some(violated) = table.violate_deferred(unit.tx()).await else { return Ok(None) };
            violated.map_err(as_error)?;
            let released = unit.release().await;
            unit.rollback_to().await?;
            put(&mut unit, &table, "after", "1").await?;
            unit.release().await?;
            unit.commit(&read, &moved(&read, 1)).await?;
            Ok(Some(released))
        });
        match done.await.expect("the transaction goes on") {
            None => return without("law_9", "deferred constraint"),
            Some(released) => {
                let error = released.expect_err("the constraint is violated");
                assert_eq!(error.kind(), ErrorKind::Constraint, "{error:?}");
            }
        }
        assert_eq!(fixture.keys().await, ["after", "before"]);

        let (table, read) = (fixture.table.clone(), moved(&state, 1));
        let at_commit = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "violated", "1").await?;
            if let Some(violated) = table.violate_deferred(unit.tx()).await {
                violated.map_err(as_error)?;
            }
            unit.commit(&read, &moved(&read, 2)).await
        });
        at_commit.await.expect_err("the constraint is violated at commit, too");
        assert_eq!(fixture.keys().await, ["after", "before"]);
        let kept = committed(&fixture.second, &state.key).await.expect("the state exists");
        assert_eq!(kept.state.scanned, Some(Position::new(1, 0)));
    }

    /// While a projection holds `tx`, it cannot end the transaction (E-9).
    fn law_10_user_code_cannot_end_the_transaction {
        let state = fixture.created().await;
        let (table, read) = (fixture.table.clone(), state.clone());
        let done = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            unit.savepoint().await?;
            put(&mut unit, &table, "uncommitted", "1").await?;
            let Some(ended) = table.end_transaction(unit.tx()).await else { return Ok(None) };
            let refused = ended.is_err();
            if refused {
                unit.rollback_to().await?;
                put(&mut unit, &table, "goes on", "1").await?;
            }
            let released = unit.release().await;
            if refused {
                unit.rollback().await?;
            }
            Ok(Some((refused, released)))
        });
        match done.await.expect("the transaction can be given up") {
            None => without("law_10", "statement that ends the transaction"),
            Some((true, released)) => {
                released.expect("a refused statement has not ended the transaction");
                assert_eq!(fixture.keys().await, Vec::<String>::new());
            }
            Some((false, released)) => {
                let error = released.expect_err("the transaction was ended");
                assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{error:?}");
            }
        }
    }

    /// `commit` moves the state only if the row is as it was read, and commits, in one step (E-12).
    fn law_11_commit_is_conditional {
        let state = ProjectionState { epoch: 3, generation: 2, ..moved(&fresh(key("p")), 5) };
        create(&fixture.store, &state).await.expect("there is no such row yet");
        let stale = [
            ("an older epoch", ProjectionState { epoch: 2, ..state.clone() }),
            ("a later epoch", ProjectionState { epoch: 4, ..state.clone() }),
            ("another generation", ProjectionState { generation: 1, ..state.clone() }),
            ("no scanned bound", ProjectionState { scanned: None, ..state.clone() }),
            ("another commit half", ProjectionState { scanned: Some(Position::new(6, 0)), ..state.clone() }),
            ("another prepare half", ProjectionState { scanned: Some(Position::new(5, 1)), ..state.clone() }),
            ("another row", fresh(key("unknown"))),
        ];
        for (what, read) in stale {
            let table = fixture.table.clone();
            let lost = fixture.second.transact(DEADLINE, move |mut unit| async move {
                put(&mut unit, &table, "lost", "1").await?;
                unit.commit(&read, &moved(&read, 9)).await
            });
            let error = lost.await.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::LostOwnership, "{what}: {error:?}");
        }
        assert_eq!(fixture.keys().await, Vec::<String>::new());
        let kept = committed(&fixture.store, &state.key).await.expect("the state exists");
        assert_eq!(kept.state, untimed(state.clone()));

        // Every part of the state that an owner may change is changed.
        let claimed = state.claimed();
        advance(&fixture.store, &state, &claimed).await.expect("the row is as it was read");
        let rebuilt = claimed.rebuilt(None);
        advance(&fixture.second, &claimed, &rebuilt).await.expect("the row is as it was read");
        let kept = committed(&fixture.store, &state.key).await.expect("the state exists");
        assert_eq!(kept.state, untimed(rebuilt));
    }

    /// Under `statement_timeout` a statement fails, and the transaction can still be rolled back to the
    /// savepoint.
    fn law_13_a_statement_times_out_alone {
        let state = fixture.created().await;
        let (table, read) = (fixture.table.clone(), state.clone());
        let done = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "before", "1").await?;
            unit.statement_timeout(Some(Duration::from_millis(50))).await?;
            for turn in ["1", "2"] {
                unit.savepoint().await?;
                put(&mut unit, &table, "undone", turn).await?;
                match table.run_forever(unit.tx()).await {
                    None => return Ok(false),
                    Some(Ok(())) => return Err(broken("an endless statement ended well")),
                    Some(Err(_)) => {}
                }
                unit.rollback_to().await?;
                put(&mut unit, &table, "after", turn).await?;
                unit.release().await?;
            }
            unit.statement_timeout(None).await?;
            put(&mut unit, &table, "unlimited", "1").await?;
            unit.commit(&read, &moved(&read, 1)).await?;
            Ok(true)
        });
        if !timeout(SOON, done).await.expect("the statements are ended").expect("the transaction goes on") {
            return without("law_13", "endless statement");
        }
        assert_eq!(fixture.keys().await, ["after", "before", "unlimited"]);
    }

    /// Dropping a unit rolls back.
    fn law_14_a_dropped_unit_rolls_back {
        let state = fixture.created().await;
        let (table, read) = (fixture.table.clone(), state.clone());
        let dropped = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            unit.savepoint().await?;
            put(&mut unit, &table, "dropped", "1").await?;
            let (row, letter) = failure(&read.key, FailedState::Parked, &event(1, "A", "a-1"));
            unit.record_failed(&row, letter.as_ref()).await?;
            unit.create_state(&fresh(key("dropped"))).await?;
            drop(unit);
            Ok(())
        });
        dropped.await.expect("the job ends well");
        assert_eq!(fixture.keys().await, Vec::<String>::new());
        assert_eq!(waiting(&fixture.second, &state.key, "a-1").await, (0, vec![], None));
        assert!(committed(&fixture.second, &key("dropped")).await.is_none());
        assert!(committed(&fixture.second, &state.key).await.is_some(), "the lock has ended");
    }
}

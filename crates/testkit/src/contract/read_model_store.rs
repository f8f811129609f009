//! The laws 1 to 5, of `ReadModelStore`.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::{Interval, interval, timeout};

use highwater_core::model::{InstanceRank, ProjectionPart};
use highwater_core::ports::{Claim, ReadModelStore, UnitOfWork};
use highwater_core::{Error, ErrorKind};

use super::StoreFixture;
use super::store_support::{DEADLINE, as_error, broken, committed, key, lock, moved, name, put, untimed};
use super::suite::suite;
use super::support::{QUIET, SOON, without};

/// A pause between two questions.
fn pause() -> Interval {
    interval(Duration::from_millis(10))
}

async fn claimed<S: ReadModelStore>(store: &S, projection: &str) -> Option<S::Lease> {
    match store.claim(&key(projection).part()).await.expect("the store can be asked") {
        Claim::Owned(lease) => Some(lease),
        Claim::Busy => None,
    }
}

suite! {
    [$] read_model_store => read_model_store_laws [<S: ReadModelStore>] (fixture: StoreFixture<S>)

    /// What a unit did is there after `commit` returned `Ok`, and nothing of it is there otherwise (E-10).
    fn law_1_all_or_nothing {
        let state = fixture.created().await;
        let next = moved(&state, 3);
        let (table, read, to) = (fixture.table.clone(), state.clone(), next.clone());
        let done = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "kept", "1").await?;
            unit.commit(&read, &to).await
        });
        done.await.expect("it can be committed");
        let kept = committed(&fixture.second, &state.key).await.expect("the state exists");
        assert_eq!(kept.state, untimed(next.clone()));
        assert_eq!(fixture.keys().await, ["kept"]);

        let (table, read) = (fixture.table.clone(), next.clone());
        let failed = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "by an error", "1").await?;
            Err::<(), Error>(broken("fail on purpose"))
        });
        assert_eq!(failed.await.expect_err("the job fails").operation(), "fail on purpose");

        let (table, read) = (fixture.table.clone(), next.clone());
        let rolled_back = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "by a rollback", "1").await?;
            unit.rollback().await
        });
        rolled_back.await.expect("it can be rolled back");

        let (table, read) = (fixture.table.clone(), next.clone());
        let panicked = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "by a panic", "1").await?;
            if read.generation == 1 {
                panic!("the law panics on purpose");
            }
            Ok(())
        });
        let answer = AssertUnwindSafe(panicked).catch_unwind().await;
        assert!(!matches!(answer, Ok(Ok(()))), "a job that panicked has not ended well");

        let (table, read) = (fixture.table.clone(), next.clone());
        let (written, wrote) = oneshot::channel();
        let dropped = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "by a drop", "1").await?;
            assert!(written.send(()).is_ok(), "the law listens");
            pending::<Result<(), Error>>().await
        });
        tokio::select! {
            ended = dropped => panic!("the job does not end: {ended:?}"),
            begun = wrote => begun.expect("the job has written"),
        }

        assert_eq!(fixture.keys().await, ["kept"], "something uncommitted is there");
        let kept = committed(&fixture.second, &state.key).await.expect("the state exists");
        assert_eq!(kept.state, untimed(next));
    }

    /// `claim` gives a projection to one owner at a time, across processes (E-11).
    fn law_2_one_owner_at_a_time {
        let lease = claimed(&fixture.store, "p").await.expect("nobody has it");
        for _ in 0..3 {
            assert!(claimed(&fixture.second, "p").await.is_none(), "another process must not get it");
            assert!(claimed(&fixture.store, "p").await.is_none(), "the same process must not get it twice");
        }
        let other = claimed(&fixture.second, "q").await.expect("another projection is free");
        drop(lease);
        let taken_over = async {
            let mut pause = pause();
            loop {
                pause.tick().await;
                if let Some(lease) = claimed(&fixture.second, "p").await {
                    return lease;
                }
            }
        };
        let lease = timeout(Duration::from_secs(1), taken_over).await.expect("free within a second");
        assert!(claimed(&fixture.store, "p").await.is_none(), "it has a new owner");
        assert!(claimed(&fixture.store, "q").await.is_none());
        drop((lease, other));
    }

    /// Each partition has an owner of its own, and the first is the projection's own claim.
    fn law_2_each_partition_has_an_owner {
        let part = |partition| ProjectionPart { partition, ..key("p").part() };
        let of = async |store: &S, partition| {
            match store.claim(&part(partition)).await.expect("the store can be asked") {
                Claim::Owned(lease) => Some(lease),
                Claim::Busy => None,
            }
        };
        let whole = claimed(&fixture.store, "p").await.expect("nobody has it");
        assert!(of(&fixture.second, 0).await.is_none(), "the first partition is the projection's own claim");
        let second = of(&fixture.second, 1).await.expect("another partition is free");
        assert!(of(&fixture.store, 1).await.is_none());
        let last = of(&fixture.store, u32::MAX).await.expect("any number is a partition");
        drop((whole, second, last));
    }

    /// The live members of a projection have the ranks from 0, each once, in an order that stays.
    fn law_17_members_have_ranks {
        let join = async |store: &S, text: &str| store.join(&name(text)).await.expect("the store can be asked");
        let Some(first) = join(&fixture.store, "p").await else {
            assert!(join(&fixture.second, "p").await.is_none(), "it says so for every projection");
            assert!(join(&fixture.store, "q").await.is_none(), "it says so for every projection");
            return;
        };
        let alone = first.rank().await.expect("the store can be asked");
        assert_eq!(alone, InstanceRank { rank: 0, instances: 1 });
        let other = join(&fixture.second, "q").await.expect("it knows its instances");
        assert_eq!(other.rank().await.expect("the store can be asked"), alone, "another projection's");
        let second = join(&fixture.second, "p").await.expect("it knows its instances");
        let mut ranks = Vec::new();
        for member in [&first, &second] {
            let rank = member.rank().await.expect("the store can be asked");
            assert_eq!(rank.instances, 2);
            ranks.push(rank.rank);
        }
        ranks.sort_unstable();
        assert_eq!(ranks, [0, 1]);
        drop(first);
        let gone = async {
            let mut pause = pause();
            while second.rank().await.expect("the store can be asked") != alone {
                pause.tick().await;
            }
        };
        timeout(SOON, gone).await.expect("a member that was dropped is gone");
    }

    /// `transact` returns what the job returns; a job that ends without commit has rolled back; jobs never
    /// share a transaction.
    fn law_3_a_job_has_a_transaction_of_its_own {
        let answer = fixture.store.transact(DEADLINE, |unit| async move {
            drop(unit);
            Ok(42)
        });
        assert_eq!(answer.await.expect("the job ends well"), 42);

        let table = fixture.table.clone();
        let forgot = fixture.store.transact(DEADLINE, move |mut unit| async move {
            put(&mut unit, &table, "forgotten", "1").await
        });
        forgot.await.expect("the job ends well");
        assert_eq!(fixture.keys().await, Vec::<String>::new());

        let own = async |store: &S, own: &'static str| {
            let table = fixture.table.clone();
            let job = store.transact(DEADLINE, move |mut unit| async move {
                put(&mut unit, &table, own, "1").await?;
                tokio::task::yield_now().await;
                let rows = table.rows(unit.tx()).await.map_err(as_error)?;
                unit.rollback().await?;
                Ok(rows.into_keys().collect::<Vec<_>>())
            });
            job.await
        };
        let (left, right, third) = tokio::join!(
            own(&fixture.store, "left"),
            own(&fixture.store, "right"),
            own(&fixture.second, "third")
        );
        assert_eq!(left.expect("the job ends well"), ["left"]);
        assert_eq!(right.expect("the job ends well"), ["right"]);
        assert_eq!(third.expect("the job ends well"), ["third"]);
    }

    /// Past `deadline` statements fail with `Timeout`, and a job that waits for something else is dropped.
    fn law_4_the_deadline_ends_a_transaction {
        let short = Duration::from_millis(100);
        let table = fixture.table.clone();
        let waits = fixture.store.transact(short, move |mut unit| async move {
            put(&mut unit, &table, "waits", "1").await?;
            pending::<Result<(), Error>>().await
        });
        let error = timeout(SOON, waits).await.expect("the job is dropped").expect_err("it took too long");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert_eq!(fixture.keys().await, Vec::<String>::new());

        let table = fixture.table.clone();
        let endless = fixture.store.transact(short, move |mut unit| async move {
            put(&mut unit, &table, "endless", "1").await?;
            match table.run_forever(unit.tx()).await {
                None => return Ok(false),
                Some(Ok(())) => return Err(broken("an endless statement ended well")),
                Some(Err(_)) => {}
            }
            unit.savepoint().await?;
            Ok(true)
        });
        match timeout(SOON, endless).await.expect("the statement is ended") {
            Ok(false) => return without("law_4", "endless statement"),
            Ok(true) => panic!("the transaction goes on behind its deadline"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}"),
        }
        assert_eq!(fixture.keys().await, Vec::<String>::new());
    }

    /// Dropping the future of `transact` interrupts what runs and rolls back; the store answers again at
    /// once.
    fn law_5_a_dropped_transaction_is_interrupted {
        // A job that waits for its turn is dropped: the one before it does not notice.
        let state = fixture.created().await;
        let (table, read) = (fixture.table.clone(), state.clone());
        let (started, begun) = oneshot::channel();
        let (go, gone) = oneshot::channel();
        let first = fixture.store.transact(DEADLINE, move |mut unit| async move {
            lock(&mut unit, &read.key).await?;
            put(&mut unit, &table, "first", "1").await?;
            assert!(started.send(()).is_ok(), "the law listens");
            gone.await.map_err(|error| broken("wait for the law").because(error))?;
            put(&mut unit, &table, "second", "1").await?;
            unit.commit(&read, &moved(&read, 1)).await
        });
        let table = fixture.table.clone();
        let queued = fixture.store.transact(DEADLINE, move |mut unit| async move {
            put(&mut unit, &table, "queued", "1").await?;
            pending::<Result<(), Error>>().await
        });
        let law = async {
            begun.await.expect("the first job runs");
            assert!(timeout(QUIET, queued).await.is_err(), "a job that never ends has ended");
            assert!(go.send(()).is_ok(), "the first job listens");
        };
        let (first, ()) = tokio::join!(first, law);
        first.expect("the first job is not disturbed");
        assert_eq!(fixture.keys().await, ["first", "second"]);

        let table = fixture.table.clone();
        let (started, begun) = oneshot::channel();
        let endless = fixture.store.transact(DEADLINE, move |mut unit| async move {
            put(&mut unit, &table, "endless", "1").await?;
            assert!(started.send(()).is_ok(), "the law listens");
            Ok(table.run_forever(unit.tx()).await.is_some())
        });
        let ended = async {
            begun.await.expect("the job runs");
            timeout(QUIET, pending::<()>()).await
        };
        tokio::select! {
            answer = endless => {
                assert!(!answer.expect("the job answers"), "an endless statement ended");
                return without("law_5", "endless statement");
            }
            waited = ended => assert!(waited.is_err(), "nothing ends a pending future"),
        }
        let at_once = timeout(Duration::from_secs(5), committed(&fixture.store, &key("p"))).await;
        assert!(at_once.expect("the store answers at once").is_some());
        assert_eq!(fixture.keys().await, ["first", "second"]);
    }
}

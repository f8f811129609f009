//! The store, where it is SQLite's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::timeout;

use highwater_core::policy::Class;
use highwater_core::policy::{Classifier, ClassifyError};
use highwater_core::ports::{Locked, ProjectionControl, ReadModelStore, UnitOfWork};
use highwater_core::{Error, ErrorKind, Failure};
use highwater_sqlite::rusqlite::ErrorCode;
use highwater_sqlite::{SqliteClassifier, SqliteOptions, SqliteStore};

use crate::kit::{ENDLESS, Place, SOON, at, committed, create, key, name, number, options, transact};

#[tokio::test]
async fn e_22_a_dropped_transaction_is_interrupted_and_the_store_answers_again() {
    let place = Place::new();
    let store = place.store().await;
    create(&store, "p").await;
    place.raw().execute_batch("CREATE TABLE model (x)").expect("the user's table");
    let (began, has_begun) = oneshot::channel();
    let endless = transact(&store, move |mut unit| async move {
        unit.tx().execute("INSERT INTO model VALUES (1)", []).expect("a row");
        began.send(()).expect("the test listens");
        unit.tx().query_row(ENDLESS, [], |_| Ok(())).expect_err("it is interrupted");
        Ok(())
    });
    tokio::select! {
        ended = endless => panic!("it never ends by itself: {ended:?}"),
        begun = has_begun => begun.expect("it has begun"),
    }
    timeout(SOON, committed(&store, "p")).await.expect("the store answers again");
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM model"), 0);
}

#[tokio::test]
async fn a_job_that_waits_is_dropped_at_its_deadline() {
    let place = Place::new();
    let store = place.store().await;
    let dropped = Arc::new(AtomicBool::new(false));
    struct Drops(Arc<AtomicBool>);
    impl Drop for Drops {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let kept = Drops(dropped.clone());
    let job = store.transact(Duration::from_millis(20), move |_unit| async move {
        let _kept = kept;
        std::future::pending::<Result<(), Error>>().await
    });
    let error = job.await.expect_err("it waits for ever");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(dropped.load(Ordering::SeqCst));
    create(&store, "p").await;
}

#[tokio::test]
async fn past_the_deadline_even_short_statements_end() {
    let place = Place::new();
    let store = place.store().await;
    let read = create(&store, "p").await;
    place.raw().execute_batch("CREATE TABLE model (x)").expect("the user's table");
    let next = at(&read, 1);
    let job = store.transact(Duration::from_millis(20), move |mut unit| async move {
        unit.tx().query_row(ENDLESS, [], |_| Ok(())).expect_err("the deadline ends it");
        let short = unit.tx().execute("INSERT INTO model VALUES (1)", []);
        assert_eq!(
            short.expect_err("nothing runs now").sqlite_error_code(),
            Some(ErrorCode::OperationInterrupted)
        );
        assert_eq!(unit.savepoint().await.expect_err("nor any call").kind(), ErrorKind::Timeout);
        unit.commit(&read, &next).await
    });
    assert_eq!(job.await.expect_err("least of all a commit").kind(), ErrorKind::Timeout);
    assert_eq!(committed(&store, "p").await.scanned, None);
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM model"), 0);
}

#[tokio::test]
async fn e_17_a_write_that_is_interrupted_takes_the_transaction_with_it_and_says_so() {
    let place = Place::new();
    let store = place.store().await;
    let read = create(&store, "p").await;
    place.raw().execute_batch("CREATE TABLE model (x)").expect("the user's table");
    let next = at(&read, 1);
    let job = transact(&store, move |mut unit| async move {
        unit.lock(&key("p")).await?;
        unit.statement_timeout(Some(Duration::from_millis(20))).await?;
        unit.savepoint().await?;
        let endless = format!("INSERT INTO model {ENDLESS}");
        let error = unit.tx().execute(&endless, []).expect_err("the limit ends it");
        let class = Classifier::new().with(Arc::new(SqliteClassifier)).failure(&Failure::new(error)).class;
        assert_eq!(class, Class::Unclassified);
        assert_eq!(unit.rollback_to().await.expect_err("it is gone").kind(), ErrorKind::Timeout);
        unit.commit(&read, &next).await
    });
    assert_eq!(job.await.expect_err("there is nothing to commit").kind(), ErrorKind::Timeout);
    assert_eq!(committed(&store, "p").await.scanned, None);
}

#[tokio::test]
async fn e_9_what_a_projection_may_not_do_is_fatal_and_ends_nothing() {
    let place = Place::new();
    let store = place.store().await;
    let read = create(&store, "p").await;
    place.raw().execute_batch("CREATE TABLE model (x)").expect("the user's table");
    let next = at(&read, 1);
    transact(&store, move |mut unit| async move {
        unit.lock(&key("p")).await?;
        unit.savepoint().await?;
        for sql in [
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT x",
            "DELETE FROM highwater_projection",
            "PRAGMA foreign_keys = 0",
        ] {
            let error = unit.tx().execute_batch(sql).expect_err(sql);
            assert_eq!(
                SqliteClassifier.classify(&error).map(|decided| decided.class),
                Some(Class::Fatal),
                "{sql}"
            );
        }
        unit.tx().execute("INSERT INTO model VALUES (1)", []).expect("the transaction goes on");
        unit.release().await?;
        unit.commit(&read, &next).await
    })
    .await
    .expect("the runner may do all of it");
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM model"), 1);
}

#[tokio::test]
async fn a_statement_that_rolls_back_by_itself_loses_the_transaction_and_nothing_else() {
    let place = Place::new();
    let store = place.store().await;
    let read = create(&store, "p").await;
    place
        .raw()
        .execute_batch("CREATE TABLE model (x PRIMARY KEY); INSERT INTO model VALUES (1)")
        .expect("a table");
    let next = at(&read, 1);
    let job = transact(&store, move |mut unit| async move {
        unit.savepoint().await?;
        unit.tx().execute("INSERT INTO model VALUES (2)", []).expect("a row");
        unit.tx().execute("INSERT OR ROLLBACK INTO model VALUES (1)", []).expect_err("the row is there");
        assert_eq!(unit.rollback_to().await.expect_err("it is gone").kind(), ErrorKind::Other);
        unit.commit(&read, &next).await
    });
    let error = job.await.expect_err("there is nothing to commit");
    assert!(error.chain().contains("rolled the transaction back"), "{}", error.chain());
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM model"), 1);
    assert_eq!(committed(&store, "p").await.scanned, None);
}

#[tokio::test]
async fn e_19_a_deferred_key_is_checked_at_release_and_at_commit() {
    let place = Place::new();
    let store = place.store().await;
    let read = create(&store, "p").await;
    place
        .raw()
        .execute_batch(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);",
        )
        .expect("the user's tables");
    let (from, next) = (read.clone(), at(&read, 1));
    transact(&store, move |mut unit| async move {
        unit.savepoint().await?;
        unit.tx().execute("INSERT INTO child VALUES (1)", []).expect("not checked yet");
        let error = unit.release().await.expect_err("there is no parent");
        assert_eq!(error.kind(), ErrorKind::Constraint);
        unit.rollback_to().await?;
        unit.tx().execute("INSERT INTO child VALUES (2)", []).expect("not checked yet");
        unit.tx().execute("INSERT INTO parent VALUES (2)", []).expect("a parent");
        unit.release().await?;
        unit.commit(&from, &next).await
    })
    .await
    .expect("the second child has its parent");
    let (from, next) = (at(&read, 1), at(&read, 2));
    let job = transact(&store, move |mut unit| async move {
        unit.tx().execute("INSERT INTO child VALUES (3)", []).expect("not checked yet");
        unit.commit(&from, &next).await
    });
    assert_eq!(job.await.expect_err("there is no parent").kind(), ErrorKind::Constraint);
    assert_eq!(number(&place.raw(), "SELECT sum(parent) FROM child"), 2);
    assert_eq!(committed(&store, "p").await.scanned, at(&read, 1).scanned);
}

#[tokio::test]
async fn a_panic_rolls_back_and_goes_on_in_the_caller() {
    let place = Place::new();
    let store = place.store().await;
    place.raw().execute_batch("CREATE TABLE model (x)").expect("the user's table");
    let job = transact(&store, move |mut unit| async move {
        unit.tx().execute("INSERT INTO model VALUES (1)", []).expect("a row");
        if number(unit.tx(), "SELECT count(*) FROM model") == 1 {
            panic!("on purpose");
        }
        Ok(())
    });
    let panic = std::panic::AssertUnwindSafe(job).catch_unwind().await.expect_err("the caller panics");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    create(&store, "p").await;
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM model"), 0);
}

#[tokio::test]
async fn e_11_a_writer_in_another_process_is_contention_and_not_busy() {
    let place = Place::new();
    let hasty = SqliteOptions::busy_timeout(options(), Duration::ZERO);
    let store = SqliteStore::open(place.file(), &hasty).await.expect("the store opens");
    create(&store, "p").await;
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").expect("the other writes");
    let attempt = transact(&store, |mut unit| async move { unit.lock(&key("p")).await });
    let error = attempt.await.expect_err("the other writes");
    assert_eq!(error.kind(), ErrorKind::Contention, "{}", error.chain());
    assert_eq!(store.states().await.expect("reading goes on").len(), 1);
    other.execute_batch("COMMIT").expect("the other is done");
    let locked = transact(&store, |mut unit| async move { unit.lock(&key("p")).await }).await;
    assert!(matches!(locked, Ok(Locked::Acquired(_))), "{locked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_of_one_process_take_turns_and_none_meets_contention() {
    let place = Place::new();
    let hasty = options().busy_timeout(Duration::ZERO);
    let store = SqliteStore::open(place.file(), &hasty).await.expect("the store opens");
    place.raw().execute_batch("CREATE TABLE model (p, n)").expect("the user's table");
    let running: Vec<_> = (0..6)
        .map(|n| {
            let store = store.for_projection();
            tokio::spawn(async move {
                let text = format!("p{n}");
                let mut read = create(&store, &text).await;
                for turn in 1..=20_u32 {
                    let (from, next, text) = (read.clone(), at(&read, turn.into()), text.clone());
                    transact(&store, move |mut unit| async move {
                        unit.tx().execute("INSERT INTO model VALUES (?1, ?2)", (text, turn)).expect("a row");
                        unit.commit(&from, &next).await
                    })
                    .await
                    .expect("nobody is in the way");
                    read = at(&read, turn.into());
                }
            })
        })
        .collect();
    for one in running {
        one.await.expect("it has not panicked");
    }
    assert_eq!(number(&place.raw(), "SELECT count(*) FROM model"), 120);
}

#[tokio::test]
async fn a_projection_keeps_its_connection_and_what_is_on_it() {
    let place = Place::new();
    let store = place.store().await;
    let id = async |store: &SqliteStore| {
        transact(store, |mut unit| async move { Ok(unit.tx().connection_id()) })
            .await
            .expect("the store answers")
    };
    let own = store.for_projection();
    let first = id(&own).await;
    assert_eq!(id(&own).await, first);
    assert_eq!(id(&own.clone()).await, first, "a clone uses the same");
    assert_ne!(id(&store).await, first);
    let temp = transact(&own, |mut unit| async move {
        let read = crate::kit::state("p");
        unit.create_state(&read).await?;
        unit.tx().execute_batch("CREATE TEMP VIEW mine AS SELECT 7 AS n").expect("a temp view");
        unit.commit(&read, &read).await
    });
    temp.await.expect("a commit");
    let seen = transact(&own, |mut unit| async move { Ok(number(unit.tx(), "SELECT n FROM mine")) });
    assert_eq!(seen.await.expect("it is still there"), 7);
}

#[tokio::test]
async fn timers_and_tasks_work_inside_a_job() {
    let place = Place::new();
    let store = place.store().await;
    let job = transact(&store, |mut unit| async move {
        let elsewhere = tokio::spawn(async { 41 }).await.expect("it has not panicked");
        let waited = timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
        assert!(waited.is_err());
        Ok(number(unit.tx(), "SELECT 1") + elsewhere)
    });
    assert_eq!(job.await.expect("it ends"), 42);
}

#[tokio::test]
async fn misuse_of_savepoints_is_an_error_and_no_panic() {
    let place = Place::new();
    let store = place.store().await;
    transact(&store, |mut unit| async move {
        assert_eq!(unit.rollback_to().await.expect_err("there is none").kind(), ErrorKind::Invalid);
        assert_eq!(unit.release().await.expect_err("there is none").kind(), ErrorKind::Invalid);
        unit.savepoint().await?;
        unit.release().await?;
        assert_eq!(unit.release().await.expect_err("it has ended").kind(), ErrorKind::Invalid);
        unit.rollback().await
    })
    .await
    .expect("the unit lives on");
    assert!(store.set_paused(&name("unknown"), true).await.is_err());
}

//! The store, where it is PostgreSQL's own.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use highwater_core::model::ProjectionState;
use highwater_core::policy::Class;
use highwater_core::ports::{Locked, ProjectionControl, ReadModelStore, UnitOfWork};
use highwater_core::{Error, ErrorKind};
use highwater_postgres::sqlx::Connection;
use highwater_postgres::{Database, PgStore};

use crate::kit::Place;
use crate::proxy::Proxy;
use crate::store_kit::{
    ENDLESS, SOON, at, class, committed, create, found, key, lock, number, run, transact, with_model,
};

#[tokio::test]
async fn e_11_of_two_transactions_one_has_the_state_and_the_other_is_busy_at_once() {
    let Some((place, store)) = with_model().await else { return };
    let read = create(&store, "p").await;
    let other = PgStore::new(&place.database().await);
    let next = at(&read, 1);
    transact(&store, move |mut unit| async move {
        lock(&mut unit, &key("p")).await?;
        let refused = transact(&other, |mut unit| async move { unit.lock(&key("p")).await });
        let refused = timeout(Duration::from_secs(5), refused).await.expect("it does not wait");
        assert!(matches!(refused, Ok(Locked::Busy)), "{refused:?}");
        unit.commit(&read, &next).await?;
        let locked = transact(&other, |mut unit| async move { unit.lock(&key("p")).await }).await;
        assert!(matches!(locked, Ok(Locked::Acquired(_))), "{locked:?}");
        Ok(())
    })
    .await
    .expect("the first has it");
}

#[tokio::test]
async fn e_11_a_collision_of_advisory_keys_decides_nothing() {
    let Some((place, store)) = with_model().await else { return };
    create(&store, "p").await;
    let (send, pid) = oneshot::channel();
    let advisory = "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks
        WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND pid = ";
    let mut raw = place.raw().await;
    let key_of_p = transact(&store, move |mut unit| async move {
        lock(&mut unit, &key("p")).await?;
        let own = number(unit.tx(), "SELECT pg_backend_pid()::bigint").await;
        assert!(send.send(own).is_ok(), "the test listens");
        Ok(number(unit.tx(), &format!("{advisory}{own}")).await)
    });
    let key_of_p = key_of_p.await.expect("it has a lock by which it can be found");
    pid.await.expect("it has a backend");
    run(&mut raw, &format!("SELECT pg_advisory_lock({key_of_p})")).await.expect("it is free again");
    let before = store.database().key_collisions();
    let locked = transact(&store, |mut unit| async move { unit.lock(&key("p")).await }).await;
    assert!(matches!(locked, Ok(Locked::Acquired(_))), "{locked:?}");
    assert_eq!((before, store.database().key_collisions()), (0, 1), "it is counted");
}

#[tokio::test]
async fn e_12_an_older_owner_commits_nothing() {
    let Some((place, store)) = with_model().await else { return };
    let read = create(&store, "p").await;
    let next = at(&read, 7);
    let (old, to) = (read.clone(), next.clone());
    let other = PgStore::new(&place.database().await);
    let late = transact(&store, move |mut unit| async move {
        run(unit.tx(), "INSERT INTO model VALUES (1)").await.expect("a row");
        // It has never locked the row, or has lost its lock with a failover: another owner is there since.
        let owner = ProjectionState { epoch: 1, ..old.clone() };
        let (from, claimed) = (old.clone(), owner);
        transact(&other, move |mut unit| async move {
            lock(&mut unit, &from.key).await?;
            unit.commit(&from, &claimed).await
        })
        .await?;
        unit.commit(&old, &to).await
    });
    assert_eq!(late.await.expect_err("it is not its any more").kind(), ErrorKind::LostOwnership);
    assert_eq!(found(&place, "SELECT count(*) FROM model").await, 0);
    let kept = committed(&store, "p").await;
    assert_eq!((kept.epoch, kept.scanned), (1, None));
}

#[tokio::test]
async fn e_19_deferred_constraints_are_checked_at_each_release_and_at_commit() {
    let Some((place, store)) = with_model().await else { return };
    let read = create(&store, "p").await;
    place
        .execute(
            "CREATE TABLE parent (id int PRIMARY KEY);
             CREATE TABLE child (parent int REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let (from, next) = (read.clone(), at(&read, 1));
    transact(&store, move |mut unit| async move {
        for id in [1, 2] {
            unit.savepoint().await?;
            run(unit.tx(), &format!("INSERT INTO child VALUES ({id})")).await.expect("not checked yet");
            let error = unit.release().await.expect_err("there is no parent");
            assert_eq!(error.kind(), ErrorKind::Constraint, "{}", error.chain());
            unit.rollback_to().await?;
            let child_first = format!("INSERT INTO child VALUES ({id}); INSERT INTO parent VALUES ({id})");
            run(unit.tx(), &child_first).await.expect("not checked yet, the second time either");
            unit.release().await?;
        }
        unit.commit(&from, &next).await
    })
    .await
    .expect("the children have their parents");
    let (from, next) = (at(&read, 1), at(&read, 2));
    let job = transact(&store, move |mut unit| async move {
        run(unit.tx(), "INSERT INTO child VALUES (3)").await.expect("not checked yet");
        unit.commit(&from, &next).await
    });
    assert_eq!(job.await.expect_err("there is no parent").kind(), ErrorKind::Constraint);
    assert_eq!(found(&place, "SELECT sum(parent) FROM child").await, 3);
    assert_eq!(committed(&store, "p").await.scanned, at(&read, 1).scanned);
}

#[tokio::test]
async fn e_20_the_limit_of_a_statement_goes_back_with_its_savepoint() {
    let Some((_place, store)) = with_model().await else { return };
    let read = create(&store, "p").await;
    let next = at(&read, 1);
    let limits = "SELECT extract(epoch FROM current_setting('statement_timeout')::interval)::bigint";
    transact(&store, move |mut unit| async move {
        assert_eq!(number(unit.tx(), limits).await, 20, "the deadline is the server's limit, too");
        unit.savepoint().await?;
        unit.statement_timeout(Some(Duration::from_secs(3))).await?;
        assert_eq!(number(unit.tx(), limits).await, 3);
        unit.rollback_to().await?;
        assert_eq!(number(unit.tx(), limits).await, 20);
        unit.statement_timeout(Some(Duration::from_millis(30))).await?;
        unit.savepoint().await?;
        let error = run(unit.tx(), ENDLESS).await.expect_err("the limit ends it");
        assert_eq!(class(error), Class::Unclassified, "it is that event that takes too long");
        unit.rollback_to().await?;
        unit.release().await?;
        unit.statement_timeout(Some(Duration::from_secs(3600))).await?;
        assert_eq!(number(unit.tx(), limits).await, 20, "never more than the deadline");
        unit.statement_timeout(None).await?;
        unit.commit(&read, &next).await
    })
    .await
    .expect("the transaction goes on");
}

#[tokio::test]
async fn e_9_a_projection_that_ends_the_transaction_is_noticed() {
    let Some((place, store)) = with_model().await else { return };
    let read = create(&store, "p").await;
    for (n, ends) in (0..).zip(["COMMIT", "ROLLBACK", "COMMIT; BEGIN", "ROLLBACK; BEGIN", "COMMIT AND CHAIN"])
    {
        let (from, next) = (read.clone(), at(&read, 1));
        let at_release = transact(&store, move |mut unit| async move {
            lock(&mut unit, &key("p")).await?;
            unit.savepoint().await?;
            run(unit.tx(), &format!("INSERT INTO model VALUES ({n})")).await.expect("a row");
            run(unit.tx(), ends).await.expect("the server permits it");
            let error = unit.release().await.expect_err("it is not the same transaction");
            assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{ends}: {}", error.chain());
            unit.commit(&from, &next).await
        });
        let error = at_release.await.expect_err("nothing can be committed");
        assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{ends}: {}", error.chain());
        let (from, next) = (read.clone(), at(&read, 1));
        let at_commit = transact(&store, move |mut unit| async move {
            lock(&mut unit, &key("p")).await?;
            run(unit.tx(), ends).await.expect("the server permits it");
            unit.commit(&from, &next).await
        });
        let error = at_commit.await.expect_err("it is not the same transaction");
        assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{ends}: {}", error.chain());
        assert_eq!(committed(&store, "p").await.scanned, None, "the state has not moved");
    }
    assert_eq!(found(&place, "SELECT count(*) FROM model").await, 3, "what it committed itself stays");
}

#[tokio::test]
async fn a_projection_may_begin_a_transaction_inside() {
    let Some((place, store)) = with_model().await else { return };
    let read = create(&store, "p").await;
    let next = at(&read, 1);
    transact(&store, move |mut unit| async move {
        unit.savepoint().await?;
        let mut kept = unit.tx().begin().await.expect("a savepoint");
        run(&mut kept, "INSERT INTO model VALUES (1)").await.expect("a row");
        let mut undone = kept.begin().await.expect("a savepoint");
        run(&mut undone, "INSERT INTO model VALUES (2)").await.expect("a row");
        drop(undone);
        kept.commit().await.expect("it is released");
        unit.release().await?;
        unit.commit(&read, &next).await
    })
    .await
    .expect("it is one transaction");
    assert_eq!(found(&place, "SELECT sum(x) FROM model").await, 1);
}

#[tokio::test]
async fn a_swallowed_error_is_the_failure_of_its_slice() {
    let Some((place, store)) = with_model().await else { return };
    let read = create(&store, "p").await;
    let next = at(&read, 1);
    transact(&store, move |mut unit| async move {
        unit.savepoint().await?;
        run(unit.tx(), "INSERT INTO model VALUES (1)").await.expect("a row");
        run(unit.tx(), "SELECT 1/0").await.expect_err("by zero");
        let error = unit.release().await.expect_err("the transaction is aborted");
        assert_eq!((error.kind(), error.backend_code()), (ErrorKind::Other, Some("25P02")));
        unit.rollback_to().await?;
        run(unit.tx(), "INSERT INTO model VALUES (2)").await.expect("a row");
        unit.release().await?;
        unit.commit(&read, &next).await
    })
    .await
    .expect("the transaction goes on");
    assert_eq!(found(&place, "SELECT sum(x) FROM model").await, 2);
}

#[tokio::test]
async fn errors_of_the_server_are_classified() {
    let Some((place, store)) = with_model().await else { return };
    place
        .execute(
            "INSERT INTO model VALUES (1);
             CREATE TABLE full_disk (x int);
             CREATE FUNCTION is_full() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$;
             CREATE TRIGGER is_full BEFORE INSERT ON full_disk FOR EACH ROW EXECUTE FUNCTION is_full();
             CREATE TABLE dropped (x int)",
        )
        .await;
    let mut raw = place.raw().await;
    let mut holder = raw.begin().await.expect("a transaction");
    run(&mut holder, "UPDATE model SET x = x").await.expect("it is locked");
    transact(&store, move |mut unit| async move {
        run(unit.tx(), "SET LOCAL lock_timeout = 30").await.expect("a setting");
        for (sql, expected) in [
            ("UPDATE model SET x = x", Class::Transient),
            ("INSERT INTO full_disk VALUES (1)", Class::Transient),
            ("SET TRANSACTION READ ONLY; INSERT INTO full_disk VALUES (1)", Class::Transient),
            ("INSERT INTO model VALUES (NULL)", Class::Permanent),
            ("SELECT 'x'::int", Class::Permanent),
            ("SELECT * FROM nowhere", Class::Fatal),
            ("DROP TABLE dropped; INSERT INTO dropped VALUES (1)", Class::Fatal),
            ("DO $$ BEGIN RAISE EXCEPTION 'mine'; END $$", Class::Unclassified),
        ] {
            unit.savepoint().await?;
            let error = run(unit.tx(), sql).await.expect_err(sql);
            assert_eq!(class(error), expected, "{sql}");
            unit.rollback_to().await?;
            unit.release().await?;
        }
        unit.rollback().await
    })
    .await
    .expect("each leaves the transaction as it was");
}

async fn pool_of_one() -> Option<(Place, Database, PgStore)> {
    let place = Place::new().await?;
    let database = Database::open(&place.url(), &place.options().max_connections(1)).await.expect("it opens");
    place.execute("CREATE TABLE model (x int PRIMARY KEY)").await;
    let store = PgStore::new(&database);
    Some((place, database, store))
}

#[tokio::test]
async fn e_23_a_pool_of_one_is_enough() {
    let Some((place, database, store)) = pool_of_one().await else { return };
    let read = create(&store, "p").await;
    let adds = |n: i32| {
        let store = store.clone();
        tokio::spawn(async move {
            transact(&store, move |mut unit| async move {
                let state = lock(&mut unit, &key("p")).await?.state;
                unit.savepoint().await?;
                run(unit.tx(), &format!("INSERT INTO model VALUES ({n})")).await.expect("a row");
                unit.release().await?;
                let next = at(&state, state.scanned.map_or(1, |scanned| scanned.commit() + 1));
                unit.commit(&state, &next).await
            })
            .await
        })
    };
    let running: Vec<_> = (0..8).map(adds).collect();
    for one in running {
        one.await.expect("it has not panicked").expect("they come one after the other");
    }
    assert_eq!(store.states().await.expect("the store answers").len(), 1);
    assert_eq!(committed(&store, "p").await.scanned, at(&read, 8).scanned);
    assert_eq!(found(&place, "SELECT count(*) FROM model").await, 8);
    assert_eq!(database.pool().size(), 1);
}

#[tokio::test]
async fn e_22_a_dropped_transaction_is_interrupted_and_a_pool_of_one_answers_again() {
    let Some((place, _database, store)) = pool_of_one().await else { return };
    create(&store, "p").await;
    for deadline in [SOON, Duration::from_millis(100)] {
        let (began, has_begun) = oneshot::channel();
        let endless = store.transact(deadline, move |mut unit| async move {
            lock(&mut unit, &key("p")).await?;
            run(unit.tx(), "INSERT INTO model VALUES (1)").await.expect("a row");
            began.send(()).expect("the test listens");
            run(unit.tx(), ENDLESS).await.expect_err("it is interrupted");
            unit.savepoint().await?;
            Ok(())
        });
        tokio::pin!(endless);
        tokio::select! {
            biased;
            begun = has_begun => begun.expect("it has begun"),
            ended = &mut endless => panic!("it never ends by itself: {ended:?}"),
        }
        if deadline == SOON {
            // The statement is on its way.
            assert!(timeout(Duration::from_millis(50), &mut endless).await.is_err());
        } else {
            let error = endless.as_mut().await.expect_err("its time is up");
            assert_eq!(error.kind(), ErrorKind::Timeout, "{}", error.chain());
        }
    }
    let again = timeout(Duration::from_secs(3), committed(&store, "p"));
    assert_eq!(again.await.expect("the store answers again").scanned, None);
    assert_eq!(found(&place, "SELECT count(*) FROM model").await, 0);
}

/// What it leaves has to be cleared away, which takes the server a while after it has told of the error.
const FAILS: &str = "DO $$ BEGIN
    FOR n IN 1..30 LOOP EXECUTE format('CREATE TABLE made_%s (x int)', n); END LOOP;
    PERFORM 1 / 0;
END $$";

#[tokio::test]
async fn a_statement_that_has_failed_costs_no_connection_to_cancel_it() {
    let Some((place, _)) = with_model().await else { return };
    let proxy = Proxy::new(&place.url());
    let database = Database::open(&proxy.url(&place.url()), &place.options()).await.expect("it opens");
    let store = PgStore::new(&database);
    let read = create(&store, "p").await;
    let (next, before) = (at(&read, 1), proxy.connections());
    let done = transact(&store, move |mut unit| async move {
        for _ in 0..20 {
            unit.savepoint().await?;
            run(unit.tx(), FAILS).await.expect_err("it cannot be divided");
            unit.rollback_to().await?;
            unit.release().await?;
        }
        unit.commit(&read, &next).await
    });
    done.await.expect("the transaction goes on");
    assert!(proxy.connections() - before < 5, "{} after {before}", proxy.connections());
}

#[tokio::test]
async fn a_statement_that_a_projection_abandons_spoils_nothing() {
    let Some((place, store)) = with_model().await else { return };
    let read = create(&store, "p").await;
    let next = at(&read, 1);
    let done = transact(&store, move |mut unit| async move {
        unit.savepoint().await?;
        let abandoned = timeout(Duration::from_millis(20), run(unit.tx(), ENDLESS)).await;
        assert!(abandoned.is_err(), "it never ends by itself");
        unit.rollback_to().await?;
        run(unit.tx(), "INSERT INTO model VALUES (1)").await.expect("a row");
        unit.release().await?;
        unit.commit(&read, &next).await
    });
    timeout(Duration::from_secs(5), done).await.expect("it is cancelled").expect("the transaction goes on");
    assert_eq!(found(&place, "SELECT count(*) FROM model").await, 1);
}

#[tokio::test]
async fn e_14_the_tables_of_a_set_up_are_known_by_their_owner() {
    let Some((place, store)) = with_model().await else { return };
    for text in ["p", "q"] {
        create(&store, text).await;
    }
    let owns = async |text: &'static str, creates: &'static str, named: Vec<String>| {
        transact(&store, move |mut unit| async move {
            let state = lock(&mut unit, &key(text)).await?.state;
            unit.note_tables().await?;
            let created = run(unit.tx(), creates).await;
            let taken = unit.own_tables(&key(text).name, &named).await?;
            match created {
                Ok(()) => unit.commit(&state, &state).await?,
                Err(_) => unit.rollback().await?,
            }
            Ok(taken.into_iter().map(|taken| (taken.table, taken.owner.to_string())).collect::<Vec<_>>())
        })
        .await
        .expect("tables can be owned")
    };
    let odd =
        "CREATE TABLE \"Odd name\" (x int); CREATE TEMP TABLE passing (x int); CREATE TABLE plain (x int)";
    assert_eq!(owns("p", odd, Vec::new()).await, []);
    let schema = place.user_schema();
    let by_p = |table: &str| vec![(table.to_owned(), "p".to_owned())];
    for table in ["Odd name", "\"Odd name\"", "PLAIN", &format!("{schema}.plain"), "plain"] {
        assert_eq!(owns("q", "SELECT 1", vec![table.to_owned()]).await, by_p(table), "{table}");
    }
    assert_eq!(owns("q", "SELECT 1", vec!["passing".to_owned(), "\"Plain\"".to_owned()]).await, []);
    let refused = owns("q", "CREATE TABLE plain (x int)", vec!["plain".to_owned()]).await;
    assert_eq!(refused, by_p("plain"), "also after the statement that failed since it is there");
    assert_eq!(owns("q", "CREATE TABLE mine (x int)", Vec::new()).await, []);
}

#[tokio::test]
async fn e_14_a_table_that_somebody_else_creates_during_a_set_up_is_not_taken() {
    let Some((place, store)) = with_model().await else { return };
    for text in ["p", "q"] {
        create(&store, text).await;
    }
    // Emptied with p's tables when p is rebuilt, and refused to q: so it must not be p's.
    let elsewhere = place.raw().await;
    transact(&store, move |mut unit| async move {
        let state = lock(&mut unit, &key("p")).await?.state;
        unit.note_tables().await?;
        run(unit.tx(), "CREATE TABLE mine (x int)").await.expect("a table");
        let mut elsewhere = elsewhere;
        run(&mut elsewhere, "CREATE TABLE theirs (x int)").await.expect("another table");
        run(unit.tx(), "INSERT INTO theirs VALUES (1)").await.expect("it can be used");
        assert_eq!(unit.own_tables(&key("p").name, &[]).await?, []);
        unit.commit(&state, &state).await
    })
    .await
    .expect("nobody is in the way");
    let taken = transact(&store, |mut unit| async move {
        lock(&mut unit, &key("q")).await?;
        let named = ["mine".to_owned(), "theirs".to_owned()];
        let taken = unit.own_tables(&key("q").name, &named).await?;
        unit.rollback().await?;
        Ok(taken.into_iter().map(|taken| taken.table).collect::<Vec<_>>())
    });
    assert_eq!(taken.await.expect("nobody is in the way"), ["mine"]);
}

#[tokio::test]
async fn nothing_is_left_open_behind_a_batch() {
    let Some(place) = Place::new().await else { return };
    let options = place.options().application_name(place.schema());
    let database = Database::open(&place.url(), &options).await.expect("it opens");
    let store = PgStore::new(&database);
    let mut read = create(&store, "p").await;
    for n in 1..=20 {
        let (from, next) = (read.clone(), at(&read, n));
        transact(&store, move |mut unit| async move {
            lock(&mut unit, &key("p")).await?;
            unit.commit(&from, &next).await
        })
        .await
        .expect("nobody is in the way");
        read = at(&read, n);
        let busy = transact(&store, |unit| async move {
            drop(unit);
            Err::<(), _>(Error::new(ErrorKind::Other, "fail on purpose"))
        });
        busy.await.expect_err("it fails on purpose");
    }
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}' AND xact_start IS NOT NULL",
        place.schema()
    );
    let none_open = async { while found(&place, &open).await > 0 {} };
    timeout(SOON, none_open).await.expect("every transaction has ended");
    assert!(database.pool().size() <= 8);
}

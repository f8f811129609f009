//! The server's own log: nobody who reads it is told of errors that are none.

use std::future;

use highwater::core::ports::{ReadModelStore as _, UnitOfWork as _};
use highwater_postgres::sqlx;
use highwater_postgres::{Database, PgOptions, PgStore};
use highwater_tests::postgres::{OwnCluster, Place, Proxy, Session};
use highwater_tests::projections::{AIRCRAFT, PG_RECORDER, TRAFFIC};
use highwater_tests::{BY_HUNDREDS, LIMIT, Sample, poll};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::kit::{assert_recorder_has_the_log, owner, terminate};

#[track_caller]
fn assert_quiet(cluster: &OwnCluster, when: &str) {
    let log = cluster.log();
    let loud = |line: &&str| ["ERROR", "FATAL", "PANIC", "WARNING"].iter().any(|word| line.contains(word));
    // Until it has started, a server refuses connections: those are the test's own.
    let loud: Vec<_> = log.lines().filter(loud).filter(|line| !line.contains("starting up")).collect();
    assert!(loud.is_empty(), "{when}: {loud:#?}");
}

#[test]
fn e_11_contention_leaves_no_error_in_the_servers_log() {
    let Some(cluster) = OwnCluster::start(&["log_min_messages=warning"]) else { return };
    let place = Place::on(&cluster.url());
    let folder = place.folder(&format!("{BY_HUNDREDS}{PG_RECORDER}{TRAFFIC}{AIRCRAFT}"));
    folder.ok(&["migrate"]);
    assert_quiet(&cluster, "before");
    let processes: Vec<_> = (0..3).map(|_| folder.spawn(&["run"])).collect();
    let (flights, webhooks) = (Sample::Flights.here(), Sample::Webhooks.here());
    for projection in ["recorder", "traffic", "aircraft"] {
        owner(&folder, &processes, projection);
    }
    let imports = [
        folder.spawn(&["import", flights.arg(), "--batch", "100"]),
        folder.spawn(&["import", webhooks.arg(), "--batch", "3"]),
    ];
    for round in 0..12 {
        folder.ok(&["pause", "recorder"]);
        folder.ok(&["append", "-s", "s-1", "-t", "T", "-d", &round.to_string()]);
        folder.ok(&["status"]);
        folder.ok(&["resume", "recorder"]);
        folder.ok(&["wait", "traffic", "head"]);
        folder.exits(5, &["rebuild", "aircraft", "--yes"]);
    }
    for import in imports {
        let output = import.wait(LIMIT);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }
    folder.ok(&["wait", "recorder", "head"]);
    assert_quiet(&cluster, "with three instances");
    processes.into_iter().for_each(terminate);
    assert_quiet(&cluster, "after they were stopped");
    assert_recorder_has_the_log(&place, &place.session());
}

/// Drops what a task waits for, whatever that is.
async fn drop_it(task: JoinHandle<()>) {
    task.abort();
    assert!(task.await.is_err_and(|end| end.is_cancelled()), "it did not end by itself");
}

/// How many sessions, but our own, there are for which `filter` holds.
fn sessions(admin: &Session, filter: &str) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                 AND pid <> pg_backend_pid() AND ";
    admin.number(&format!("{count}{filter}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_dropped_when_it_is_nearly_done_is_not_cancelled() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let database = Database::open(&cluster.url(), &PgOptions::default()).await.expect("it opens");
    let store = PgStore::new(&database);
    let admin = cluster.session();
    admin.run("SELECT pg_advisory_lock(7)");
    let task = tokio::spawn(async move {
        let waits = store.transact(LIMIT, |mut unit| async move {
            let waited = sqlx::query("SELECT pg_advisory_xact_lock(7)").execute(unit.tx()).await;
            panic!("it was dropped before: {waited:?}")
        });
        waits.await.expect("it never comes to that")
    });
    poll("the statement", LIMIT, || (sessions(&admin, "wait_event_type = 'Lock'") > 0).then_some(()));
    drop_it(task).await;
    admin.run("SELECT pg_advisory_unlock(7)");
    poll("its end", LIMIT, || (sessions(&admin, "state <> 'idle'") == 0).then_some(()));
    timeout(LIMIT, database.pool().close()).await.expect("nobody uses the connections");
    assert_quiet(&cluster, "afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_is_dropped_is_not_sent_twice() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let proxy = Proxy::to(&cluster.url());
    let database = Database::open(&proxy.url(&cluster.url()), &PgOptions::default()).await.expect("it opens");
    let store = PgStore::new(&database);
    let (begins, begun) = oneshot::channel();
    let (goes_on, go_on) = oneshot::channel();
    let task = tokio::spawn(async move {
        let undoes = store.transact(LIMIT, |unit| async move {
            begins.send(()).expect("the test listens");
            go_on.await.expect("the test lives");
            unit.rollback().await?;
            future::pending().await
        });
        undoes.await.expect("it never comes to that")
    });
    let admin = cluster.session();
    begun.await.expect("it begins");
    proxy.hold_answers();
    goes_on.send(()).expect("it waits");
    let rolled_back = "query LIKE 'ROLLBACK%' AND state = 'idle'";
    poll("the rollback", LIMIT, || (sessions(&admin, rolled_back) > 0).then_some(()));
    drop_it(task).await;
    proxy.resume();
    timeout(LIMIT, database.pool().close()).await.expect("nobody uses the connections");
    assert_quiet(&cluster, "afterwards");
}

//! The store when the server, or the way to it, is lost. The way is a proxy inside the test, which can be cut
//! at a chosen moment and counts flights.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use highwater_core::ErrorKind;
use highwater_core::policy::Class;
use highwater_core::ports::{ReadModelStore, UnitOfWork};
use highwater_postgres::{Database, PgStore};

use crate::kit::Place;
use crate::store_kit::{
    ENDLESS, SOON, at, class, committed, create, found, key, lock, number, run, transact, with_model,
};

const OPEN: u8 = 0;
/// The next request is not passed on; the connection is closed.
const CUT_REQUEST: u8 = 1;
/// The next answer is not passed on; the connection is closed.
const CUT_ANSWER: u8 = 2;
/// Nothing more is passed on, and nothing is closed.
const SILENT: u8 = 3;

/// A way to the server that fails when it is told to.
#[derive(Default)]
struct Proxy {
    mode: AtomicU8,
    flights: AtomicU32,
    asking: AtomicBool,
}

impl Proxy {
    /// A proxy before the place's server, and the address of that way.
    async fn start(place: &Place) -> (Arc<Self>, String) {
        let url = place.url();
        let (before, rest) = url.split_once('@').expect("an address with a user");
        let (server, behind) = rest.split_once('/').expect("an address with a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (proxy, server) = (Arc::new(Self::default()), server.to_owned());
        let shared = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { return };
                tokio::spawn(shared.clone().pass(client, server));
            }
        });
        (proxy, format!("{before}@127.0.0.1:{port}/{behind}"))
    }

    async fn pass(self: Arc<Self>, mut client: TcpStream, mut server: TcpStream) {
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let Some(length) = read.ok().filter(|length| *length > 0) else { return };
                    if !self.asking.swap(true, Ordering::SeqCst) {
                        self.flights.fetch_add(1, Ordering::SeqCst);
                    }
                    match self.mode.load(Ordering::SeqCst) {
                        CUT_REQUEST => return self.mode.store(OPEN, Ordering::SeqCst),
                        SILENT => {}
                        _ => if server.write_all(&asked[..length]).await.is_err() { return },
                    }
                }
                read = server.read(&mut answered) => {
                    let Some(length) = read.ok().filter(|length| *length > 0) else { return };
                    self.asking.store(false, Ordering::SeqCst);
                    match self.mode.load(Ordering::SeqCst) {
                        CUT_ANSWER => return self.mode.store(OPEN, Ordering::SeqCst),
                        SILENT => {}
                        _ => if client.write_all(&answered[..length]).await.is_err() { return },
                    }
                }
            }
        }
    }
}

async fn behind_a_proxy() -> Option<(Place, Arc<Proxy>, PgStore)> {
    let place = Place::new().await?;
    let (proxy, url) = Proxy::start(&place).await;
    // The control connection would take part in what is counted and cut.
    let options = place.options().max_connections(1).notify(false);
    let database = Database::open(&url, &options).await.expect("it opens");
    place.execute("CREATE TABLE model (x int PRIMARY KEY)").await;
    Some((place, proxy, PgStore::new(&database)))
}

#[tokio::test]
async fn e_10_a_commit_whose_answer_is_lost_is_unknown_and_the_state_tells() {
    let Some((place, proxy, store)) = behind_a_proxy().await else { return };
    let mut read = create(&store, "p").await;
    for (n, mode) in (1..).zip([CUT_REQUEST, CUT_ANSWER]) {
        let (from, next, cut) = (read.clone(), at(&read, n), proxy.clone());
        let job = transact(&store, move |mut unit| async move {
            lock(&mut unit, &key("p")).await?;
            run(unit.tx(), &format!("INSERT INTO model VALUES ({n})")).await.expect("a row");
            cut.mode.store(mode, Ordering::SeqCst);
            unit.commit(&from, &next).await
        });
        let error = job.await.expect_err("the answer is lost");
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{}", error.chain());
        let happened = mode == CUT_ANSWER;
        let after = committed(&store, "p").await;
        assert_eq!(after.scanned == at(&read, n).scanned, happened);
        let rows = format!("SELECT count(*) FROM model WHERE x = {n}");
        assert_eq!(found(&place, &rows).await, i64::from(happened), "as the state says");
        read = after;
    }
}

#[tokio::test]
async fn e_17_a_lost_connection_is_transient_and_the_store_answers_again() {
    let Some((place, proxy, store)) = behind_a_proxy().await else { return };
    let read = create(&store, "p").await;
    for mode in [CUT_REQUEST, CUT_ANSWER] {
        let (from, next, cut) = (read.clone(), at(&read, 1), proxy.clone());
        let job = transact(&store, move |mut unit| async move {
            lock(&mut unit, &key("p")).await?;
            unit.savepoint().await?;
            cut.mode.store(mode, Ordering::SeqCst);
            let error = run(unit.tx(), "INSERT INTO model VALUES (1)").await.expect_err("it is cut");
            assert_eq!(class(error), Class::Transient);
            let error = unit.rollback_to().await.expect_err("nobody is there");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
            unit.commit(&from, &next).await
        });
        let error = job.await.expect_err("there is nothing to commit");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
        assert_eq!(committed(&store, "p").await.scanned, None);
    }
    assert_eq!(found(&place, "SELECT count(*) FROM model").await, 0);
}

#[tokio::test]
async fn e_17_a_terminated_backend_is_transient_and_the_store_answers_again() {
    let Some((_place, store)) = with_model().await else { return };
    create(&store, "p").await;
    let job = transact(&store, |mut unit| async move {
        lock(&mut unit, &key("p")).await?;
        unit.savepoint().await?;
        let ended = run(unit.tx(), "SELECT pg_terminate_backend(pg_backend_pid())").await;
        assert_eq!(class(ended.expect_err("it ends itself")), Class::Transient);
        unit.rollback_to().await
    });
    let error = job.await.expect_err("the transaction is lost");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    assert_eq!(committed(&store, "p").await.scanned, None);
}

#[tokio::test]
async fn connections_that_died_while_they_were_idle_are_not_used() {
    let Some((place, store)) = with_model().await else { return };
    create(&store, "p").await;
    let own =
        transact(
            &store,
            |mut unit| async move { Ok(number(unit.tx(), "SELECT pg_backend_pid()::bigint").await) },
        );
    let own = own.await.expect("the store answers");
    assert_eq!(found(&place, &format!("SELECT pg_terminate_backend({own})::int::bigint")).await, 1);
    let gone = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {own}");
    while found(&place, &gone).await > 0 {}
    assert_eq!(committed(&store, "p").await.scanned, None, "without an error");
}

#[tokio::test]
async fn e_22_a_server_that_falls_silent_costs_a_deadline_and_no_connection() {
    let Some((_place, proxy, store)) = behind_a_proxy().await else { return };
    create(&store, "p").await;
    let cut = proxy.clone();
    let job = store.transact(Duration::from_millis(100), move |mut unit| async move {
        lock(&mut unit, &key("p")).await?;
        cut.mode.store(SILENT, Ordering::SeqCst);
        run(unit.tx(), ENDLESS).await.expect_err("it never answers");
        Ok(())
    });
    let error = timeout(SOON, job).await.expect("it is given up").expect_err("its time is up");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{}", error.chain());
    proxy.mode.store(OPEN, Ordering::SeqCst);
    let again = timeout(SOON, committed(&store, "p"));
    assert_eq!(again.await.expect("a pool of one has a connection again").scanned, None);
}

#[tokio::test]
async fn a_clean_batch_takes_six_flights() {
    let Some((_place, proxy, store)) = behind_a_proxy().await else { return };
    let mut read = create(&store, "p").await;
    for n in 1..=3_u32 {
        let (from, next, seen) = (read.clone(), at(&read, n.into()), proxy.clone());
        while store.database().pool().num_idle() == 0 {
            tokio::task::yield_now().await;
        }
        let before = proxy.flights.load(Ordering::SeqCst);
        let flights = transact(&store, move |mut unit| async move {
            lock(&mut unit, &key("p")).await?;
            unit.savepoint().await?;
            unit.statement_timeout(None).await?;
            run(unit.tx(), &format!("INSERT INTO model VALUES ({n})")).await.expect("a row");
            unit.release().await?;
            let flights = seen.flights.load(Ordering::SeqCst) - before;
            unit.commit(&from, &next).await?;
            Ok(flights)
        });
        let flights = flights.await.expect("nobody is in the way");
        while store.database().pool().num_idle() == 0 {
            tokio::task::yield_now().await;
        }
        // The first one prepares statements.
        if n > 1 {
            assert_eq!(flights, 5, "begin, lock, savepoint, the statement, release");
            let all = proxy.flights.load(Ordering::SeqCst) - before;
            assert!((6..=8).contains(&all), "{all}: the commit, and the way back to the pool");
        }
        read = at(&read, n.into());
    }
}

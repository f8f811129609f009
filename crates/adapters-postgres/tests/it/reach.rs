//! Why there is no connection, said soon; and the end of those that there are.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tokio::time::timeout;

use highwater_core::ErrorKind;
use highwater_core::ports::{AppendEvents, Claim, EventLog};
use highwater_postgres::sqlx::{Connection, Executor};
use highwater_postgres::{Database, PgConnection, PgLog};
use highwater_testkit::fixtures::append_range;

use crate::kit::Place;
use crate::proxy::{Proxy, pass_on};

/// Well before the five seconds for which the driver's pool tries.
const AT_ONCE: Duration = Duration::from_millis(1500);

async fn head_fails(database: &Database) -> highwater_core::Error {
    let log = PgLog::new(database);
    let head = timeout(AT_ONCE, log.head()).await.expect("it is known at once");
    head.expect_err("there is no connection")
}

/// Ends the connection with which a database was opened.
async fn forget(database: &Database) {
    let opened = database.pool().acquire().await.expect("it is in the pool");
    opened.close().await.expect("it ends");
}

#[tokio::test]
async fn a_server_that_refuses_connections_is_named_at_once() {
    let Some(place) = Place::new().await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let server = Proxy::server_of(&place.url());
    let url = place.url().replacen(&server, &address.to_string(), 1);
    // Lets one connection in, with which the database is opened, and then listens no more.
    let once = std::thread::spawn(move || {
        let (client, _) = listener.accept().expect("somebody comes");
        drop(listener);
        pass_on(client, TcpStream::connect(server).expect("the server is there"));
    });
    let database = Database::open(&url, &place.options().notify(false)).await.expect("the database opens");
    forget(&database).await;
    once.join().expect("it has let one in");
    let many = futures_util::future::join_all((0..20).map(|_| head_fails(&database))).await;
    for error in many {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = error.to_string() + &error.chain();
        assert!(text.contains("refused") && text.contains(&address.to_string()), "{text}");
    }
    let claim = timeout(AT_ONCE, database.control().claim("p")).await.expect("it is known at once");
    let text = claim.expect_err("there is no connection").chain();
    assert!(text.contains("refused") && text.contains(&address.to_string()), "{text}");
}

#[tokio::test]
async fn a_full_server_is_told_from_a_pool_that_is_all_in_use() {
    let Some(place) = Place::new().await else { return };
    let owner = place.database().await;
    let role = format!("{}_role", place.schema());
    place
        .execute(&format!(
            "CREATE ROLE {role} LOGIN CONNECTION LIMIT 1; GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role};
             GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
            schema = place.schema()
        ))
        .await;
    let url = place.url().replacen("//postgres@", &format!("//{role}@"), 1);
    let options =
        place.options().notify(false).max_connections(1).connect_timeout(Duration::from_millis(600));
    let database = Database::open(&url, &options).await.expect("the database opens");
    forget(&database).await;

    let theirs = loop {
        // The server needs a moment to notice.
        if let Ok(connection) = PgConnection::connect(&url).await {
            break connection;
        }
    };
    let error = head_fails(&database).await;
    assert_eq!((error.kind(), error.backend_code()), (ErrorKind::Unavailable, Some("53300")), "{error:?}");
    theirs.close().await.expect("it ends");

    let ours = loop {
        // The server needs a moment to notice.
        if let Ok(connection) = database.pool().acquire().await {
            break connection;
        }
    };
    let error = head_fails(&database).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.chain().contains("all 1 connections of the pool are in use"), "{}", error.chain());
    // It is not the full server that matters to whoever can wait for a connection of ours.
    let log = PgLog::new(&database);
    let waiting = log.head();
    tokio::pin!(waiting);
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "it waits");
    drop(ours);
    waiting.await.expect("the connection came back");
    database.close().await;
    place.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    drop(owner);
}

#[tokio::test]
async fn what_the_server_will_not_take_is_not_waited_for() {
    let Some(place) = Place::new().await else { return };
    let setting = format!("{}&options[work_mem]=-5", place.url());
    let error = Database::open(&setting, &place.options()).await.expect_err("there is no such setting");
    assert_eq!((error.kind(), error.backend_code()), (ErrorKind::Unsupported, Some("22023")), "{error:?}");

    let role = format!("{}_role", place.schema());
    let owner = place.database().await;
    place
        .execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
            schema = place.schema()
        ))
        .await;
    let url = place.url().replacen("//postgres@", &format!("//{role}@"), 1);
    let database = Database::open(&url, &place.options().notify(false)).await.expect("the database opens");
    forget(&database).await;
    place.execute(&format!("ALTER ROLE {role} NOLOGIN")).await;
    let error = head_fails(&database).await;
    assert_eq!(error.kind(), ErrorKind::AccessDenied, "{error:?}");
    place.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    drop(owner);
}

#[tokio::test]
async fn a_process_that_appends_once_and_ends_wakes_the_others() {
    let Some(place) = Place::new().await else { return };
    let there = place.database().await;
    let mut appended = there.control().appended();
    // The connection stands when it answers; what it says at first has been said by then.
    assert!(there.control().owner("nothing").await.expect("the server answers").is_none());
    appended.mark_unchanged();
    let once = place.database().await;
    let log = PgLog::new(&once);
    append_range(&log, 0..1).await.expect("the log takes it");
    once.close().await;
    let woken = timeout(Duration::from_millis(200), appended.changed()).await;
    woken.expect("it is told before the end").expect("it is watched");
    let error = log.append(&[]).await.err().or(log.head().await.err()).expect("it is closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    timeout(AT_ONCE, once.close()).await.expect("there is nothing left to do");

    // The last handle was dropped, and nobody has closed it.
    appended.mark_unchanged();
    append_range(&PgLog::new(&place.database().await), 1..2).await.expect("the log takes it");
    timeout(AT_ONCE, appended.changed()).await.expect("it is told all the same").expect("it is watched");
}

#[tokio::test]
async fn closing_bounds_itself_and_leaving_keeps_the_pool() {
    let Some(place) = Place::new().await else { return };
    let (a, b) = (place.database().await, place.database().await);
    let Claim::Owned(_lease) = a.control().claim("p").await.expect("the server answers") else {
        panic!("nobody has it");
    };
    let mut busy = a.pool().acquire().await.expect("a connection");
    a.leave().await;
    let taken = b.control().claim("p").await.expect("the server answers");
    assert!(matches!(taken, Claim::Owned(_)), "it was given up");
    busy.execute("SELECT 1").await.expect("the pool is as it was");
    PgLog::new(&a).head().await.expect("the pool is as it was");
    // One is in use, and stays so.
    timeout(Duration::from_secs(4), a.close()).await.expect("it does not wait for ever");
}

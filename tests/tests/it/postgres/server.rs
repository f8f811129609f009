//! Servers that refuse, are missing, cannot be written, or go away: what waits, what stops, and what is said.

use std::error::Error as StdError;
use std::time::Duration;

use highwater::core::error::{Error, ErrorKind, Retry};
use highwater::core::policy::{Class, ClassifyError as _};
use highwater_postgres::sqlx;
use highwater_postgres::{Database, PgClassifier, PgOptions};
use highwater_tests::postgres::{OwnCluster, Place, Proxy};
use highwater_tests::{LIMIT, poll};

/// Opening must fail.
async fn refused(url: &str) -> Error {
    let options = PgOptions::default().connect_timeout(Duration::from_secs(10));
    Database::open(url, &options).await.expect_err("it cannot be opened")
}

/// Time alone may mend it: who meets it waits and tries again.
#[track_caller]
fn waits(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    assert!(matches!(error.retryable(), Retry::After(_)), "{error:?}");
}

/// Time mends nothing: who meets it stops.
#[track_caller]
fn stops(error: &Error, kind: ErrorKind, code: &str) {
    assert_eq!(error.kind(), kind, "{}", error.chain());
    assert_eq!(error.retryable(), Retry::Never, "{error:?}");
    assert_eq!(error.backend_code(), Some(code), "{}", error.chain());
}

/// The message names the server and all of this, and no secret.
#[track_caller]
fn says(error: &Error, server: &str, texts: &[&str]) {
    let said = error.chain();
    for text in [&[server], texts].concat() {
        assert!(said.contains(text), "the message does not name {text:?}: {said}");
    }
    assert!(!said.contains("secret"), "{said}");
    let first = said.chars().next();
    assert!(first.is_some_and(char::is_lowercase), "{said}");
}

fn class(error: &(dyn StdError + 'static)) -> Class {
    PgClassifier.classify(error).expect("the driver's errors are known").class
}

#[tokio::test]
async fn who_may_not_enter_stops() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let server = format!("127.0.0.1:{}", cluster.port());
    let session = cluster.session();
    session.run("CREATE ROLE teller LOGIN PASSWORD 'secret'; CREATE ROLE stranger LOGIN PASSWORD 'secret'");
    cluster.admit("host all teller 127.0.0.1/32 scram-sha-256");

    let error = refused(&cluster.url_of("teller:not-the-secret", "postgres")).await;
    stops(&error, ErrorKind::AccessDenied, "28P01");
    says(&error, &server, &["connect to PostgreSQL", "teller"]);

    let error = refused(&cluster.url_of("stranger:secret", "postgres")).await;
    stops(&error, ErrorKind::AccessDenied, "28000");
    says(&error, &server, &["stranger"]);

    let error = refused(&cluster.url_of("postgres", "no_such_database")).await;
    stops(&error, ErrorKind::NotFound, "3D000");
    says(&error, &server, &["no_such_database", "create the database first"]);

    // It may enter, and may not create our schema.
    let error = refused(&cluster.url_of("teller:secret", "postgres")).await;
    stops(&error, ErrorKind::AccessDenied, "42501");
    says(&error, &server, &["bring the database up to date"]);

    session.run("GRANT CREATE ON DATABASE postgres TO teller");
    Database::open(&cluster.url_of("teller:secret", "postgres"), &PgOptions::default())
        .await
        .expect("nothing else is missing");
}

#[tokio::test]
async fn a_full_server_is_waited_for() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let session = cluster.session();
    session.run("CREATE ROLE teller LOGIN CONNECTION LIMIT 0; GRANT CREATE ON DATABASE postgres TO teller");
    let url = cluster.url_of("teller", "postgres");
    let error = refused(&url).await;
    waits(&error);
    assert_eq!(error.backend_code(), Some("53300"));
    says(&error, &format!("127.0.0.1:{}", cluster.port()), &["too many connections"]);
    session.run("ALTER ROLE teller CONNECTION LIMIT 5");
    Database::open(&url, &PgOptions::default()).await.expect("there is room");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_waited_for() {
    let mut nobody = Proxy::to("postgres://127.0.0.1:1");
    nobody.refuse();
    let url = nobody.url("postgres://user:secret@somewhere/shop");
    let error = refused(&url).await;
    waits(&error);
    says(&error, "127.0.0.1", &["connect to PostgreSQL", "/shop", "refused"]);

    // The proxy takes the connection, and ends it, since there is no server behind it.
    nobody.listen();
    waits(&refused(&url).await);

    // A name that no name server knows, by its standard.
    let error = refused("postgres://user:secret@nowhere.invalid/shop").await;
    waits(&error);
    says(&error, "nowhere.invalid:5432/shop", &[]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_without_end() {
    let Some(place) = Place::new() else { return };
    let proxy = Proxy::to(&place.url());
    let url = proxy.url(&place.url());
    proxy.hold();
    let options = place.options().connect_timeout(Duration::from_millis(200));
    let error = Database::open(&url, &options).await.expect_err("it is silent");
    waits(&error);
    says(&error, "127.0.0.1", &["no answer within 200 ms"]);
    proxy.resume();
    Database::open(&url, &place.options()).await.expect("it answers again");
}

#[tokio::test]
async fn a_standby_is_refused_until_it_is_promoted() {
    let Some(primary) = OwnCluster::start(&[]) else { return };
    let standby = primary.standby();
    let error = refused(&standby.url()).await;
    waits(&error);
    says(&error, &format!("127.0.0.1:{}", standby.port()), &["read-only standby", "primary"]);

    // The tables are there by way of the primary; it is a standby none the less.
    Database::open(&primary.url(), &PgOptions::default()).await.expect("the primary takes writes");
    poll("the tables on the standby", LIMIT, || {
        standby.session().try_number("SELECT count(*) FROM highwater.migration").filter(|steps| *steps > 0)
    });
    waits(&refused(&standby.url()).await);

    standby.promote();
    Database::open(&standby.url(), &PgOptions::default()).await.expect("it was promoted");
}

#[tokio::test]
async fn a_pool_lives_on_when_its_server_was_restarted() {
    let Some(mut cluster) = OwnCluster::start(&[]) else { return };
    let options = PgOptions::default().max_connections(2).connect_timeout(Duration::from_secs(1));
    let database = Database::open(&cluster.url(), &options).await;
    let database = database.expect("the server is up");
    let one = || async { sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(database.pool()).await };
    assert_eq!(one().await.expect("the server is up"), 1);

    for crash in [OwnCluster::stop, OwnCluster::crash, OwnCluster::kill] {
        // A connection in the middle of a transaction, and one that lies in the pool.
        let mut transaction = database.pool().begin().await.expect("the server is up");
        assert_eq!(one().await.expect("the server is up"), 1);
        crash(&mut cluster);
        let lost =
            sqlx::query("SELECT 1").execute(&mut *transaction).await.expect_err("it has lost its server");
        assert_eq!(class(&lost), Class::Transient, "{lost:?}");
        drop(transaction);
        let lost = one().await.expect_err("so has the pool");
        assert_eq!(class(&lost), Class::Transient, "{lost:?}");
        waits(&refused(&cluster.url()).await);

        cluster.start_again();
        // Connections of the server that was before may still lie in the pool: each is found out once.
        for _ in 0..2 {
            match one().await {
                Ok(_) => break,
                Err(error) => assert_eq!(class(&error), Class::Transient, "{error:?}"),
            }
        }
        assert_eq!(one().await.expect("the pool has new connections"), 1);
    }
}

#[tokio::test]
async fn a_killed_process_of_the_server_costs_the_connections_and_no_more() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let database = Database::open(&cluster.url(), &PgOptions::default()).await.expect("the server is up");
    sqlx::raw_sql("CREATE TABLE ledger AS SELECT 1 AS entry")
        .execute(database.pool())
        .await
        .expect("a table");
    let mut transaction = database.pool().begin().await.expect("a transaction");
    sqlx::query("INSERT INTO ledger VALUES (2)").execute(&mut *transaction).await.expect("a row");
    let victim = cluster.session();
    cluster.kill_backend(victim.pid());
    let lost = transaction.commit().await.expect_err("its connection was ended, too");
    assert_eq!(class(&lost), Class::Transient, "{lost:?}");
    // It recovers by itself; until then it refuses, and that passes.
    let entries = poll("the server's recovery", LIMIT, || {
        highwater_tests::postgres::Session::try_open(&cluster.url())
            .ok()
            .map(|session| session.number("SELECT count(*) FROM ledger"))
    });
    assert_eq!(entries, 1, "what was committed, and nothing else");
}

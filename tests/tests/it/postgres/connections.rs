//! Connections that a server does not give: none left, a password that is wrong, nobody there. What time may mend is
//! waited for; what it does not stops, and says so.

use std::future;

use highwater::{Failure, Highwater, Outcome, Projection, RecordedEvent};
use highwater_postgres::PgConnection;
use highwater_postgres::sqlx::{self, AssertSqlSafe, Executor as _};
use highwater_tests::postgres::{OwnCluster, Place, Proxy, Session};
use highwater_tests::projections::PG_RECORDER;
use highwater_tests::{Folder, LIMIT, Sample, poll};
use tokio::time::timeout;

use super::failures::IMPATIENT;
use super::kit::{about, assert_recorder_has_the_log, recorded, terminate};
use crate::support::status;

/// A place on a server for a user `teller`, and the address for it.
fn for_the_teller(cluster: &OwnCluster, role: &str) -> (Place, String) {
    let place = Place::on(&cluster.url());
    place.session().run(&format!(
        "CREATE ROLE teller LOGIN {role}; GRANT CREATE ON DATABASE postgres TO teller; \
         GRANT ALL ON SCHEMA {} TO teller",
        place.user_schema()
    ));
    let url = place.url().replace("postgres://postgres@", "postgres://teller@");
    (place, url)
}

/// Ends the teller's sessions, of which there must be some; returns when they are gone.
#[track_caller]
fn end_sessions(admin: &Session) {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'teller'";
    assert!(admin.number(end) > 0, "the teller was there");
    nobody_is_left(admin);
}

#[track_caller]
fn nobody_is_left(admin: &Session) {
    let left = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'teller'";
    poll("the end of the sessions", LIMIT, || (admin.number(left) == 0).then_some(()));
}

/// Writes each event down in a table of its own.
struct Diary(&'static str);

impl Projection<PgConnection> for Diary {
    async fn setup(&self, tx: &mut PgConnection) -> Result<(), Failure> {
        let create = format!("CREATE TABLE {} (nr bigserial PRIMARY KEY, id uuid NOT NULL UNIQUE)", self.0);
        tx.execute(sqlx::raw_sql(AssertSqlSafe(create))).await?;
        Ok(())
    }

    async fn apply(&self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), Failure> {
        let insert = format!("INSERT INTO {} (id) VALUES ($1)", self.0);
        sqlx::query(AssertSqlSafe(insert)).bind(event.id()).execute(tx).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn e_23_a_pool_of_one_beside_the_control_connection_is_enough_for_many_projections() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let (place, url) = for_the_teller(&cluster, "");
    let admin = place.session();
    let folder = Folder::with_log(&place.table_at("log", &url), "");
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    nobody_is_left(&admin);
    // The server gives no more than these two, not even for a moment.
    admin.run("ALTER ROLE teller CONNECTION LIMIT 2");
    let diaries = ["one", "two", "three"];
    let builder = Highwater::builder().postgres_with(&url, place.options().max_connections(1));
    let builder = diaries.iter().fold(builder, |b, name| b.projection(name, Diary(name), |o| o));
    let highwater = builder.start().await.expect("it starts");
    let report = timeout(LIMIT, highwater.run_until_caught_up(future::pending())).await;
    let report = report.expect("they take turns").expect("the log answers");
    assert!(report.projections.iter().all(|it| it.outcome == Outcome::CaughtUp), "{report:?}");
    for diary in diaries {
        let wrong = format!(
            "SELECT count(*) FROM highwater.event e FULL JOIN (SELECT id, row_number() OVER (ORDER BY nr) AS n \
             FROM {diary}) d ON d.id = e.id WHERE d.n IS DISTINCT FROM e.position"
        );
        assert_eq!(admin.number(&place.sql(&wrong)), 0, "{diary}: each event once, in order");
        assert_eq!(admin.number(&format!("SELECT count(*) FROM {diary}")), 726);
    }
}

#[test]
fn no_connection_left_is_waited_for() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let (place, url) = for_the_teller(&cluster, "");
    let admin = place.session();
    let folder = Folder::with_log(&place.table_at("log", &url), &format!("{IMPATIENT}{PG_RECORDER}"));
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    admin.run("ALTER ROLE teller CONNECTION LIMIT 0");
    end_sessions(&admin);
    running.logs("it waits", LIMIT, |line| line.to_string().contains("too many connections"));
    folder.exits(4, &["status"]).says(&["too many connections"]);
    admin.run(&place.sql("SELECT highwater.append('late-1', '{\"type\": \"Late\"}')"));
    admin.run("ALTER ROLE teller CONNECTION LIMIT -1");
    poll("the late event", LIMIT, || (recorded(&admin) == 727).then_some(()));
    terminate(running);
    assert_recorder_has_the_log(&place, &admin);
}

#[test]
fn a_password_that_is_changed_under_it_stops_it_with_the_reason() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    let (place, url) = for_the_teller(&cluster, "PASSWORD 'secret'");
    cluster.admit("host all teller 127.0.0.1/32 scram-sha-256");
    let admin = place.session();
    let url = url.replace("teller@", "teller:secret@");
    let folder = Folder::with_log(&place.table_at("log", &url), &format!("{IMPATIENT}{PG_RECORDER}"));
    folder.ok(&["import", Sample::Webhooks.here().arg()]);
    let mut running = folder.spawn(&["run"]);
    running.logs("it is caught up", LIMIT, about("caught up", "recorder"));
    admin.run("ALTER ROLE teller PASSWORD 'another'");
    end_sessions(&admin);
    admin.run(&place.sql("SELECT highwater.append('late-1', '{\"type\": \"Late\"}')"));
    running.logs("it is faulted", LIMIT, |line| {
        about("faulted", "recorder")(line) && line.to_string().contains("password authentication failed")
    });
    // There is nothing left to run.
    let output = running.wait(LIMIT);
    assert_eq!(output.code, Some(1), "something is faulted: {}", output.stderr);
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
    admin.run("ALTER ROLE teller PASSWORD 'secret'");
    folder.ok(&["run", "--until-caught-up", "--fail-on-parked"]);
    assert_eq!(status(&folder, "recorder").failed("parked"), 0);
    assert_recorder_has_the_log(&place, &admin);
}

#[test]
fn x_12_what_keeps_it_from_starting_is_said_with_its_exit_code() {
    let Some(cluster) = OwnCluster::start(&[]) else { return };
    cluster.session().run("CREATE ROLE teller LOGIN PASSWORD 'secret'");
    cluster.admit("host all teller 127.0.0.1/32 scram-sha-256");
    let standby = cluster.standby();
    let nobody = {
        let mut nobody = Proxy::to("postgres://127.0.0.1:1");
        nobody.refuse();
        nobody.url("postgres://user:secret@somewhere/shop")
    };
    let refused = |url: &str, code: i32, texts: &[&str]| {
        let folder = Folder::with_log(&format!("[log]\nurl = \"{url}\"\n"), PG_RECORDER);
        for command in [&["run"][..], &["run", "--until-caught-up"], &["migrate"], &["status"]] {
            let output = folder.exits(code, command);
            output.says(texts);
            assert!(!output.stderr.contains("secret"), "a password is told: {}", output.stderr);
        }
    };
    refused(&cluster.url_of("teller:not-the-secret", "postgres"), 2, &["teller", "password", "28P01"]);
    refused(&cluster.url_of("postgres", "no_such_database"), 3, &["no_such_database", "create the database"]);
    refused(&standby.url(), 4, &["read-only standby", "primary"]);
    refused(&nobody, 4, &["127.0.0.1", "refused"]);
}

//! One live owner, through the control connection (E-11).

use std::process::{Child, Command};
use std::time::Duration;

use tokio::time::timeout;

use highwater_core::ErrorKind;
use highwater_core::ports::Claim;
use highwater_postgres::sqlx::{self, Connection, Row};
use highwater_postgres::{Database, Ownership, PgConnection, PgLease, PgOptions};

use crate::kit::Place;
use crate::proxy::Proxy;

const SOON: Duration = Duration::from_secs(20);
/// A stand-by has taken over within this time, whatever has become of the owner.
const TAKEOVER: Duration = Duration::from_secs(2);
/// An owner that gives up in order is followed at once: well before the next question of a stand-by, which
/// comes once a second.
const AT_ONCE: Duration = Duration::from_millis(250);

async fn pause() {
    assert!(timeout(Duration::from_millis(20), std::future::pending::<()>()).await.is_err());
}

/// Waits for a condition, which asks for itself.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let met = timeout(SOON, async {
        while !condition().await {
            pause().await;
        }
    });
    assert!(met.await.is_ok(), "{what}: not within {SOON:?}");
}

async fn claim(database: &Database, key: &str) -> Option<PgLease> {
    match database.control().claim(key).await.expect("the server answers") {
        Claim::Owned(lease) => Some(lease),
        Claim::Busy => None,
    }
}

/// Claims as a runner does, until the key is ours.
async fn own(database: &Database, key: &str) -> PgLease {
    loop {
        if let Ok(Claim::Owned(lease)) = database.control().claim(key).await {
            return lease;
        }
        pause().await;
    }
}

async fn owner(database: &Database, key: &str) -> Option<String> {
    database.control().owner(key).await.expect("the server answers").map(|owner| owner.name)
}

/// The server's process that holds the locks of the owner of a key.
async fn pid_of(place: &Place, raw: &mut PgConnection, key: &str) -> Option<i32> {
    let sql = format!("SELECT pid FROM {}.holders(ARRAY[$1])", place.schema());
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(key).fetch_optional(raw).await.expect("an answer")
}

async fn terminate(raw: &mut PgConnection, pid: i32) {
    let ended = sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(raw).await;
    ended.expect("the session is ended");
}

#[tokio::test]
async fn e_11_a_claim_excludes_every_other_until_it_is_dropped() {
    let Some(place) = Place::new().await else { return };
    let (a, b, observer) = (place.database().await, place.database().await, place.database().await);
    let mut lease = claim(&a, "p").await.expect("nobody has it");
    for round in 0..3 {
        let (owner_now, next) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        assert!(claim(next, "p").await.is_none(), "another process has it");
        assert!(claim(owner_now, "p").await.is_none(), "this process has it already");
        let name = owner(&observer, "p").await.expect("somebody has it");
        assert!(name.contains(&format!("process {} on ", std::process::id())), "{name}");
        // It stands by, waiting for the answer to its next claim, when the owner gives up.
        let taken = own(next, "p");
        tokio::pin!(taken);
        assert!(timeout(Duration::from_millis(50), &mut taken).await.is_err());
        drop(lease);
        lease = timeout(AT_ONCE, taken).await.expect("it is told at once");
    }
    assert!(claim(&a, "q").await.is_some(), "another key is free");
    drop(lease);
    until("nobody owns it", async || owner(&observer, "p").await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e_11_a_hundred_keys_stand_by_with_one_question_a_second_and_leave_a_live_owner_alone() {
    let Some(place) = Place::new().await else { return };
    let (a, b) = (place.database().await, place.database().await);
    let mut raw = place.raw().await;
    let keys: Vec<String> = (0..100).map(|n| format!("p{n}")).collect();
    let mut leases = Vec::new();
    for key in &keys {
        leases.push(claim(&a, key).await.expect("nobody has it"));
    }
    let pid = pid_of(&place, &mut raw, "p0").await.expect("a session holds it");
    for key in &keys {
        assert!(claim(&b, key).await.is_none(), "another process has it");
    }
    let (owning, standing_by) = (a.control().statements(), b.control().statements());
    let five_seconds =
        timeout(Duration::from_secs(5), futures_util::future::join_all(keys.iter().map(|key| own(&b, key))));
    assert!(five_seconds.await.is_err(), "they stay with their owner");
    for (who, asked) in
        [("owner", a.control().statements() - owning), ("stand-by", b.control().statements() - standing_by)]
    {
        assert!((3..=8).contains(&asked), "the {who} asked {asked} times in five seconds");
    }
    assert_eq!(pid_of(&place, &mut raw, "p0").await, Some(pid), "the owner's session was left alone");
    assert!(leases.iter().all(PgLease::is_held));
}

#[tokio::test]
async fn e_11_a_lost_control_session_is_noticed_and_its_locks_are_taken_back() {
    let Some(place) = Place::new().await else { return };
    let (a, mut raw) = (place.database().await, place.raw().await);
    let lease = claim(&a, "p").await.expect("nobody has it");
    let pid = pid_of(&place, &mut raw, "p").await.expect("a session holds it");
    terminate(&mut raw, pid).await;
    until("another session of the owner has it", async || {
        pid_of(&place, &mut raw, "p").await.is_some_and(|other| other != pid)
    })
    .await;
    until("the lease is good again", async || lease.is_held()).await;
    drop(lease);
    until("it is given up", async || pid_of(&place, &mut raw, "p").await.is_none()).await;
}

#[tokio::test]
async fn e_11_who_comes_between_a_lost_session_and_the_next_one_is_the_owner() {
    let Some(place) = Place::new().await else { return };
    let (a, mut raw, mut rival) = (place.database().await, place.raw().await, place.raw().await);
    let lease = claim(&a, "p").await.expect("nobody has it");
    let pid = pid_of(&place, &mut raw, "p").await.expect("a session holds it");
    let rival_pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut rival).await.expect("a pid");
    // Waits for the lock, and so is the first to have it.
    let sql = format!("SELECT pg_advisory_lock({}.lock_of('p'))", place.schema());
    let waits = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut rival);
    let (locked, ()) = tokio::join!(waits, async {
        until("the rival waits", async || {
            sqlx::query("SELECT FROM pg_locks WHERE pid = $1 AND locktype = 'advisory' AND NOT granted")
                .bind(rival_pid)
                .fetch_optional(&mut raw)
                .await
                .expect("an answer")
                .is_some()
        })
        .await;
        terminate(&mut raw, pid).await;
    });
    locked.expect("it is locked");
    until("the loss is noticed", async || !lease.is_held()).await;
    let rival_name = format!("session {rival_pid}");
    until("the rival is the owner", async || {
        // There may be no connection for a moment.
        matches!(a.control().owner("p").await, Ok(Some(owner)) if owner.name == rival_name)
    })
    .await;
    assert!(!lease.is_held(), "it was not taken back");
    rival.close().await.expect("it closes");
    timeout(TAKEOVER, until("it is taken back", async || lease.is_held())).await.expect("in time");
}

#[tokio::test]
async fn e_11_without_a_server_a_claim_fails_soon_and_what_was_owned_is_claimed_again_afterwards() {
    let Some(place) = Place::new().await else { return };
    let proxy = Proxy::new(&place.url());
    let options = place.options().connect_timeout(Duration::from_secs(2));
    let a = Database::open(&proxy.url(&place.url()), &options).await.expect("the database opens");
    let lease = claim(&a, "p").await.expect("nobody has it");
    let mut appended = a.control().appended();
    proxy.cut();
    until("the loss is noticed", async || !lease.is_held()).await;
    for key in ["p2", "p3"] {
        let answer = timeout(Duration::from_secs(3), a.control().claim(key)).await.expect("it does not hang");
        assert_eq!(answer.expect_err("there is no server").kind(), ErrorKind::Unavailable);
        let answer = timeout(Duration::from_secs(3), a.control().owner(key)).await.expect("it does not hang");
        assert_eq!(answer.expect_err("there is no server").kind(), ErrorKind::Unavailable);
    }
    appended.mark_unchanged();
    proxy.mend();
    until("it is taken back", async || lease.is_held()).await;
    assert!(appended.has_changed().expect("it is watched"), "who waits looks for what it has missed");
    assert!(claim(&a, "p2").await.is_some());
}

#[tokio::test]
async fn a_lease_alone_keeps_the_connection_and_the_last_handle_ends_it() {
    let Some(place) = Place::new().await else { return };
    let (a, mut raw) = (place.database().await, place.raw().await);
    let lease = claim(&a, "p").await.expect("nobody has it");
    let pid = pid_of(&place, &mut raw, "p").await.expect("a session holds it");
    drop(a);
    let other = place.database().await;
    assert!(claim(&other, "p").await.is_none(), "the lease lives");
    assert!(lease.is_held());
    drop(lease);
    until("its session ends", async || {
        sqlx::query("SELECT FROM pg_stat_activity WHERE pid = $1")
            .bind(pid)
            .fetch_optional(&mut raw)
            .await
            .expect("an answer")
            .is_none()
    })
    .await;
    let sql = format!("SELECT count(*) FROM {}.instance WHERE pid = $1", place.schema());
    let rows: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(pid).fetch_one(&mut raw).await.expect("a count");
    assert_eq!(rows, 0, "nothing is left of it");
}

#[tokio::test]
async fn closing_gives_everything_up_at_once_and_the_next_use_begins_anew() {
    let Some(place) = Place::new().await else { return };
    let (a, b) = (place.database().await, place.database().await);
    let lease = claim(&a, "p").await.expect("nobody has it");
    assert!(claim(&b, "p").await.is_none());
    let taken = own(&b, "p");
    let (taken, ()) = tokio::join!(timeout(AT_ONCE, taken), a.control().close());
    let taken = taken.expect("it is told at once");
    assert!(!lease.is_held());
    assert!(claim(&a, "p").await.is_none(), "another process has it");
    drop(lease);
    assert!(claim(&a, "q").await.is_some());
    assert!(taken.is_held());
}

/// An owner in a process of its own, for as long as it is let.
struct Other(Child);

const URL: &str = "HIGHWATER_POSTGRES_OWNER_URL";
const SCHEMA: &str = "HIGHWATER_POSTGRES_OWNER_SCHEMA";

impl Other {
    fn start(place: &Place) -> Self {
        let test = std::env::current_exe().expect("a running test has an executable");
        let mut command = Command::new(test);
        command.args(["--exact", "ownership::owns_and_sits", "--ignored"]);
        command.env(URL, place.url()).env(SCHEMA, place.schema()).stdout(std::process::Stdio::null());
        Self(command.spawn().expect("it starts"))
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status().expect("there is a kill");
        assert!(sent.success(), "{name} is sent to {pid}");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(|_| ())) {
            eprintln!("a process stays behind: {error}");
        }
    }
}

#[tokio::test]
#[ignore = "other tests run it, as a process that is stopped or dies"]
async fn owns_and_sits() {
    let variable = |name| std::env::var(name).expect("the other test sets it");
    let options = PgOptions::default().schema(variable(SCHEMA));
    let database = Database::open(&variable(URL), &options).await.expect("the database opens");
    // As a batch has its state row.
    let mut tx = database.pool().begin().await.expect("a transaction");
    sqlx::query("UPDATE batch SET n = n + 1").execute(&mut *tx).await.expect("the row is locked");
    let _lease = own(&database, "p").await;
    std::future::pending::<()>().await;
}

async fn takes_over_from(signal: &str) {
    let Some(place) = Place::new().await else { return };
    place.execute("CREATE TABLE batch (n int); INSERT INTO batch VALUES (0)").await;
    let (b, mut raw) = (place.database().await, place.raw().await);
    let other = Other::start(&place);
    until("the other process owns it", async || owner(&b, "p").await.is_some()).await;
    let name = owner(&b, "p").await.expect("somebody has it");
    assert!(name.contains(&format!("process {} on ", other.0.id())), "{name}");
    assert!(claim(&b, "p").await.is_none());
    let taken = own(&b, "p");
    tokio::pin!(taken);
    // It stands by for a while.
    assert!(timeout(Duration::from_millis(1200), &mut taken).await.is_err(), "the owner lives");
    other.signal(signal);
    let lease = timeout(TAKEOVER, taken).await.expect("it takes over in time");
    let update = sqlx::query("UPDATE batch SET n = n + 1 RETURNING n").fetch_one(&mut raw);
    let n: i32 = timeout(Duration::from_secs(1), update)
        .await
        .expect("the batch of the other one does not hold its rows any more")
        .expect("it is changed")
        .get(0);
    assert_eq!(n, 1, "that batch was rolled back");
    let name = owner(&b, "p").await.expect("somebody has it");
    assert!(name.contains(&format!("process {} on ", std::process::id())), "{name}");
    if signal == "-STOP" {
        // When it wakes up it connects again, and finds that it owns nothing.
        other.signal("-CONT");
        let sql = format!(
            "SELECT FROM {}.instance WHERE beat > (SELECT beat FROM {0}.instance WHERE pid = $1)",
            place.schema()
        );
        let pid = pid_of(&place, &mut raw, "p").await.expect("a session holds it");
        until("the other one beats again", async || {
            sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
                .bind(pid)
                .fetch_optional(&mut raw)
                .await
                .expect("an answer")
                .is_some()
        })
        .await;
    }
    assert!(lease.is_held());
}

#[cfg(unix)]
#[tokio::test]
async fn e_11_an_owner_that_is_killed_is_followed_in_less_than_two_seconds() {
    takes_over_from("-KILL").await;
}

#[cfg(unix)]
#[tokio::test]
async fn e_11_a_frozen_owner_and_its_batch_are_ended_in_less_than_two_seconds() {
    takes_over_from("-STOP").await;
}

/// As behind a pooler, with leases that are short enough for a test.
async fn leasing(place: &Place, term: Duration) -> Database {
    let options = place.options().ownership(Ownership::Lease).lease_term(term);
    Database::open(&place.url(), &options).await.expect("the database opens")
}

#[tokio::test]
async fn e_11_leases_exclude_are_renewed_and_are_given_up() {
    let Some(place) = Place::new().await else { return };
    let term = Duration::from_secs(1);
    let (a, b) = (leasing(&place, term).await, leasing(&place, term).await);
    let mut raw = place.raw().await;
    let lease = claim(&a, "p").await.expect("nobody has it");
    assert!(claim(&a, "p").await.is_none(), "this process has it already");
    assert!(claim(&b, "p").await.is_none(), "another process has it");
    let name = owner(&b, "p").await.expect("somebody has it");
    assert!(name.contains(&format!("process {} on ", std::process::id())), "{name}");
    // Beyond the term of the first, by the clock of the server.
    let sql = format!("SELECT expires_at > $1::timestamptz + interval '1.5 s' FROM {}.lease", place.schema());
    let first: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT expires_at FROM {}.lease", place.schema())))
            .fetch_one(&mut raw)
            .await
            .expect("a lease");
    until("it is renewed", async || {
        assert!(claim(&b, "p").await.is_none(), "another process has it");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone())).bind(first);
        query.fetch_one(&mut raw).await.expect("an answer")
    })
    .await;
    assert!(lease.is_held());
    drop(lease);
    let taken = timeout(TAKEOVER, own(&b, "p")).await.expect("it is given up");
    let sessions: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid IN
        (SELECT pid FROM pg_stat_activity WHERE application_name = current_setting('application_name'))",
    )
    .fetch_one(b.pool())
    .await
    .expect("a count");
    assert_eq!(sessions, 0, "a pooler would not keep them");
    drop(taken);
    until("nobody owns it", async || owner(&a, "p").await.is_none()).await;
}

#[tokio::test]
async fn e_11_a_lease_is_taken_over_when_it_has_run_out_and_not_before() {
    let Some(place) = Place::new().await else { return };
    let b = leasing(&place, Duration::from_secs(1)).await;
    let mut raw = place.raw().await;
    let dead =
        "INSERT INTO highwater.lease VALUES ('p', 'dead', 'a process', clock_timestamp() + interval '2 s')";
    place.execute(dead).await;
    let sql = format!("SELECT expires_at FROM {}.lease", place.schema());
    let expiry: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut raw).await.expect("a lease");
    assert!(claim(&b, "p").await.is_none(), "it has not run out");
    assert_eq!(owner(&b, "p").await.as_deref(), Some("a process"));
    let lease = timeout(SOON, own(&b, "p")).await.expect("it is taken over");
    let over: bool = sqlx::query_scalar("SELECT clock_timestamp() > $1")
        .bind(expiry)
        .fetch_one(&mut raw)
        .await
        .expect("an answer");
    assert!(over, "it was taken while it was another's");
    assert!(lease.is_held());
}

#[tokio::test]
async fn e_12_a_lease_row_that_another_has_taken_is_lost() {
    let Some(place) = Place::new().await else { return };
    let a = leasing(&place, Duration::from_secs(1)).await;
    let lease = claim(&a, "p").await.expect("nobody has it");
    place
        .execute("UPDATE highwater.lease SET instance = 'other', expires_at = expires_at + interval '1 h'")
        .await;
    until("the loss is noticed", async || !lease.is_held()).await;
    place.execute("DELETE FROM highwater.lease").await;
    until("it is taken back", async || lease.is_held()).await;
}

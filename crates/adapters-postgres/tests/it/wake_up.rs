//! Appends and commits of one process wake the others: a hint, through the control connection.

use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::time::timeout;

use highwater_postgres::sqlx;
use highwater_postgres::{Database, PgOptions};

use crate::kit::Place;

const SOON: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(300);

/// Returns when the control connection stands and listens; what it says at first has been said by then.
async fn listening(database: &Database) -> (Receiver<u64>, Receiver<u64>) {
    let (mut appended, mut committed) = (database.control().appended(), database.control().committed());
    assert!(database.control().owner("nothing").await.expect("the server answers").is_none());
    appended.mark_unchanged();
    committed.mark_unchanged();
    (appended, committed)
}

async fn wakes(watch: &mut Receiver<u64>) {
    timeout(SOON, watch.changed()).await.expect("it wakes").expect("it is watched");
}

#[tokio::test]
async fn an_append_wakes_its_own_process_at_once_and_others_soon() {
    let Some(place) = Place::new().await else { return };
    let (a, b) = (place.database().await, place.database().await);
    let (mut here, _) = listening(&a).await;
    let (mut there, mut commits_there) = listening(&b).await;
    for _ in 0..5 {
        a.control().announce_append();
        assert!(here.has_changed().expect("it is watched"), "at once");
        here.mark_unchanged();
        wakes(&mut there).await;
    }
    assert!(!commits_there.has_changed().expect("it is watched"), "an append is no commit of the store");
    a.control().announce_commit();
    wakes(&mut commits_there).await;
    assert!(!there.has_changed().expect("it is watched"), "a commit of the store is no append");
    // Its own notification comes back to it; that is not another one.
    assert!(a.control().owner("nothing").await.expect("the server answers").is_none());
    assert!(!here.has_changed().expect("it is watched"));
}

#[tokio::test]
async fn many_appends_are_one_notification() {
    let Some(place) = Place::new().await else { return };
    let (a, b) = (place.database().await, place.database().await);
    let ((_here, _), (mut there, _)) = (listening(&a).await, listening(&b).await);
    let before = a.control().statements();
    for _ in 0..1000 {
        a.control().announce_append();
    }
    wakes(&mut there).await;
    assert!(a.control().owner("nothing").await.expect("the server answers").is_none());
    let asked = a.control().statements() - before;
    assert!(asked <= 4, "{asked} statements for a thousand appends at a time");
}

#[tokio::test]
async fn a_lost_connection_wakes_and_the_next_one_listens() {
    let Some(place) = Place::new().await else { return };
    let (a, b) = (place.database().await, place.database().await);
    let ((_here, _), (mut there, mut commits_there)) = (listening(&a).await, listening(&b).await);
    let mut raw = place.raw().await;
    // Whoever holds this key is the control connection of `b`.
    let _lease = b.control().claim("p").await.expect("the server answers");
    let sql = format!("SELECT pg_terminate_backend(pid) FROM {}.holders(ARRAY['p'])", place.schema());
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut raw).await.expect("the session is ended");
    let slowly = Duration::from_secs(20);
    timeout(slowly, there.changed()).await.expect("it is to look for itself").expect("it is watched");
    timeout(slowly, commits_there.changed()).await.expect("it is to look for itself").expect("it is watched");
    a.control().announce_append();
    wakes(&mut there).await;
}

#[tokio::test]
async fn without_notifications_nothing_is_sent_or_heard() {
    let Some(place) = Place::new().await else { return };
    let (a, loud) = (place.database().await, place.database().await);
    let options: PgOptions = place.options().notify(false);
    let quiet = Database::open(&place.url(), &options).await.expect("the database opens");
    let (mut there, commits_there) = listening(&a).await;
    let mut here = quiet.control().appended();
    quiet.control().announce_append();
    quiet.control().announce_commit();
    assert!(here.has_changed().expect("it is watched"), "its own process is woken all the same");
    here.mark_unchanged();
    assert_eq!(quiet.control().statements(), 0);
    assert!(timeout(QUIET, there.changed()).await.is_err(), "nobody was told");
    assert!(!commits_there.has_changed().expect("it is watched"));
    // With a connection, too: it has been made for another reason.
    let _lease = quiet.control().claim("p").await.expect("the server answers");
    here.mark_unchanged();
    quiet.control().announce_append();
    assert!(here.has_changed().expect("it is watched"));
    here.mark_unchanged();
    loud.control().announce_append();
    wakes(&mut there).await;
    assert!(timeout(QUIET, here.changed()).await.is_err(), "it does not listen");
    assert!(!there.has_changed().expect("it is watched"), "one append was told, the loud one's");
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_of_other_threads_announce_and_the_end_of_a_runtime_is_survived() {
    let Some(place) = Place::new().await else { return };
    let (a, b) = (place.database().await, place.database().await);
    let (mut there, _) = listening(&b).await;
    let used = a.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { listening(&used).await });
        used.control().announce_append();
    })
    .join()
    .expect("no runtime is needed to announce");
    // The task has gone with the other runtime; it is begun again in this one.
    a.control().announce_append();
    timeout(Duration::from_secs(20), there.changed()).await.expect("it wakes").expect("it is watched");
}

//! Waiting: woken by commits of this process and of others, without a poll.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use highwater_core::model::Filter;
use highwater_core::ports::{AppendEvents, EventLog, Limit, ProjectionControl};
use highwater_sqlite::SqliteLog;
use highwater_testkit::fixtures::{append_to, new_event};

use crate::kit::{Place, SOON, create, options};

const LIMIT: Limit = Limit { events: 100, bytes: 1 << 20 };

async fn append(log: &SqliteLog, n: u64) {
    log.append(&[append_to("a-1", vec![new_event(n, "A")])]).await.expect("a valid append");
}

async fn wakes(place: &Place, writer: SqliteLog) {
    let log = SqliteLog::open(place.file(), &options()).await.expect("the log opens");
    let mut reader = log.open(None, &Filter::all()).await.expect("the log can be read");
    for n in 0..20 {
        assert!(reader.next(LIMIT).await.expect("the log can be read").events.is_empty());
        if n % 2 == 0 {
            // During the wait.
            let (woken, ()) = tokio::join!(timeout(SOON, reader.wait()), append(&writer, n));
            woken.expect("the append wakes the reader").expect("the log is watched");
        } else {
            // Before the wait: it must not be lost.
            append(&writer, n).await;
            timeout(SOON, reader.wait())
                .await
                .expect("what is there wakes at once")
                .expect("the log is watched");
        }
        assert_eq!(reader.next(LIMIT).await.expect("the log can be read").events.len(), 1);
    }
}

#[tokio::test]
async fn a_second_handle_in_this_process_wakes_readers() {
    let place = Place::new();
    let writer = SqliteLog::open(place.file(), &options()).await.expect("the log opens");
    wakes(&place, writer).await;
}

#[tokio::test]
async fn another_process_wakes_readers_through_the_file() {
    let place = Place::new();
    let apart = options().as_another_process();
    let writer = SqliteLog::open(place.file(), &apart).await.expect("the log opens");
    wakes(&place, writer).await;
}

#[tokio::test]
async fn a_commit_that_is_no_event_wakes_no_reader() {
    let place = Place::new();
    let log = SqliteLog::open(place.file(), &options()).await.expect("the log opens");
    let store = place.store().await;
    let mut reader = log.open(None, &Filter::all()).await.expect("the log can be read");
    assert!(reader.next(LIMIT).await.expect("the log can be read").caught_up);
    create(&store, "p").await;
    timeout(SOON, store.changed()).await.expect("a commit is reported").expect("the store is watched");
    let woken = timeout(Duration::from_millis(100), reader.wait()).await;
    assert!(woken.is_err(), "there is no event to read");
}

#[tokio::test]
async fn operators_see_commits_of_other_processes() {
    let place = Arc::new(Place::new());
    let store = place.store().await;
    let other = highwater_sqlite::SqliteStore::open(place.file(), &options().as_another_process())
        .await
        .expect("it opens");
    for n in 0..5 {
        let text = format!("p{n}");
        let (changed, _) = tokio::join!(timeout(SOON, store.changed()), create(&other, &text));
        changed.expect("the commit is reported").expect("the store is watched");
    }
}

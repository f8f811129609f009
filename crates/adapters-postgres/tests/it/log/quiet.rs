//! Readers that wait at the end of the log share what they know of it, and miss nothing by that.

use std::time::Duration;

use highwater_core::ports::EventReader;
use highwater_postgres::{Database, PgLog};
use tokio::time::timeout;

use super::session::{LIMIT, Session, commits, filtered, read, reader};
use crate::kit::Place;

/// Far more than an answer is kept for.
const SOON: Duration = Duration::from_secs(20);

/// Reads until something comes that nobody has announced.
async fn found(reader: &mut dyn EventReader) -> Vec<u64> {
    let until = async {
        loop {
            let batch = reader.next(LIMIT).await.expect("the log can be read");
            if !batch.events.is_empty() {
                return commits(&batch.events);
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, until).await.expect("it comes without being announced")
}

/// Both kinds of readers, at the end, having looked often enough to know it.
async fn at_the_end(log: &PgLog) -> [Box<dyn EventReader>; 2] {
    let mut readers = [reader(log).await, filtered(log).await];
    for reader in &mut readers {
        read(&mut **reader).await;
        for _ in 0..3 {
            assert!(read(&mut **reader).await.is_empty());
        }
    }
    readers
}

#[tokio::test]
async fn readers_at_the_end_need_no_connection_while_one_answer_is_fresh() {
    let Some(place) = Place::new().await else { return };
    let options = place.options().max_connections(1);
    let database = Database::open(&place.url(), &options).await.expect("the database opens");
    let log = PgLog::new(&database);
    Session::new(&place).await.append("a").await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.extend(at_the_end(&log).await);
    }
    // The one connection is taken: who asks the server has to wait.
    let taken = database.pool().acquire().await.expect("a connection");
    let mut unasked = 0;
    for reader in &mut readers {
        let asked = timeout(Duration::from_millis(20), reader.next(LIMIT)).await;
        if let Ok(batch) = asked {
            let batch = batch.expect("nothing is wrong");
            assert!(batch.caught_up && batch.events.is_empty());
            unasked += 1;
        }
    }
    drop(taken);
    // On a busy machine the answer may become old on the way.
    assert!(unasked > 0, "each of {} readers asks for itself", readers.len());
    Session::new(&place).await.append("a").await;
    for reader in &mut readers {
        assert_eq!(found(&mut **reader).await, [2]);
    }
}

#[tokio::test]
async fn e_1_what_was_in_flight_when_readers_looked_is_found_when_it_commits() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    Session::new(&place).await.append("a").await;
    let mut open = Session::new(&place).await;
    open.run("BEGIN").await;
    open.append("b").await;
    let readers = at_the_end(&log).await;
    open.run("COMMIT").await;
    for mut reader in readers {
        assert_eq!(found(&mut *reader).await, [2], "its number was drawn before anybody looked");
    }
}

#[tokio::test]
async fn e_1_a_number_that_was_given_up_at_the_end_hides_nothing_behind_it() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    Session::new(&place).await.append("a").await;
    let mut open = Session::new(&place).await;
    open.run("BEGIN").await;
    open.append("b").await;
    open.run("ROLLBACK").await;
    let readers = at_the_end(&log).await;
    let next = u64::try_from(open.append("b").await).expect("a position");
    assert_eq!(next, 3);
    for mut reader in readers {
        assert_eq!(found(&mut *reader).await, [next]);
    }
}

#[tokio::test]
async fn e_1_an_appender_that_has_no_number_yet_is_found_when_it_commits() {
    let Some(place) = Place::new().await else { return };
    let log = PgLog::new(&place.database().await);
    let mut first = Session::new(&place).await;
    first.append("a").await;
    // It waits for the head of its stream, behind the gate and without a number.
    let mut holder = Session::new(&place).await;
    holder.run("BEGIN").await;
    holder.append("a").await;
    let waits = tokio::spawn(async move { first.append("a").await });
    let readers = at_the_end(&log).await;
    holder.run("ROLLBACK").await;
    let late = u64::try_from(waits.await.expect("it appends")).expect("a position");
    for mut reader in readers {
        assert_eq!(found(&mut *reader).await, [late]);
    }
}

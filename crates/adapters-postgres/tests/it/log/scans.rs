//! What a read costs the server, as the server itself counts it.

use std::time::Duration;

use highwater_core::model::{Filter, Pattern, Position};
use highwater_core::ports::{EventLog, Limit};
use highwater_postgres::PgLog;
use highwater_testkit::fixtures::append_n;
use tokio::time::timeout;

use super::session::Session;
use crate::kit::Place;

const SOON: Duration = Duration::from_secs(20);

/// Sequential scans of the table of events, and rows that were fetched by way of an index.
async fn scans(session: &mut Session) -> (i64, i64) {
    let sql = "SELECT unnest(ARRAY[seq_scan, idx_tup_fetch]) FROM pg_stat_user_tables \
               WHERE relid = 'highwater.event'::regclass";
    let found = session.numbers(sql).await;
    (found[0], found[1])
}

#[tokio::test]
async fn e_3_reading_never_goes_through_the_whole_table() {
    let Some(place) = Place::new().await else { return };
    let mut session = Session::new(&place).await;
    append_n(&PgLog::new(&place.database().await), 5000).await.expect("the log takes events");
    session.run("VACUUM (ANALYZE) highwater.event").await;
    let (before, fetched) = scans(&mut session).await;

    // A process that knows nothing yet resumes in many places, in small pieces, in each way there is to read.
    let database = place.database().await;
    let log = PgLog::new(&database);
    let filters = [
        Filter::all(),
        Filter::types(["Counted"]),
        Filter { streams: vec![Pattern::parse("counter-1*")], ..Filter::all() },
    ];
    let limit = Limit { events: 50, bytes: 1 << 20 };
    let mut events = 0;
    for filter in &filters {
        for after in [None, Some(1), Some(2500), Some(4999)] {
            let after = after.map(|at| Position::new(at, 0));
            let mut by_events = log.open(after, filter).await.expect("the log can be opened");
            let mut by_range = log.open(after, filter).await.expect("the log can be opened");
            for _ in 0..3 {
                events += by_events.next(limit).await.expect("the log can be read").events.len();
                by_range.next_range(limit).await.expect("the log can be read");
            }
            let head = log.head().await.expect("the log answers").expect("there are events");
            log.event_at(head).await.expect("the log answers").expect("it stands there");
        }
    }
    assert!(events > 500, "{events} events were read");
    // The server counts what a session did when that ends, at the latest.
    database.close().await;
    let counted = timeout(SOON, async {
        loop {
            let (scans, now) = scans(&mut session).await;
            if now > fetched + 500 {
                return scans;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(counted.await.expect("the server has counted"), before, "sequential scans");
}

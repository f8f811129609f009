//! The laws of the log. Read by one process, written by another.

use std::sync::Arc;

use highwater_postgres::PgLog;
use highwater_testkit::contract::{LogFixture, Outage, outage};

use crate::kit::Place;

/// Takes the table away and brings it back.
fn without_events(place: &Arc<Place>) -> Outage {
    let place = place.clone();
    outage(move |failing| {
        let place = place.clone();
        async move {
            let (from, to) = if failing { ("event", "event_gone") } else { ("event_gone", "event") };
            place.execute(&format!("ALTER TABLE highwater.{from} RENAME TO {to}")).await;
        }
    })
}

async fn log(_law: &str) -> Option<LogFixture> {
    let place = Arc::new(Place::new().await?);
    let log = Arc::new(PgLog::new(&place.database().await));
    let outage = without_events(&place);
    Some(LogFixture::new(log.clone(), log).storing_json_only().with_outage(outage).keeping(place))
}

/// Written by one process, read by another.
async fn log_of_two(_law: &str) -> Option<LogFixture> {
    let place = Place::new().await?;
    let append = Arc::new(PgLog::new(&place.database().await));
    let read = Arc::new(PgLog::new(&place.database().await));
    Some(LogFixture::new(read, append).storing_json_only().keeping(place))
}

highwater_testkit::event_log_contract!(event_log, super::log);
highwater_testkit::append_events_contract!(append_events, super::log);
highwater_testkit::event_log_contract!(event_log_of_two_processes, super::log_of_two);

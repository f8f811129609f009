//! What laws of several ports share.

use std::time::Duration;

use highwater_core::Error;
use highwater_core::model::{ContentType, Filter, Position, RecordedEvent};
use highwater_core::ports::{EventBatch, EventLog, EventReader, Limit};

use crate::fixtures::NastyPayload;

/// How long a law waits for what must come.
pub(super) const SOON: Duration = Duration::from_secs(20);
/// How long a law watches that something does not come.
pub(super) const QUIET: Duration = Duration::from_millis(200);

/// A limit of events, with bytes to spare.
pub(super) const fn at_most(events: usize) -> Limit {
    Limit { events, bytes: 64 << 20 }
}

/// Says that a law was skipped for want of a capability.
pub(super) fn without(law: &str, capability: &str) {
    eprintln!("skipped: {law}: the fixture has no {capability}");
}

/// The next batch, `before` being the scanned bound of the one before. A reader that stands still would be
/// asked for ever.
pub(super) async fn next_batch(
    reader: &mut dyn EventReader,
    limit: Limit,
    before: &mut Option<Position>,
) -> EventBatch {
    let batch = reader.next(limit).await.expect("the log can be read");
    assert!(batch.scanned >= *before, "the scanned bound went from {before:?} back to {:?}", batch.scanned);
    assert!(
        !batch.events.is_empty() || batch.caught_up || batch.scanned > *before,
        "an empty batch that brought nothing on, behind {before:?}"
    );
    *before = batch.scanned;
    batch
}

/// Reads on until the reader has caught up.
pub(super) async fn drain(reader: &mut dyn EventReader, limit: Limit) -> Vec<RecordedEvent> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let EventBatch { mut events, caught_up, .. } = next_batch(reader, limit, &mut before).await;
        all.append(&mut events);
        if caught_up {
            return all;
        }
    }
}

/// All events behind `after` that the filter lets through.
pub(super) async fn read(
    log: &dyn EventLog,
    after: Option<Position>,
    filter: &Filter,
) -> Result<Vec<RecordedEvent>, Error> {
    let mut reader = log.open(after, filter).await?;
    Ok(drain(&mut *reader, at_most(1000)).await)
}

/// The whole log.
pub(super) async fn read_all(log: &dyn EventLog) -> Vec<RecordedEvent> {
    read(log, None, &Filter::all()).await.expect("the log can be opened")
}

/// The positions of events.
pub(super) fn positions(events: &[RecordedEvent]) -> Vec<Position> {
    events.iter().map(RecordedEvent::position).collect()
}

/// Whether a log that takes JSON text only may refuse this payload.
pub(super) fn may_be_refused(payload: &NastyPayload) -> bool {
    payload.content_type == ContentType::Binary
        || ["an escaped NUL", "a lone surrogate", "a number beyond f64", "not JSON at all", "nothing"]
            .contains(&payload.name)
}

/// The value of a context key of an error.
pub(super) fn context<'e>(error: &'e Error, key: &str) -> Option<&'e str> {
    error.context().iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
}

//! One reader of the log in memory.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use highwater_core::model::{Filter, Position, RecordedEvent};
use highwater_core::ports::{EventBatch, EventRange, EventReader, Limit};
use highwater_core::{Error, ErrorKind};

use super::log::{SharedLog, behind};

pub(super) struct MemoryReader {
    shared: Arc<SharedLog>,
    version: watch::Receiver<u64>,
    after: Option<Position>,
    filter: Filter,
}

impl MemoryReader {
    pub(super) fn new(shared: Arc<SharedLog>, after: Option<Position>, filter: Filter) -> Self {
        let mut version = shared.version.subscribe();
        version.mark_changed(); // nothing was read yet, so the first wait returns at once
        Self { shared, version, after, filter }
    }

    /// Reads on, handing each matching event to `take`; moves only if the log answers.
    fn advance(&mut self, limit: Limit, mut take: impl FnMut(&RecordedEvent)) -> Result<bool, Error> {
        // Before the read, so that an append in between wakes the next wait.
        self.version.borrow_and_update();
        let (after, filter, scan) = (self.after, &self.filter, self.shared.scan);
        let (after, caught_up) = self.shared.reading("read the log", |state| {
            let (mut at, mut looked, mut events, mut bytes) = (after, 0, 0, 0_usize);
            for (position, event) in state.events.range(behind(after)) {
                if looked == scan {
                    return (at, false);
                }
                if filter.matches(event.event_type(), event.stream()) {
                    let size = event.size();
                    let full = events == limit.events.max(1) || bytes.saturating_add(size) > limit.bytes;
                    if full && events > 0 {
                        return (at, false);
                    }
                    take(event);
                    events += 1;
                    bytes = bytes.saturating_add(size);
                }
                at = Some(*position);
                looked += 1;
            }
            (at, true)
        })?;
        self.after = after;
        Ok(caught_up)
    }
}

#[async_trait]
impl EventReader for MemoryReader {
    async fn next(&mut self, limit: Limit) -> Result<EventBatch, Error> {
        let mut events = Vec::new();
        let caught_up = self.advance(limit, |event| events.push(event.clone()))?;
        Ok(EventBatch { events, scanned: self.after, caught_up })
    }

    async fn next_range(&mut self, limit: Limit) -> Result<EventRange, Error> {
        let mut range = EventRange::default();
        range.caught_up = self.advance(limit, |event| {
            range.events += 1;
            range.last = Some(event.position());
        })?;
        range.scanned = self.after;
        Ok(range)
    }

    async fn wait(&mut self) -> Result<(), Error> {
        self.version
            .changed()
            .await
            .map_err(|error| Error::new(ErrorKind::Closed, "watch the log").because(error))
    }
}

//! One consumer of a group in memory.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use highwater_core::ports::{Consumer, Delivery, GroupKey, Nack, Receipt};
use highwater_core::{Error, ErrorKind};

use super::subscriptions::SharedGroups;

/// A member of a group; leaves it when dropped.
pub struct MemoryConsumer {
    shared: Arc<SharedGroups>,
    key: GroupKey,
    id: u64,
    buffer: usize,
    groups: watch::Receiver<u64>,
    log: watch::Receiver<u64>,
}

impl MemoryConsumer {
    pub(super) fn new(shared: Arc<SharedGroups>, key: GroupKey, id: u64, buffer: usize) -> Self {
        let groups = shared.version.subscribe();
        let log = shared.log.shared.version.subscribe();
        Self { shared, key, id, buffer, groups, log }
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        self.shared.leave(&self.key, self.id);
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn receive(&mut self) -> Result<Delivery, Error> {
        loop {
            // Before the question, so that what comes in between ends the wait.
            self.groups.borrow_and_update();
            self.log.borrow_and_update();
            if let Some(delivery) = self.shared.take(&self.key, self.id, self.buffer)? {
                return Ok(delivery);
            }
            let (groups, log) = (&mut self.groups, &mut self.log);
            tokio::select! {
                changed = groups.changed() => changed,
                changed = log.changed() => changed,
            }
            .map_err(|error| Error::new(ErrorKind::Closed, "wait for a message").because(error))?;
        }
    }

    async fn ack(&mut self, receipts: &[Receipt]) -> Result<(), Error> {
        self.shared.settle(&self.key, self.id, receipts, None)
    }

    async fn nack(&mut self, receipts: &[Receipt], action: Nack, reason: &str) -> Result<(), Error> {
        self.shared.settle(&self.key, self.id, receipts, Some((action, reason)))
    }
}

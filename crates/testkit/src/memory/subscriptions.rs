//! Subscription groups in memory, over the log in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;

use highwater_core::model::{Position, RecordedEvent};
use highwater_core::ports::{Consumer, Delivery, GroupKey, Nack, Receipt, Subscriptions};
use highwater_core::{Error, ErrorKind};

use super::consumer::MemoryConsumer;
use super::cut_off;
use super::log::{MemoryLog, behind};
use crate::sync::lock;

/// Groups over the streams of a [`MemoryLog`]. Clones share the groups' state.
///
/// A group begins at the first event of its stream (`$all` is every stream). There is no message time-out:
/// what a consumer holds is delivered again when the consumer is dropped or disconnected.
#[derive(Clone)]
pub struct MemorySubscriptions {
    pub(super) shared: Arc<SharedGroups>,
}

pub(super) struct SharedGroups {
    pub(super) log: MemoryLog,
    groups: Mutex<Groups>,
    /// Raised whenever a message may have become deliverable, or a consumer has lost its place.
    pub(super) version: watch::Sender<u64>,
}

#[derive(Default)]
struct Groups {
    by_key: BTreeMap<GroupKey, Group>,
    next_consumer: u64,
    outage: bool,
}

#[derive(Default)]
struct Group {
    /// The last event that was ever handed out.
    after: Option<Position>,
    next_message: u64,
    /// Given back, by the order in which they were first handed out.
    again: BTreeMap<u64, Message>,
    in_flight: HashMap<Receipt, (u64, Message)>,
    consumers: BTreeSet<u64>,
    counts: GroupCounts,
    parked: Vec<(RecordedEvent, String)>,
}

#[derive(Clone)]
struct Message {
    number: u64,
    event: Option<RecordedEvent>,
    retry_count: u32,
}

/// What became of a group's messages, as the server counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Deliveries, repeated ones included.
    pub delivered: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Given back by a nack.
    pub retried: u64,
    /// Parked by a nack.
    pub parked: u64,
    /// Skipped by a nack.
    pub skipped: u64,
}

impl MemorySubscriptions {
    /// Groups over the streams of `log`.
    #[must_use]
    pub fn over(log: MemoryLog) -> Self {
        let groups = Mutex::new(Groups::default());
        Self { shared: Arc::new(SharedGroups { log, groups, version: watch::Sender::new(0) }) }
    }

    /// Cuts the server off (`true`): every call fails as `Unavailable`, until it is told `false`.
    pub fn set_outage(&self, outage: bool) {
        lock(&self.shared.groups).outage = outage;
        self.shared.changed();
    }

    /// Drops every consumer of a group, as a server that restarts: their next call fails as `Unavailable`,
    /// and what they held is delivered again.
    pub fn disconnect(&self, key: &GroupKey) {
        if let Some(group) = lock(&self.shared.groups).by_key.get_mut(key) {
            for consumer in std::mem::take(&mut group.consumers) {
                group.give_back(consumer);
            }
        }
        self.shared.changed();
    }

    /// Deletes a group: its consumers' next call fails as `NotFound`.
    pub fn delete(&self, key: &GroupKey) -> bool {
        let deleted = lock(&self.shared.groups).by_key.remove(key).is_some();
        self.shared.changed();
        deleted
    }

    /// Puts a link whose target is gone into the group.
    pub fn push_broken_link(&self, key: &GroupKey) {
        if let Some(group) = lock(&self.shared.groups).by_key.get_mut(key) {
            let number = group.number();
            group.again.insert(number, Message { number, event: None, retry_count: 0 });
        }
        self.shared.changed();
    }

    /// What became of the group's messages; `None` for a group that does not exist.
    #[must_use]
    pub fn counts(&self, key: &GroupKey) -> Option<GroupCounts> {
        lock(&self.shared.groups).by_key.get(key).map(|group| group.counts)
    }

    /// The parked messages with the reasons that were given.
    #[must_use]
    pub fn parked(&self, key: &GroupKey) -> Vec<(RecordedEvent, String)> {
        lock(&self.shared.groups).by_key.get(key).map(|group| group.parked.clone()).unwrap_or_default()
    }

    /// How many messages are handed out and not answered.
    #[must_use]
    pub fn in_flight(&self, key: &GroupKey) -> usize {
        lock(&self.shared.groups).by_key.get(key).map_or(0, |group| group.in_flight.len())
    }
}

#[async_trait]
impl Subscriptions for MemorySubscriptions {
    async fn ensure(&self, key: &GroupKey) -> Result<(), Error> {
        let mut groups = lock(&self.shared.groups);
        if groups.outage {
            return Err(cut_off("create a subscription group"));
        }
        groups.by_key.entry(key.clone()).or_default();
        Ok(())
    }

    async fn consume(&self, key: &GroupKey, buffer: usize) -> Result<Box<dyn Consumer>, Error> {
        let mut groups = lock(&self.shared.groups);
        if groups.outage {
            return Err(cut_off("join a subscription group"));
        }
        groups.next_consumer += 1;
        let id = groups.next_consumer;
        let group = groups.by_key.get_mut(key).ok_or_else(|| missing("join a subscription group", key))?;
        group.consumers.insert(id);
        Ok(Box::new(MemoryConsumer::new(self.shared.clone(), key.clone(), id, buffer.max(1))))
    }
}

impl SharedGroups {
    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    fn with<T>(
        &self,
        operation: &'static str,
        key: &GroupKey,
        consumer: u64,
        run: impl FnOnce(&mut Group) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut groups = lock(&self.groups);
        if groups.outage {
            return Err(cut_off(operation));
        }
        let group = groups.by_key.get_mut(key).ok_or_else(|| missing(operation, key))?;
        if !group.consumers.contains(&consumer) {
            return Err(Error::new(ErrorKind::Unavailable, operation).because("the subscription was dropped"));
        }
        run(group)
    }

    /// The next message for this consumer, if there is one and it may hold one more.
    pub(super) fn take(
        &self,
        key: &GroupKey,
        consumer: u64,
        buffer: usize,
    ) -> Result<Option<Delivery>, Error> {
        self.with("receive a message", key, consumer, |group| {
            let held = group.in_flight.values().filter(|(holder, _)| *holder == consumer).count();
            if held >= buffer {
                return Ok(None);
            }
            let Some(message) = group.next(&self.log, &key.stream)? else { return Ok(None) };
            let receipt = Receipt(format!("{}:{}", message.number, message.retry_count));
            group.counts.delivered += 1;
            group.in_flight.insert(receipt.clone(), (consumer, message.clone()));
            Ok(Some(Delivery { receipt, event: message.event, retry_count: message.retry_count }))
        })
    }

    /// Ends messages that this consumer holds; all of them or, if one is not held, none.
    pub(super) fn settle(
        &self,
        key: &GroupKey,
        consumer: u64,
        receipts: &[Receipt],
        nack: Option<(Nack, &str)>,
    ) -> Result<(), Error> {
        let operation = if nack.is_some() { "refuse messages" } else { "acknowledge messages" };
        self.with(operation, key, consumer, |group| {
            let held = |receipt: &Receipt| {
                group.in_flight.get(receipt).is_some_and(|(holder, _)| *holder == consumer)
            };
            if let Some(unknown) = receipts.iter().find(|receipt| !held(receipt)) {
                return Err(Error::new(ErrorKind::NotFound, operation).with("receipt", &unknown.0));
            }
            for receipt in receipts {
                if let Some((_, message)) = group.in_flight.remove(receipt) {
                    group.end(message, nack);
                }
            }
            Ok(())
        })?;
        self.changed();
        Ok(())
    }

    /// Takes a consumer out; what it holds is delivered again.
    pub(super) fn leave(&self, key: &GroupKey, consumer: u64) {
        if let Some(group) = lock(&self.groups).by_key.get_mut(key)
            && group.consumers.remove(&consumer)
        {
            group.give_back(consumer);
        }
        self.changed();
    }
}

impl Group {
    fn number(&mut self) -> u64 {
        self.next_message += 1;
        self.next_message
    }

    fn next(&mut self, log: &MemoryLog, stream: &str) -> Result<Option<Message>, Error> {
        if let Some((_, message)) = self.again.pop_first() {
            return Ok(Some(message));
        }
        let after = self.after;
        let event = log.shared.reading("read the subscription's stream", |state| {
            let mut events = state.events.range(behind(after)).map(|(_, event)| event);
            events.find(|event| stream == "$all" || event.stream() == stream).cloned()
        })?;
        let Some(event) = event else { return Ok(None) };
        self.after = Some(event.position());
        Ok(Some(Message { number: self.number(), event: Some(event), retry_count: 0 }))
    }

    fn end(&mut self, message: Message, nack: Option<(Nack, &str)>) {
        match nack {
            None => self.counts.acked += 1,
            Some((Nack::Skip, _)) => self.counts.skipped += 1,
            Some((Nack::Park, reason)) => {
                self.counts.parked += 1;
                self.parked.extend(message.event.map(|event| (event, reason.to_owned())));
            }
            Some((Nack::Retry, _)) => {
                self.counts.retried += 1;
                self.again.insert(message.number, message.again());
            }
        }
    }

    fn give_back(&mut self, consumer: u64) {
        for (_, (_, message)) in self.in_flight.extract_if(|_, (holder, _)| *holder == consumer) {
            self.again.insert(message.number, message.again());
        }
    }
}

impl Message {
    fn again(self) -> Self {
        Self { retry_count: self.retry_count.saturating_add(1), ..self }
    }
}

fn missing(operation: &'static str, key: &GroupKey) -> Error {
    Error::new(ErrorKind::NotFound, operation).with("stream", &key.stream).with("group", &key.group)
}

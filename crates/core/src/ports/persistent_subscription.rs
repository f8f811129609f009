//! Competing consumers: a group whose state the server keeps.

use async_trait::async_trait;

use crate::error::Error;
use crate::model::RecordedEvent;

/// A subscription group: a tuple, never a joined text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// The stream; `$all` where the whole log is meant.
    pub stream: String,
    /// The group.
    pub group: String,
}

/// What a message is acknowledged by: the link's id where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A message handed to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What to acknowledge it by.
    pub receipt: Receipt,
    /// The event; `None` for a link whose target is gone.
    pub event: Option<RecordedEvent>,
    /// How often it was delivered before, as far as the server knows.
    pub retry_count: u32,
}

/// What a refused message becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nack {
    /// Delivered again.
    Retry,
    /// Set aside on the server.
    Park,
    /// Left out.
    Skip,
}

/// Groups of a server.
///
/// # Laws
/// 1. `ensure` creates the group, or succeeds quietly if it exists; any other answer is an error.
/// 2. Each message of the stream is delivered to one consumer of the group at a time.
#[async_trait]
pub trait Subscriptions: Send + Sync {
    /// Makes sure that the group exists.
    ///
    /// # Errors
    /// For every answer but "created" and "exists".
    async fn ensure(&self, key: &GroupKey) -> Result<(), Error>;

    /// Joins the group, with at most `buffer` messages in flight.
    ///
    /// # Errors
    /// When the group cannot be joined; `NotFound` where there is none.
    async fn consume(&self, key: &GroupKey, buffer: usize) -> Result<Box<dyn Consumer>, Error>;
}

/// One consumer of a group.
///
/// # Laws
/// 3. At most `buffer` messages are unacknowledged; what is dropped unacknowledged is delivered again.
/// 4. An acknowledged message is not delivered again; `Retry` is delivered again with a higher `retry_count`,
///    `Park` and `Skip` are not.
/// 5. Per stream, first deliveries come in order.
/// 6. Dropping `receive` loses no message.
#[async_trait]
pub trait Consumer: Send {
    /// The next message; waits for one.
    ///
    /// # Errors
    /// When the subscription dropped.
    async fn receive(&mut self) -> Result<Delivery, Error>;

    /// Acknowledges, many in one flight.
    ///
    /// # Errors
    /// When it could not be written; the messages may be delivered again.
    async fn ack(&mut self, receipts: &[Receipt]) -> Result<(), Error>;

    /// Refuses, many in one flight.
    ///
    /// # Errors
    /// When it could not be written; the messages may be delivered again.
    async fn nack(&mut self, receipts: &[Receipt], action: Nack, reason: &str) -> Result<(), Error>;
}

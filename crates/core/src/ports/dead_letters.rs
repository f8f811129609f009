//! Where events go that an at-least-once handler gave up.

use async_trait::async_trait;

use crate::error::Error;
use crate::model::{Position, RecordedEvent};
use crate::policy::Class;

/// An event that a handler gave up, with the reason.
#[derive(Debug, Clone)]
pub struct HandlerLetter {
    /// The runner.
    pub group: String,
    /// The generation of the run's read state; with group and position the letter's identity.
    pub generation: u64,
    /// The whole event.
    pub event: RecordedEvent,
    /// The class of the last failure.
    pub class: Class,
    /// The chain of messages, outermost first.
    pub message: String,
    /// How many attempts failed.
    pub attempts: u32,
}

/// A durable place for dead letters.
///
/// # Laws
/// 1. `publish` returns only when the letter is durable; an error means that the event is *not* settled (B-3).
/// 2. Publishing the same (group, generation, position) again changes nothing but the reason and the attempts.
/// 3. The event comes back byte for byte, whatever its payload.
/// 4. `list` returns letters of the group by position, behind `after`, at most `limit` (at least 1).
/// 5. `remove` says whether the letter was there.
/// 6. Dropping a future leaves an operation done or not done.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Keeps a letter.
    ///
    /// # Errors
    /// When it could not be made durable.
    async fn publish(&self, letter: &HandlerLetter) -> Result<(), Error>;

    /// Letters of a group.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn list(
        &self,
        group: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<HandlerLetter>, Error>;

    /// Removes a letter.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn remove(&self, group: &str, generation: u64, position: Position) -> Result<bool, Error>;
}

//! What an operator sees of projections and asks of them, from any process.

use async_trait::async_trait;

use crate::error::Error;
use crate::model::{
    DeadLetter, FailedEvent, FailedState, Position, ProjectionKey, ProjectionName, ProjectionPart,
    ProjectionState,
};

/// Which failed events are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailedQuery {
    /// Of this projection; `None` = of all.
    pub projection: Option<ProjectionName>,
    /// Of this version; `None` = of all. An older version keeps its rows beside a newer one's, and nobody runs it
    /// any more.
    pub version: Option<u32>,
    /// In these states; empty = in all.
    pub states: Vec<FailedState>,
    /// At this position.
    pub position: Option<Position>,
    /// Behind this position.
    pub after: Option<Position>,
}

/// Who runs a projection or a partition of it, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The process and its host, or the session, for a person.
    pub name: String,
}

/// The operator's side of a read model store. Everything here sees committed data, and works whether or not an
/// owner is running.
///
/// # Laws
/// 1. `states` has one entry a state row, by name, version and partition.
/// 2. `set_paused` changes every version of the projection, says whether one changed, and is `NotFound` for an
///    unknown name. It takes effect at the owner's next batch; no batch commits after it returned.
/// 3. `failed_events` are by projection and position, at most `limit` (at least 1).
/// 4. `request_replay` marks parked, held and recorded events; the owner tries them again. It answers how many
///    were marked; one that is `retrying` is due at once.
/// 5. `discard` removes parked, held and recorded events with their letters; it answers how many.
/// 6. `changed` returns soon after a commit to the store; a hint, as `EventReader::wait`.
/// 7. `owner` is `None` when nobody holds the claim.
#[async_trait]
pub trait ProjectionControl: Send + Sync {
    /// All state rows.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn states(&self) -> Result<Vec<ProjectionState>, Error>;

    /// Pauses or resumes a projection.
    ///
    /// # Errors
    /// `NotFound`, or when the store cannot be asked.
    async fn set_paused(&self, name: &ProjectionName, paused: bool) -> Result<bool, Error>;

    /// Failed events.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn failed_events(&self, query: &FailedQuery, limit: usize) -> Result<Vec<FailedEvent>, Error>;

    /// The dead letter of a parked or held event; its row says of which version and partition it is.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn dead_letter(&self, key: &ProjectionKey, position: Position)
    -> Result<Option<DeadLetter>, Error>;

    /// Asks for another try of what the query names.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn request_replay(&self, query: &FailedQuery) -> Result<u64, Error>;

    /// Gives up what the query names.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn discard(&self, query: &FailedQuery) -> Result<u64, Error>;

    /// Who owns a projection, or a partition of it.
    ///
    /// # Errors
    /// When that cannot be found out.
    async fn owner(&self, part: &ProjectionPart) -> Result<Option<Owner>, Error>;

    /// Waits for a commit.
    ///
    /// # Errors
    /// When the store can no longer be watched.
    async fn changed(&self) -> Result<(), Error>;
}

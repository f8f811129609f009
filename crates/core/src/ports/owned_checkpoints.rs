//! Who may move a group's checkpoint: one owner at a time, told apart by an epoch beside the position (B-8).

use std::time::Duration;

use async_trait::async_trait;

use crate::error::Error;
use crate::model::{Advance, Checkpoint, Position};
use crate::ports::CheckpointStore;

/// What a claim found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupClaim {
    /// The key is the caller's.
    Won {
        /// Fences earlier owners: greater than theirs.
        epoch: u64,
        /// How often an operator has reset the checkpoint; part of a dead letter's identity.
        generation: u64,
        /// Where to resume; `None` = this key was never known, and the caller decides where it begins.
        checkpoint: Option<Checkpoint>,
    },
    /// It is another one's.
    Held {
        /// Whose, as it named itself.
        owner: String,
        /// After this time it may be claimed, unless its owner renews it.
        remaining: Duration,
    },
}

/// One owner's move of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedEntry {
    /// The key.
    pub key: String,
    /// The epoch under which it was claimed.
    pub epoch: u64,
    /// Where to; `None` only renews the lease.
    pub to: Option<Position>,
}

/// The answer to one [`OwnedEntry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnedAdvance {
    /// The caller is still the owner and its lease is renewed. `None` where nothing was to be moved.
    Owned(Option<Advance>),
    /// It is not, and nothing was touched: another one has claimed it, an operator has reset or deleted it, or
    /// the store has lost it.
    Lost,
}

/// Whose a key is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOwner {
    /// As it named itself; empty where nobody owns it.
    pub owner: String,
    /// Its epoch; the last one's where nobody owns it.
    pub epoch: u64,
    /// How often the checkpoint was reset.
    pub generation: u64,
    /// After this time it may be claimed; zero where it may be now.
    pub remaining: Duration,
}

/// A checkpoint store whose keys have an owner.
///
/// An owner's name is unique to one run of one process, and is fenced together with the epoch. Time is the
/// store's own, never the caller's.
///
/// # Laws
/// 1. `claim` wins a key that nobody owns, whose lease has run out, or that is the caller's already; the epoch is
///    then one greater than the last one's, 1 for a new key. Else it answers `Held`. Of several that claim at
///    once one wins.
/// 2. A lease that has run out is still its owner's until somebody claims it.
/// 3. `advance_owned` answers for each entry, in order, as if each had come alone: for the present owner as
///    `set_if_newer`, the lease renewed; `Lost` for anybody else, and then nothing is touched.
/// 4. `release` by the present owner lets the next claim win at once, and keeps epoch and checkpoint; by anybody
///    else it answers `false` and changes nothing.
/// 5. An applied `reset` raises generation and epoch by one and ends the ownership: who runs has to claim again,
///    and resumes where the operator said. So does `delete` or `clear`, after which the key is unknown and its
///    numbers begin anew; both count a key that is only claimed, or lost, as one that was there.
/// 6. A key whose checkpoint was stored once and is gone by other means than `delete` and `clear` answers a claim
///    with `CheckpointLost`, not as unknown (B-4, D-9), and the key does not change hands; `set_if_newer` by an
///    operator mends it. One that was claimed but never advanced is not lost.
/// 7. `set_if_newer` by anybody moves forward whoever owns it; the owner sees it as `Stale`.
/// 8. Dropping a future leaves an operation done or not done.
#[async_trait]
pub trait OwnedCheckpoints: CheckpointStore {
    /// Becomes the owner for as long as `lease`, and longer with every `advance_owned`.
    ///
    /// # Errors
    /// When the store cannot be asked, or the checkpoint is lost or corrupt. After an error whose answer was lost
    /// the key may be the caller's: to claim again is safe.
    async fn claim(&self, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error>;

    /// Moves many keys of one owner forward in one flight.
    ///
    /// # Errors
    /// When the store cannot be asked; what moved is then unknown, and trying again is safe.
    async fn advance_owned(
        &self,
        owner: &str,
        lease: Duration,
        entries: &[OwnedEntry],
    ) -> Result<Vec<OwnedAdvance>, Error>;

    /// Gives a key back.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn release(&self, key: &str, owner: &str, epoch: u64) -> Result<bool, Error>;

    /// Whose it is now; `None` for a key that was neither claimed nor reset.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn owner(&self, key: &str) -> Result<Option<GroupOwner>, Error>;

    /// Whether the store remembers keys at all. `false` where it knows of none and may have lost them without a
    /// trace, such as a server that keeps its data in memory: a key that it does not know then need not be new,
    /// and whoever claims it has to be told where to begin (D-9). A store whose data ends only with its disk
    /// remembers, also when it is empty; the default.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn remembers(&self) -> Result<bool, Error> {
        Ok(true)
    }
}

//! Where runners that are not transactional remember how far they got.

use async_trait::async_trait;

use crate::error::Error;
use crate::model::{Advance, Checkpoint, Position};

/// One page of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointPage {
    /// Keys with their checkpoints, by key.
    pub checkpoints: Vec<(String, Checkpoint)>,
    /// What to pass for the next page; `None` at the end.
    pub next: Option<String>,
}

/// A map from key to position that only moves forward.
///
/// Keys are arbitrary UTF-8 of 1 to 1,024 bytes.
///
/// # Laws
/// 1. `get` is `Some`, `None` or an error; an error never means "not there" (B-4, D-4).
/// 2. `set_if_newer` never goes back: `Applied` if the stored position is less or missing, `Unchanged` if equal,
///    `Stale` with the stored one if greater, and then nothing is touched (D-2).
/// 3. Any pair of `u64` is a position, to the last bit: `u64::MAX`, 2^53 ± 1 (D-1, X-5).
/// 4. Writers that race end at the greatest position, and no reader sees it go back (D-12).
/// 5. `set_many_if_newer` answers for each entry, in order, as if each had been set alone.
/// 6. Only `reset` goes back, and only from the expected position (D-3); else `Stale` with what is stored, or
///    `NotFound` where nothing is.
/// 7. `delete` says whether there was something to delete.
/// 8. `scan` returns each key that begins with the prefix once, byte for byte, whatever characters it has; an
///    empty prefix is all. Pages are bounded by `limit` (at least 1).
/// 9. `clear` deletes the keys that begin with a non-empty prefix and counts them; an empty prefix is `Invalid`
///    and deletes nothing; `dry_run` only counts (D-8). A prefix is literal: `*` is a character.
/// 10. Dropping a future leaves an operation done or not done, never half.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// What is stored under `key`.
    ///
    /// # Errors
    /// When the store cannot be asked, or what it holds is corrupt.
    async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error>;

    /// Moves forward.
    ///
    /// # Errors
    /// When the store cannot be asked; whether it moved is then unknown, and trying again is safe.
    async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error>;

    /// Moves many forward in one flight.
    ///
    /// # Errors
    /// As [`CheckpointStore::set_if_newer`].
    async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error>;

    /// Goes anywhere, back included, if the stored position is `expected`.
    ///
    /// # Errors
    /// When the store cannot be asked, or there is nothing to reset.
    async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error>;

    /// Removes a key.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn delete(&self, key: &str) -> Result<bool, Error>;

    /// The keys behind `after` that begin with `prefix`.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error>;

    /// Deletes all keys that begin with `prefix`; answers how many there were.
    ///
    /// # Errors
    /// When the prefix is empty or the store cannot be asked.
    async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error>;
}

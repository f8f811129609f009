//! Writing to an event log.

use async_trait::async_trait;

use crate::error::Error;
use crate::model::{Append, Appended};

/// The writing side of a log.
///
/// # Laws
/// 1. All appends of one call become visible together or not at all; each is one append call with a position
///    number of its own, its events told apart by the offset. Within one call later appends see the earlier.
/// 2. `Expected::Next(n)` succeeds only if the stream's next sequence is `n`; else `WrongExpectedSequence` with the
///    context `stream`, `expected` and `actual`, and nothing is written.
/// 3. **Idempotent by event id**: if all ids of an append are in its stream already, in this order and with the
///    same type, content type, data and metadata, it answers where they are, `duplicate`, and writes nothing,
///    whatever was expected. An id that exists with other content or in another stream is `EventIdReused` with
///    the context `id`.
/// 4. Two writers that race on one stream with the same expectation: one wins.
/// 5. An append without events, an empty or overlong name, content that the log cannot keep: `Invalid` or
///    `Unstorable`, and nothing is written.
/// 6. Any error names in its context `append` the index of the append that failed.
/// 7. Dropping the future leaves the appends either done or not done.
#[async_trait]
pub trait AppendEvents: Send + Sync {
    /// Appends; one answer an append, in order.
    ///
    /// # Errors
    /// See the laws; none of the appends has happened then.
    async fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, Error>;
}

//! Where a persistence worker writes its dirty keys.

use async_trait::async_trait;

use crate::error::Error;

/// The target of a persistence worker: it reads the present value of each key itself and writes it.
///
/// # Laws
/// 1. `persist` answers for each key, in order; success only after the effect was confirmed (C-14).
/// 2. Idempotent: persisting a key twice ends as persisting it once (C-4).
/// 3. A bad key answers with an error of its own and does not fail the others (C-3).
/// 4. The outer error means that no key is known to be written.
/// 5. Dropping the future leaves each key written or not written.
#[async_trait]
pub trait PersistTarget: Send + Sync {
    /// Writes the present values of `keys`.
    ///
    /// # Errors
    /// When the target as a whole did not answer.
    async fn persist(&self, keys: &[String]) -> Result<Vec<Result<(), Error>>, Error>;
}

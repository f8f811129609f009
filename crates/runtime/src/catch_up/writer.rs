//! What a runner asks of whoever writes the checkpoints.
//!
//! Runners do not write: they put their marks on the board of their store and say that they are due, and one
//! worker a store takes the due keys of all runners in one flight. The interface is as narrow as that, so
//! that a runner knows nothing of intervals, breakers and queues.

use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind};

use crate::persistence::Persistence;

/// Writes the marks of a [`CheckpointBoard`](super::CheckpointBoard).
///
/// # Laws
/// 1. A key that was marked is written: it is tried again, as long as it takes, until a write that began
///    after the mark succeeded.
/// 2. `mark_due` returns at once; the key goes out in the next flight, without waiting for an interval.
/// 3. `flush` returns `Ok` only when a write that began after the call succeeded. After an error the key
///    stays marked.
#[async_trait]
pub trait CheckpointWriter: Send + Sync {
    /// Marks a key as due.
    ///
    /// # Errors
    /// `Backpressure` when too many keys are marked, `Closed` when the writer has ended: then it is not
    /// marked.
    fn mark_due(&self, key: &str) -> Result<(), Error>;

    /// Marks a key and waits until it is written. Dropping the future leaves it marked.
    ///
    /// # Errors
    /// When it was not written in this time, with the reason.
    async fn flush(&self, key: &str, within: Duration) -> Result<(), Error>;
}

/// The worker that flushes the board. A flush at the end of a run is tried once, also while the breaker is
/// open: it is the last chance of the runner, not of the mark.
#[async_trait]
impl CheckpointWriter for Persistence {
    fn mark_due(&self, key: &str) -> Result<(), Error> {
        self.request_now(key)
    }

    async fn flush(&self, key: &str, within: Duration) -> Result<(), Error> {
        self.request_now(key)?;
        let report = self.force(Some(within), Some(&[key.to_owned()]), true).await?;
        if report.is_complete() {
            return Ok(());
        }
        let operation = "write the last checkpoint of a group";
        let error = match report.failed.first() {
            Some(failed) => Error::new(failed.error.kind(), operation).because(failed.error.chain()),
            None => Error::new(ErrorKind::Timeout, operation)
                .with("within", format_args!("{} ms", within.as_millis())),
        };
        Err(error.with("group", key))
    }
}

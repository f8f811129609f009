//! How a worker is stopped (C-11).

use std::sync::Arc;
use std::time::Duration;

use crate::persistence::Persistence;
use crate::persistence::shared::Shared;

/// A shutdown that its worker does not answer returns this long after its time: something blocks the worker's
/// thread, and nobody shall wait for that.
const GRACE: Duration = Duration::from_secs(1);

/// What is left of a worker that has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Keys that were written since the shutdown was asked for.
    pub flushed: u64,
    /// Keys that are still dirty, oldest first: what they stand for was not confirmed, though a call that was
    /// given up may have written some.
    pub residue: Vec<String>,
    /// What the last panic of the worker's task said, if there was one.
    pub panic: Option<String>,
}

/// Held by all handles together.
pub(super) struct LastHandle(Arc<Shared>);

impl LastHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }
}

impl Drop for LastHandle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Persistence {
    /// Closes the intake, waits for the call that is on its way, tries every dirty key once, and stops the
    /// worker, all within `shutdown_timeout`; what is dirty then is returned and logged. While the circuit
    /// breaker is open nothing is tried. Again, or by several at once, it is harmless; dropping the future
    /// cancels nothing.
    pub async fn shutdown(&self) -> ShutdownReport {
        self.shared.close();
        let mut progress = self.shared.progress.subscribe();
        let left = self.shared.lock().time_to_stop(self.shared.clock.now());
        let mut expired = self.shared.clock.sleep(left + GRACE);
        while !self.shared.lock().ended {
            tokio::select! {
                biased;
                _sender_is_ours = progress.changed() => {}
                () = &mut expired => break,
            }
        }
        self.shared.stopped()
    }
}

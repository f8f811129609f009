//! What an owner holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::UnboundedSender;

use super::command::Command;

/// Ownership of a projection or of a partition of it; given up when it is dropped.
///
/// It is a promise among runners, not the proof: what makes a second owner harmless is that every change of
/// the state is conditional on the epoch (E-12).
#[derive(Debug)]
pub struct PgLease {
    pub(super) key: String,
    /// Tells it from an earlier lease of the same key.
    pub(super) token: u64,
    pub(super) held: Arc<AtomicBool>,
    pub(super) commands: UnboundedSender<Command>,
}

impl PgLease {
    /// Whether the server still says so, as far as this process knows: false from the loss of the control
    /// connection until the lock has been taken back.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }
}

impl Drop for PgLease {
    fn drop(&mut self) {
        let release = Command::Release { key: std::mem::take(&mut self.key), token: self.token };
        if self.commands.send(release).is_err() {
            tracing::trace!("the control connection was closed first, and the lock with it");
        }
    }
}

//! Where handlers keep what outlives them.

use std::fmt;
use std::sync::Arc;

use highwater_core::ports::{DeadLetters, OwnedCheckpoints};

/// Where handlers keep their checkpoints and what they gave up.
#[derive(Clone)]
pub struct HandlerStores {
    /// Their checkpoints, each with its owner.
    pub checkpoints: Arc<dyn OwnedCheckpoints>,
    /// Events that they gave up; without such a place a handler stops before an event that it cannot take.
    pub dead_letters: Option<Arc<dyn DeadLetters>>,
    /// How the checkpoint store is called in log lines and metrics; no secrets.
    pub shown: String,
}

impl fmt::Debug for HandlerStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerStores").field("checkpoints", &self.shown).finish_non_exhaustive()
    }
}

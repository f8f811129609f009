//! What surrounds every runner: time, chance, observation, classification.

use std::fmt;
use std::sync::Arc;

use highwater_core::policy::Classifier;
use highwater_core::ports::{Clock, Jitter, NoObserver, Observer};

use crate::clock::{FastJitter, TokioClock};

/// Time, chance, observation and error classification, handed to every runner.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub jitter: Arc<dyn Jitter>,
    /// Who is told what happens.
    pub observer: Arc<dyn Observer>,
    /// Which class an error has.
    pub classifier: Classifier,
}

impl Environment {
    /// The real clock and jitter, nobody told, errors classified by the core's own rules.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: Arc::new(TokioClock::new()),
            jitter: Arc::new(FastJitter),
            observer: Arc::new(NoObserver),
            classifier: Classifier::new(),
        }
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

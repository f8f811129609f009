//! Handlers as they were asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::ports::{
    DeadLetters, DynHandler, HandlerObserver, NoObserver, OwnedCheckpoints, PersistenceObserver,
};
use highwater_core::settings::PersistenceSettings;
use highwater_runtime::catch_up::CheckpointBoard;

use super::options::HandlerOptions;
use crate::stage::Close;

/// The longest name, in bytes: it is a key of the checkpoint store.
const LONGEST: usize = 1_024;

/// A handler as it was asked for.
pub(crate) struct PlannedHandler {
    pub(crate) name: Arc<str>,
    pub(crate) handler: Arc<dyn DynHandler>,
    pub(crate) options: HandlerOptions,
    /// What is left to do for it when it has ended.
    pub(crate) close: Option<Close>,
}

/// All handlers, and what they share.
pub(crate) struct HandlerPlan {
    pub(crate) planned: Vec<PlannedHandler>,
    /// In place of the store's own.
    pub(crate) checkpoints: Option<Arc<dyn OwnedCheckpoints>>,
    /// In place of the store's own.
    pub(crate) dead_letters: Option<Arc<dyn DeadLetters>>,
    pub(crate) persistence: PersistenceSettings,
    pub(crate) lease: Duration,
    pub(crate) observer: Arc<dyn HandlerObserver>,
    pub(crate) persistence_observer: Arc<dyn PersistenceObserver>,
}

impl Default for HandlerPlan {
    fn default() -> Self {
        Self {
            planned: Vec::new(),
            checkpoints: None,
            dead_letters: None,
            persistence: PersistenceSettings::default(),
            lease: CheckpointBoard::LEASE,
            observer: Arc::new(NoObserver),
            persistence_observer: Arc::new(NoObserver),
        }
    }
}

impl HandlerPlan {
    /// All that is wrong with it; `taken` are the names of the projections.
    pub(crate) fn problems<'n>(&self, taken: impl IntoIterator<Item = &'n str>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names: BTreeSet<&str> = taken.into_iter().collect();
        for PlannedHandler { name, options, .. } in &self.planned {
            if name.is_empty() || name.len() > LONGEST {
                problems.push(format!("handler {name:?} needs a name of 1 to {LONGEST} bytes"));
            }
            if !names.insert(name) {
                problems.push(format!(
                    "{name} is named twice: each handler and projection needs a name of its own"
                ));
            }
            let violations = options.settings.validate().err().unwrap_or_default();
            problems.extend(violations.into_iter().map(|violation| format!("handler {name}: {violation}")));
        }
        let violations = self.persistence.validate_serving(self.planned.len()).err().unwrap_or_default();
        problems.extend(violations.into_iter().map(|violation| format!("checkpoints: {violation}")));
        if self.lease.is_zero() {
            problems.push("the lease of a checkpoint is 0: nobody could own one".to_owned());
        }
        problems
    }
}

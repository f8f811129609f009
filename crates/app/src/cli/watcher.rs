//! Sees what the runners do: log lines, and bars that move with the commits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use highwater::{LogObserver, Observer, Seen, TokioClock};
use highwater_core::model::ProjectionName;

use super::output::Progress;

/// Logs what happens, and moves the bar of a projection that has one.
pub(crate) struct Watcher {
    log: LogObserver,
    bars: Mutex<HashMap<ProjectionName, Progress>>,
}

impl Watcher {
    /// A watcher without bars.
    pub(crate) fn new() -> Arc<Self> {
        let log = LogObserver::new(Arc::new(TokioClock::new()));
        Arc::new(Self { log, bars: Mutex::default() })
    }

    /// Moves `bar` with the commits of this projection from now on.
    pub(crate) fn show(&self, name: ProjectionName, bar: Progress) {
        self.bars().insert(name, bar);
    }

    /// Takes all bars away.
    pub(crate) fn hide(&self) {
        self.bars().drain().for_each(|(_, bar)| bar.finish());
    }

    fn bars(&self) -> std::sync::MutexGuard<'_, HashMap<ProjectionName, Progress>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn seen(&self, projection: &ProjectionName, what: &Seen<'_>) {
        self.log.seen(projection, what);
        if let Seen::Committed { applied, failed, duplicates, .. } = what
            && let Some(bar) = self.bars().get(projection)
        {
            bar.advance(applied + failed + duplicates);
        }
    }
}

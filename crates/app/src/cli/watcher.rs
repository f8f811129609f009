//! Sees what the runners do: log lines, metrics, signs of life, and bars that move with the commits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater::{LogObserver, Observer, Seen, TokioClock};
use highwater_core::model::ProjectionName;
use highwater_core::ports::{Clock, Moment};
use highwater_runtime::telemetry::MetricsObserver;

use super::output::Progress;

/// Logs and counts what happens, and moves the bar of a projection that has one.
pub(crate) struct Watcher {
    log: LogObserver,
    clock: Arc<TokioClock>,
    beats: Mutex<HashMap<ProjectionName, Moment>>,
    bars: Mutex<HashMap<ProjectionName, Progress>>,
}

impl Watcher {
    /// A watcher without bars.
    pub(crate) fn new() -> Arc<Self> {
        let clock = Arc::new(TokioClock::new());
        let log = LogObserver::new(clock.clone());
        Arc::new(Self { log, clock, beats: Mutex::default(), bars: Mutex::default() })
    }

    /// Moves `bar` with the commits of this projection from now on.
    pub(crate) fn show(&self, name: ProjectionName, bar: Progress) {
        self.bars().insert(name, bar);
    }

    /// Takes all bars away.
    pub(crate) fn hide(&self) {
        self.bars().drain().for_each(|(_, bar)| bar.finish());
    }

    /// For how long nothing has been heard of each projection.
    pub(crate) fn silences(&self) -> HashMap<ProjectionName, Duration> {
        let now = self.clock.now();
        self.beats().iter().map(|(name, at)| (name.clone(), now.since(*at))).collect()
    }

    fn beats(&self) -> MutexGuard<'_, HashMap<ProjectionName, Moment>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bars(&self) -> MutexGuard<'_, HashMap<ProjectionName, Progress>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn seen(&self, projection: &ProjectionName, what: &Seen<'_>) {
        self.log.seen(projection, what);
        MetricsObserver.seen(projection, what);
        self.beats().insert(projection.clone(), self.clock.now());
        if let Seen::Committed { applied, failed, duplicates, .. } = what
            && let Some(bar) = self.bars().get(projection)
        {
            bar.advance(applied + failed + duplicates);
        }
    }
}

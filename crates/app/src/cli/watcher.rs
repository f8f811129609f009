//! Sees what the runners do: log lines, metrics, signs of life, and bars that move with the commits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater::{
    HandlerLog, HandlerObserver, HandlerSeen, LogObserver, Observer, PersistenceLog, PersistenceObserver,
    Seen, TokioClock,
};
use highwater_core::model::ProjectionName;
use highwater_core::ports::{Clock, Moment, PersistenceSeen};
use highwater_runtime::telemetry::{HandlerMetrics, MetricsObserver, PersistenceMetrics};

use super::output::Progress;

/// Logs and counts what happens, and moves the bar of a projection or a handler that has one. Their names are unlike.
pub(crate) struct Watcher {
    log: LogObserver,
    handler_log: HandlerLog,
    persistence_log: PersistenceLog,
    clock: Arc<TokioClock>,
    beats: Mutex<HashMap<String, Moment>>,
    bars: Mutex<HashMap<String, Progress>>,
}

impl Watcher {
    /// A watcher without bars.
    pub(crate) fn new() -> Arc<Self> {
        let clock = Arc::new(TokioClock::new());
        let log = LogObserver::new(clock.clone());
        let handler_log = HandlerLog::new(clock.clone());
        let persistence_log = PersistenceLog::new(clock.clone());
        let (beats, bars) = (Mutex::default(), Mutex::default());
        Arc::new(Self { log, handler_log, persistence_log, clock, beats, bars })
    }

    /// The clock that it counts by.
    pub(crate) fn clock(&self) -> Arc<TokioClock> {
        self.clock.clone()
    }

    /// Moves `bar` with the commits of this projection, or with what this handler settles, from now on.
    pub(crate) fn show(&self, name: &str, bar: Progress) {
        self.bars().insert(name.to_owned(), bar);
    }

    /// Takes all bars away.
    pub(crate) fn hide(&self) {
        self.bars().drain().for_each(|(_, bar)| bar.finish());
    }

    /// For how long nothing has been heard of each projection and handler.
    pub(crate) fn silences(&self) -> HashMap<String, Duration> {
        let now = self.clock.now();
        self.beats().iter().map(|(name, at)| (name.clone(), now.since(*at))).collect()
    }

    fn beats(&self) -> MutexGuard<'_, HashMap<String, Moment>> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bars(&self) -> MutexGuard<'_, HashMap<String, Progress>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn seen(&self, projection: &ProjectionName, what: &Seen<'_>) {
        self.log.seen(projection, what);
        MetricsObserver.seen(projection, what);
        self.beats().insert(projection.as_str().to_owned(), self.clock.now());
        if let Seen::Committed { applied, failed, duplicates, .. } = what
            && let Some(bar) = self.bars().get(projection.as_str())
        {
            bar.advance(applied + failed + duplicates);
        }
    }
}

impl HandlerObserver for Watcher {
    fn seen(&self, group: &str, what: &HandlerSeen<'_>) {
        self.handler_log.seen(group, what);
        HandlerMetrics.seen(group, what);
        self.beats().insert(group.to_owned(), self.clock.now());
        if let HandlerSeen::Settled(news) = what
            && let Some(bar) = self.bars().get(group)
        {
            bar.advance(news.processed + news.dead_lettered + news.skipped + news.duplicates);
        }
    }
}

impl PersistenceObserver for Watcher {
    fn seen(&self, target: &str, what: &PersistenceSeen<'_>) {
        self.persistence_log.seen(target, what);
        PersistenceMetrics.seen(target, what);
    }
}

//! What the worker's task and the handles hold together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use highwater_core::breaker::{BreakerChange, SharedBreaker};
use highwater_core::ports::{Clock, Jitter, Moment, PersistTarget, PersistenceObserver, PersistenceSeen};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::persistence::ShutdownReport;
use crate::persistence::state::State;

/// The state behind its lock, the ports, and the signals. Nothing foreign is called under the lock, and no
/// call of the target holds it, so whoever asks is answered at once.
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) target: Arc<dyn PersistTarget>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) jitter: Arc<dyn Jitter>,
    pub(super) breaker: SharedBreaker,
    pub(super) began: Moment,
    /// Ends the worker's waits.
    pub(super) wake: Notify,
    /// A stop is asked for.
    pub(super) stop: CancellationToken,
    /// Something that somebody may wait for has changed.
    pub(super) progress: watch::Sender<()>,
    observer: Arc<dyn PersistenceObserver>,
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(
        name: String,
        target: Arc<dyn PersistTarget>,
        (clock, jitter): (Arc<dyn Clock>, Arc<dyn Jitter>),
        observer: Arc<dyn PersistenceObserver>,
        state: State,
    ) -> Self {
        Self {
            name,
            target,
            began: clock.now(),
            clock,
            jitter,
            breaker: SharedBreaker::new(state.settings.breaker()),
            wake: Notify::new(),
            stop: CancellationToken::new(),
            progress: watch::Sender::new(()),
            observer,
            state: Mutex::new(state),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Only our own code runs under the lock. If it panicked, each key is still where it was.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the observer. Never call it under the lock.
    pub(super) fn tell(&self, what: &PersistenceSeen<'_>) {
        self.observer.seen(&self.name, what);
    }

    pub(super) fn tell_change(&self, change: Option<BreakerChange>) {
        if let Some(change) = change {
            self.tell(&PersistenceSeen::BreakerChanged(change));
        }
    }

    /// What is left now; the observer is told once, by whoever comes first: the worker, or, if it died or is
    /// blocked, whoever shuts it down.
    pub(super) fn stopped(&self) -> ShutdownReport {
        let (report, told) = {
            let mut state = self.lock();
            (state.report(), std::mem::replace(&mut state.told, true))
        };
        if !told {
            self.tell(&PersistenceSeen::Stopped { flushed: report.flushed, residue: &report.residue });
        }
        report
    }

    /// Something that somebody may wait for has changed.
    pub(super) fn announce(&self) {
        self.progress.send_replace(());
    }

    /// Closes the intake and asks the worker to stop. Returns at once; again is harmless.
    pub(super) fn close(&self) {
        self.lock().close(self.clock.now());
        self.stop.cancel();
        self.announce();
    }
}

//! What happens to persistence workers, as log lines and as metrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater_core::breaker::BreakerState;
use highwater_core::ports::{Clock, Moment, PersistenceObserver, PersistenceSeen};
use metrics::{SharedString, counter, gauge, histogram};
use tracing::{debug, error, info, warn};

use super::persistence_metric as metric;

/// The target of all lines, as tracing means it.
const TARGET: &str = "highwater";
/// Lines about trouble of one kind are logged at most this often for one worker.
const REPEATED_EVERY: Duration = Duration::from_secs(5);
/// At most so many keys stand in a line.
const MOST_KEYS: usize = 20;

/// Logs with `tracing`, under the target `highwater`; each line has the field `target_name`.
pub struct PersistenceLog {
    clock: Arc<dyn Clock>,
    /// By worker and kind of trouble.
    quiet: Mutex<HashMap<(String, &'static str), Quiet>>,
}

struct Quiet {
    logged: Moment,
    left_out: u64,
}

impl PersistenceLog {
    /// Logs; `clock` limits the rate.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, quiet: Mutex::default() }
    }

    /// How many lines of the kind were left out, if this one is to be logged.
    fn admit(&self, worker: &str, kind: &'static str) -> Option<u64> {
        let now = self.clock.now();
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let before = quiet.get_mut(&(worker.to_owned(), kind));
        if let Some(before) = before
            && now.since(before.logged) < REPEATED_EVERY
        {
            before.left_out += 1;
            return None;
        }
        let before = quiet.insert((worker.to_owned(), kind), Quiet { logged: now, left_out: 0 });
        Some(before.map_or(0, |before| before.left_out))
    }
}

impl PersistenceObserver for PersistenceLog {
    fn seen(&self, target: &str, what: &PersistenceSeen<'_>) {
        match what {
            PersistenceSeen::Started => {
                debug!(target: TARGET, target_name = target, "persistence worker started")
            }
            PersistenceSeen::Flushed { flushed, failed, took, pending } => {
                let millis = millis(*took);
                debug!(
                    target: TARGET,
                    target_name = target,
                    flushed,
                    failed,
                    pending,
                    millis,
                    "dirty keys written"
                );
            }
            PersistenceSeen::KeyFailed { key, error, attempts } => {
                if let Some(left_out) = self.admit(target, "key") {
                    let why = error.chain();
                    warn!(
                        target: TARGET,
                        target_name = target,
                        key,
                        attempts,
                        left_out,
                        "a key was not written: {why}"
                    );
                }
            }
            PersistenceSeen::CallFailed { keys, error, took } => {
                if let Some(left_out) = self.admit(target, "call") {
                    let (why, millis) = (error.chain(), millis(*took));
                    warn!(
                        target: TARGET,
                        target_name = target,
                        keys,
                        millis,
                        left_out,
                        "dirty keys were not written: {why}"
                    );
                }
            }
            PersistenceSeen::CallTimedOut { keys, after } => {
                if let Some(left_out) = self.admit(target, "time-out") {
                    let millis = millis(*after);
                    warn!(
                        target: TARGET,
                        target_name = target,
                        keys,
                        millis,
                        left_out,
                        "the target did not answer in time: its keys stay dirty and are tried in halves"
                    );
                }
            }
            PersistenceSeen::BreakerChanged(change) => {
                let (from, state, trips) = (change.from.as_str(), change.to.as_str(), change.trips);
                if change.to == BreakerState::Open {
                    error!(
                        target: TARGET,
                        target_name = target,
                        from,
                        state,
                        trips,
                        "circuit breaker opened: the target does not answer and is left alone for a while"
                    );
                } else {
                    info!(
                        target: TARGET,
                        target_name = target,
                        from,
                        state,
                        trips,
                        "circuit breaker changed"
                    );
                }
            }
            PersistenceSeen::NearlyFull { pending, max_pending } => {
                warn!(
                    target: TARGET,
                    target_name = target,
                    pending,
                    max_pending,
                    "80 % of the places for dirty keys are taken"
                );
            }
            PersistenceSeen::Refused { max_pending } => {
                if let Some(left_out) = self.admit(target, "refused") {
                    warn!(
                        target: TARGET,
                        target_name = target,
                        max_pending,
                        left_out,
                        "no place for another dirty key"
                    );
                }
            }
            PersistenceSeen::Reconfigured => {
                info!(target: TARGET, target_name = target, "persistence worker has other settings");
            }
            PersistenceSeen::WorkerPanicked { reason } => {
                error!(target: TARGET, target_name = target, "persistence worker starts again: {reason}");
            }
            PersistenceSeen::Stopped { flushed, residue: [] } => {
                info!(target: TARGET, target_name = target, flushed, "persistence worker stopped");
            }
            PersistenceSeen::Stopped { flushed, residue } => {
                let keys = residue.iter().take(MOST_KEYS).map(|key| format!("{key:?}"));
                let keys = keys.collect::<Vec<_>>().join(", ");
                error!(
                    target: TARGET,
                    target_name = target,
                    flushed,
                    residue = residue.len(),
                    keys,
                    "persistence worker stopped with dirty keys: what they stand for is done again"
                );
            }
            other => debug!(target: TARGET, target_name = target, ?other, "seen"),
        }
    }
}

/// Counts with the `metrics` facade. Without a recorder it costs next to nothing and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct PersistenceMetrics;

impl PersistenceObserver for PersistenceMetrics {
    fn seen(&self, target: &str, what: &PersistenceSeen<'_>) {
        let name = SharedString::from(target.to_owned());
        let count = |metric: &'static str, by: usize| {
            counter!(metric, "target" => name.clone()).increment(u64::try_from(by).unwrap_or(u64::MAX));
        };
        let called = |outcome: &'static str| {
            counter!(metric::CALLS, "target" => name.clone(), "outcome" => outcome).increment(1);
        };
        let took = |took: &Duration| {
            histogram!(metric::CALL_SECONDS, "target" => name.clone()).record(took.as_secs_f64());
        };
        match what {
            PersistenceSeen::Started => {
                gauge!(metric::BREAKER_STATE, "target" => name.clone()).set(0.0);
            }
            PersistenceSeen::Flushed { flushed, failed, took: time, pending } => {
                called("answered");
                took(time);
                count(metric::KEYS_FLUSHED, *flushed);
                count(metric::KEYS_FAILED, *failed);
                let pending = u32::try_from(*pending).unwrap_or(u32::MAX);
                gauge!(metric::PENDING, "target" => name.clone()).set(f64::from(pending));
            }
            PersistenceSeen::CallFailed { keys, took: time, .. } => {
                called("failed");
                took(time);
                count(metric::KEYS_FAILED, *keys);
            }
            PersistenceSeen::CallTimedOut { keys, .. } => {
                called("timed-out");
                count(metric::KEYS_FAILED, *keys);
            }
            PersistenceSeen::BreakerChanged(change) => {
                let state = match change.to {
                    BreakerState::Closed => 0.0,
                    BreakerState::HalfOpen => 1.0,
                    BreakerState::Open => 2.0,
                };
                gauge!(metric::BREAKER_STATE, "target" => name.clone()).set(state);
                if change.to == BreakerState::Open {
                    count(metric::BREAKER_TRIPS, 1);
                }
            }
            PersistenceSeen::NearlyFull { .. } => count(metric::NEARLY_FULL, 1),
            PersistenceSeen::Refused { .. } => count(metric::REFUSED, 1),
            PersistenceSeen::WorkerPanicked { .. } => count(metric::PANICS, 1),
            PersistenceSeen::Stopped { residue, .. } => count(metric::RESIDUE, residue.len()),
            _ => {}
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Turns what happens into log lines.
//!
//! Repetition is kept down: a busy projection commits many times a second, so batches are summed up and logged at
//! most once in five seconds, and the same failure of one projection is logged at most so often, too, with
//! the number of times it was left out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use highwater_core::model::{Position, ProjectionName, rfc3339};
use highwater_core::ports::{Clock, Moment, Observer, Seen};
use tracing::{debug, error, info, warn};

/// The target of all lines.
const TARGET: &str = "highwater";
/// Equal lines, and sums of batches, are logged at most this often for one projection.
const SUMMARY_EVERY: Duration = Duration::from_secs(5);

/// Logs with `tracing`, under the target `highwater`.
pub struct LogObserver {
    clock: Arc<dyn Clock>,
    projections: Mutex<HashMap<ProjectionName, Quiet>>,
}

#[derive(Default)]
struct Quiet {
    applied: u64,
    failed: u64,
    batches: u64,
    summed_up: Option<Moment>,
    trouble: Option<(String, Moment)>,
    left_out: u64,
}

impl LogObserver {
    /// Logs; `clock` limits the rate.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, projections: Mutex::new(HashMap::new()) }
    }

    /// How many equal lines were left out, if this one is to be logged.
    fn admit(&self, projection: &ProjectionName, text: &str) -> Option<u64> {
        let now = self.clock.now();
        let mut projections = self.projections.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = projections.entry(projection.clone()).or_default();
        match &quiet.trouble {
            Some((last, at)) if last == text && now.since(*at) < SUMMARY_EVERY => {
                quiet.left_out += 1;
                None
            }
            _ => {
                quiet.trouble = Some((text.to_owned(), now));
                Some(std::mem::take(&mut quiet.left_out))
            }
        }
    }

    fn sum_up(&self, projection: &ProjectionName, applied: u64, failed: u64) -> Option<(u64, u64, u64)> {
        let now = self.clock.now();
        let mut projections = self.projections.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = projections.entry(projection.clone()).or_default();
        quiet.applied += applied;
        quiet.failed += failed;
        quiet.batches += 1;
        if quiet.summed_up.is_some_and(|at| now.since(at) < SUMMARY_EVERY) {
            return None;
        }
        quiet.summed_up = Some(now);
        Some(quiet.take())
    }

    fn rest(&self, projection: &ProjectionName) -> Option<(u64, u64, u64)> {
        let mut projections = self.projections.lock().unwrap_or_else(PoisonError::into_inner);
        projections.get_mut(projection).map(Quiet::take).filter(|&(_, _, batches)| batches > 0)
    }
}

impl Quiet {
    fn take(&mut self) -> (u64, u64, u64) {
        let sums = (self.applied, self.failed, self.batches);
        (self.applied, self.failed, self.batches) = (0, 0, 0);
        sums
    }
}

fn text(position: Option<Position>) -> String {
    position.map_or_else(|| "-".to_owned(), |position| position.to_string())
}

impl Observer for LogObserver {
    fn seen(&self, projection: &ProjectionName, what: &Seen<'_>) {
        let name = projection.as_str();
        match what {
            Seen::StandingBy => {
                info!(target: TARGET, projection = name, "another instance runs this projection; standing by")
            }
            Seen::Started { epoch, after } => {
                info!(target: TARGET, projection = name, epoch, after = text(*after), "started");
            }
            Seen::Committed { applied, failed, duplicates, scanned, took } => {
                let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                debug!(
                    target: TARGET,
                    projection = name,
                    applied,
                    failed,
                    duplicates,
                    scanned = text(*scanned),
                    millis,
                    "batch committed"
                );
                if let Some((applied, failed, batches)) = self.sum_up(projection, *applied, *failed) {
                    info!(target: TARGET, projection = name, applied, failed, batches, scanned = text(*scanned), "progress");
                }
            }
            Seen::EventFailed(row) => {
                if let Some(left_out) = self.admit(projection, &row.message) {
                    warn!(
                        target: TARGET,
                        projection = name,
                        state = row.state.as_str(),
                        class = row.class.as_str(),
                        attempts = row.attempts,
                        position = %row.position,
                        event_type = &*row.event_type,
                        event_id = %row.id,
                        stream = &*row.stream,
                        code = row.code.as_deref(),
                        next_attempt = row.next_attempt_micros.map(rfc3339),
                        left_out,
                        "event failed: {}",
                        row.message
                    );
                }
            }
            Seen::EventRecovered { position } => {
                info!(target: TARGET, projection = name, %position, "a failed event was applied after all");
            }
            Seen::WholeBatchOnly { events } => warn!(
                target: TARGET,
                projection = name,
                events,
                "a batch failed as a whole while each of its events passed alone: its SQL may not give the same \
                 result however the log is cut"
            ),
            Seen::Retrying { error, after, attempt } => {
                let why = error.chain();
                if let Some(left_out) = self.admit(projection, &why) {
                    let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                    warn!(target: TARGET, projection = name, attempt, millis, left_out, "will try again: {why}");
                }
            }
            Seen::Stalled { reason } => {
                error!(target: TARGET, projection = name, "stalled, position kept: {reason}")
            }
            Seen::Healed => info!(target: TARGET, projection = name, "healed"),
            Seen::CaughtUp { scanned } => {
                if let Some((applied, failed, batches)) = self.rest(projection) {
                    info!(target: TARGET, projection = name, applied, failed, batches, scanned = text(*scanned), "progress");
                }
                info!(target: TARGET, projection = name, scanned = text(*scanned), "caught up");
            }
            Seen::Paused => info!(target: TARGET, projection = name, "paused by an operator"),
            Seen::Resumed => info!(target: TARGET, projection = name, "resumed"),
            Seen::LostOwnership => {
                warn!(target: TARGET, projection = name, "another instance has taken over; standing by")
            }
            Seen::OutcomeUnknown => {
                warn!(target: TARGET, projection = name, "the answer to a commit was lost; reading the state again")
            }
            Seen::Faulted { reason } => error!(target: TARGET, projection = name, "faulted: {reason}"),
            Seen::CheckpointEventAbsent { position } => warn!(
                target: TARGET,
                projection = name,
                %position,
                "the last event processed is no longer in the log; going on, since logs may drop old events"
            ),
            Seen::Stopped => info!(target: TARGET, projection = name, "stopped"),
            Seen::Heartbeat => {}
            other => debug!(target: TARGET, projection = name, ?other, "seen"),
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_testkit::time::VirtualClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn equal_lines_are_admitted_once_in_five_seconds_with_the_count_of_the_rest() {
        let clock = Arc::new(VirtualClock::new());
        let observer = LogObserver::new(clock.clone());
        let name = |name: &str| ProjectionName::new(name).unwrap();
        assert_eq!(observer.admit(&name("p"), "no such customer"), Some(0));
        for _ in 0..100 {
            assert_eq!(observer.admit(&name("p"), "no such customer"), None);
        }
        assert_eq!(observer.admit(&name("other"), "no such customer"), Some(0), "each projection for itself");
        clock.sleep(SUMMARY_EVERY).await;
        assert_eq!(observer.admit(&name("p"), "no such customer"), Some(100));
        assert_eq!(observer.admit(&name("p"), "something else"), Some(0), "news is told at once");
    }
}

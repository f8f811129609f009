//! Turns what happens into metrics, for whichever recorder the program has installed.

use highwater_core::model::ProjectionName;
use highwater_core::ports::{Observer, Seen};
use metrics::{SharedString, counter, gauge, histogram};

use super::metric;

/// Counts with the `metrics` facade. Without a recorder it costs next to nothing and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsObserver;

impl Observer for MetricsObserver {
    fn seen(&self, projection: &ProjectionName, what: &Seen<'_>) {
        let name = SharedString::from(projection.as_str().to_owned());
        let count = |metric: &'static str, by: u64| {
            counter!(metric, "projection" => name.clone()).increment(by);
        };
        let set = |metric: &'static str, value: f64| {
            gauge!(metric, "projection" => name.clone()).set(value);
        };
        match what {
            Seen::Started { .. } => {
                set(metric::STALLED, 0.0);
                set(metric::FAULTED, 0.0);
            }
            Seen::Committed { applied, failed, duplicates, took, .. } => {
                count(metric::BATCHES, 1);
                count(metric::EVENTS_APPLIED, *applied);
                count(metric::EVENTS_SET_ASIDE, *failed);
                count(metric::EVENTS_DUPLICATE, *duplicates);
                histogram!(metric::BATCH_SECONDS, "projection" => name.clone()).record(took.as_secs_f64());
            }
            Seen::EventFailed(failed) => {
                let class = failed.class.as_str();
                counter!(metric::ATTEMPTS_FAILED, "projection" => name.clone(), "class" => class)
                    .increment(1);
            }
            Seen::EventRecovered { .. } => count(metric::EVENTS_RECOVERED, 1),
            Seen::WholeBatchOnly { .. } => count(metric::BATCHES_FAILED_WHOLE, 1),
            Seen::Retrying { .. } => count(metric::BATCHES_RETRIED, 1),
            Seen::Stalled { .. } => set(metric::STALLED, 1.0),
            Seen::Healed => set(metric::STALLED, 0.0),
            Seen::LostOwnership => count(metric::OWNERSHIP_LOST, 1),
            Seen::OutcomeUnknown => count(metric::COMMITS_UNKNOWN, 1),
            Seen::Faulted { .. } => set(metric::FAULTED, 1.0),
            _ => {}
        }
    }
}

//! What happens to at-least-once runners, as metrics, for whichever recorder the program has installed.

use highwater_core::ports::{HandlerObserver, HandlerSeen};
use metrics::{SharedString, counter, gauge};

use super::handler_metric as metric;

/// Counts with the `metrics` facade. Without a recorder it costs next to nothing and does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandlerMetrics;

impl HandlerObserver for HandlerMetrics {
    fn seen(&self, group: &str, what: &HandlerSeen<'_>) {
        let name = SharedString::from(group.to_owned());
        let count = |metric: &'static str, by: u64| {
            if by > 0 {
                counter!(metric, "group" => name.clone()).increment(by);
            }
        };
        let set = |metric: &'static str, on: bool| {
            gauge!(metric, "group" => name.clone()).set(if on { 1.0 } else { 0.0 });
        };
        match what {
            HandlerSeen::Started { .. } => {
                set(metric::STALLED, false);
                set(metric::FAULTED, false);
            }
            HandlerSeen::Settled(news) => {
                count(metric::EVENTS_HANDLED, news.processed);
                count(metric::EVENTS_DEAD_LETTERED, news.dead_lettered);
                count(metric::EVENTS_SKIPPED, news.skipped);
                count(metric::EVENTS_DUPLICATE, news.duplicates);
            }
            HandlerSeen::AttemptFailed(attempt) => {
                let class = attempt.decided.class.as_str();
                counter!(metric::ATTEMPTS_FAILED, "group" => name.clone(), "class" => class).increment(1);
            }
            HandlerSeen::CallFailed { .. } => count(metric::CALLS_FAILED, 1),
            HandlerSeen::EventRecovered { .. } => count(metric::EVENTS_RECOVERED, 1),
            HandlerSeen::LetterFailed { .. } => count(metric::LETTERS_FAILED, 1),
            HandlerSeen::Retrying { .. } => count(metric::RETRIES, 1),
            HandlerSeen::Flushed { .. } => count(metric::CHECKPOINTS, 1),
            HandlerSeen::BreakerOpened { .. } => {
                count(metric::BREAKER_TRIPS, 1);
                set(metric::BREAKER_OPEN, true);
            }
            HandlerSeen::BreakerClosed => set(metric::BREAKER_OPEN, false),
            HandlerSeen::Stalled { .. } => set(metric::STALLED, true),
            HandlerSeen::Healed => set(metric::STALLED, false),
            HandlerSeen::LostOwnership => count(metric::OWNERSHIP_LOST, 1),
            HandlerSeen::Faulted { .. } => set(metric::FAULTED, true),
            _ => {}
        }
    }
}

//! The names of the metrics of at-least-once runners; the promises are those of
//! [`metric`](crate::telemetry::metric).
//!
//! Every one has the label `group`.

/// Counter: events that the handler took.
pub const EVENTS_HANDLED: &str = "highwater_handler_events_handled_total";
/// Counter: events that went to the dead letters.
pub const EVENTS_DEAD_LETTERED: &str = "highwater_handler_events_dead_lettered_total";
/// Counter: events that were left out.
pub const EVENTS_SKIPPED: &str = "highwater_handler_events_skipped_total";
/// Counter: events dropped because they were processed before.
pub const EVENTS_DUPLICATE: &str = "highwater_handler_events_duplicate_total";
/// Counter: events that were handled after they had failed.
pub const EVENTS_RECOVERED: &str = "highwater_handler_events_recovered_total";
/// Counter: failed attempts at one event; label `class`.
pub const ATTEMPTS_FAILED: &str = "highwater_handler_attempts_failed_total";
/// Counter: calls with several events that failed without saying at which.
pub const CALLS_FAILED: &str = "highwater_handler_calls_failed_total";
/// Counter: times that the dead letters did not take a letter.
pub const LETTERS_FAILED: &str = "highwater_handler_letters_failed_total";
/// Counter: times that the log or the checkpoint store failed for a passing reason.
pub const RETRIES: &str = "highwater_handler_retries_total";
/// Counter: checkpoints that are stored.
pub const CHECKPOINTS: &str = "highwater_handler_checkpoints_total";
/// Counter: times that the circuit breaker opened.
pub const BREAKER_TRIPS: &str = "highwater_handler_breaker_trips_total";
/// Gauge: 1 while the circuit breaker is not closed.
pub const BREAKER_OPEN: &str = "highwater_handler_breaker_open";
/// Counter: times that another one took over, or an operator reset the checkpoint.
pub const OWNERSHIP_LOST: &str = "highwater_handler_ownership_lost_total";
/// Gauge: matching events that are not settled yet, in the process that owns the group.
pub const LAG_EVENTS: &str = "highwater_handler_lag_events";
/// Gauge: the distance to the log's head, in the log's own numbers.
pub const LAG_POSITIONS: &str = "highwater_handler_lag_positions";
/// Gauge: seconds between the times of the head event and of the last one that is settled.
pub const LAG_SECONDS: &str = "highwater_handler_lag_seconds";
/// Gauge: 1 while it waits for something to heal.
pub const STALLED: &str = "highwater_handler_stalled";
/// Gauge: 1 after it stopped for good, until somebody mends what is wrong.
pub const FAULTED: &str = "highwater_handler_faulted";

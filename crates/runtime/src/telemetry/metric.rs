//! The names of the metrics. They are part of what a release promises: a name changes its meaning never, and goes
//! away with a major version only.
//!
//! Every metric of a projection has the label `projection`. Counters count what was confirmed, in this
//! process, from its start. Names follow the conventions of Prometheus
//! (<https://prometheus.io/docs/practices/naming/>): base units, and `_total` for counters.

/// Counter: events applied and committed.
pub const EVENTS_APPLIED: &str = "highwater_events_applied_total";
/// Counter: events set aside: parked, held or recorded.
pub const EVENTS_SET_ASIDE: &str = "highwater_events_set_aside_total";
/// Counter: failed events that were applied after all.
pub const EVENTS_RECOVERED: &str = "highwater_events_recovered_total";
/// Counter: events dropped because they were processed before.
pub const EVENTS_DUPLICATE: &str = "highwater_events_duplicate_total";
/// Counter: failed attempts that were recorded; label `class`.
pub const ATTEMPTS_FAILED: &str = "highwater_attempts_failed_total";
/// Counter: batches committed.
pub const BATCHES: &str = "highwater_batches_total";
/// Histogram: how long the transaction of a committed batch took, in seconds.
pub const BATCH_SECONDS: &str = "highwater_batch_seconds";
/// Counter: batches that failed for a passing reason and were tried again.
pub const BATCHES_RETRIED: &str = "highwater_batches_retried_total";
/// Counter: batches that failed as a whole while each of their events passed alone.
pub const BATCHES_FAILED_WHOLE: &str = "highwater_batches_failed_whole_total";
/// Counter: times that another instance took over from this one.
pub const OWNERSHIP_LOST: &str = "highwater_ownership_lost_total";
/// Counter: commits whose answer was lost, so that the state had to be read again.
pub const COMMITS_UNKNOWN: &str = "highwater_commits_unknown_total";
/// Gauge: 1 while it waits for its surroundings to heal.
pub const STALLED: &str = "highwater_stalled";
/// Gauge: 1 after it stopped for good, until somebody mends what is wrong.
pub const FAULTED: &str = "highwater_faulted";
/// Gauge, when asked: events of the projection that it has not looked at; absent where the log cannot count.
pub const LAG_EVENTS: &str = "highwater_lag_events";
/// Gauge, when asked: how far it is behind the log's head, in the log's own numbers.
pub const LAG_POSITIONS: &str = "highwater_lag_positions";
/// Gauge, when asked: seconds between the times of the head event and of the last event it looked at.
pub const LAG_SECONDS: &str = "highwater_lag_seconds";
/// Gauge, when asked: failed events by `state`: retrying, parked, held, recorded.
pub const FAILED_EVENTS: &str = "highwater_failed_events";
/// Counter, where the store has such keys: batches that had won their state while somebody else held the lock key
/// that goes with it, which decides nothing. No labels.
pub const KEY_COLLISIONS: &str = "highwater_lock_key_collisions_total";
/// Gauge, when asked: for how many seconds something has kept readers of the log from going on, such as an
/// appender that does not end its transaction; 0 where nothing does.
pub const LOG_HELD_BACK_SECONDS: &str = "highwater_log_held_back_seconds";

//! The names of the metrics of persistence workers; the promises are those of
//! [`metric`](crate::telemetry::metric).
//!
//! Every one has the label `target`, the name of what is written to.

/// Counter: dirty keys that were written and confirmed, a key counted once for each call.
pub const KEYS_FLUSHED: &str = "highwater_persistence_keys_flushed_total";
/// Counter: keys that were not: refused, or their call failed or timed out.
pub const KEYS_FAILED: &str = "highwater_persistence_keys_failed_total";
/// Counter: calls of the target; label `outcome`: answered, failed, timed-out.
pub const CALLS: &str = "highwater_persistence_calls_total";
/// Histogram: how long the calls took that came back, in seconds.
pub const CALL_SECONDS: &str = "highwater_persistence_call_seconds";
/// Gauge: keys that were dirty after the last call that was answered.
pub const PENDING: &str = "highwater_persistence_pending";
/// Counter: new keys that found no place.
pub const REFUSED: &str = "highwater_persistence_refused_total";
/// Counter: times that 80 % of the places were taken.
pub const NEARLY_FULL: &str = "highwater_persistence_nearly_full_total";
/// Gauge: the circuit breaker: 0 closed, 1 half-open, 2 open.
pub const BREAKER_STATE: &str = "highwater_persistence_breaker_state";
/// Counter: times that the circuit breaker opened.
pub const BREAKER_TRIPS: &str = "highwater_persistence_breaker_trips_total";
/// Counter: times that the worker's task panicked.
pub const PANICS: &str = "highwater_persistence_panics_total";
/// Counter: keys that were dirty when their worker stopped.
pub const RESIDUE: &str = "highwater_persistence_residue_total";

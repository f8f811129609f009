//! How a run ended, and what it did.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::Error;
use highwater_core::model::Position;
use highwater_core::ports::HandlerTotals;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatchUpEnd {
    /// It was asked to stop.
    Stopped,
    /// It was to end when it had caught up, and has.
    CaughtUp,
    /// It cannot go on.
    Faulted {
        /// Why.
        reason: String,
    },
}

/// What a run did.
#[derive(Debug)]
pub struct CatchUpReport {
    /// The group.
    pub group: Arc<str>,
    /// How it ended.
    pub end: CatchUpEnd,
    /// What was done.
    pub totals: HandlerTotals,
    /// Events whose handling was cut short at the end: they are handled again at the next start.
    pub abandoned: u64,
    /// Everything up to here is settled.
    pub position: Option<Position>,
    /// The checkpoint that is known to be stored.
    pub stored: Option<Position>,
    /// How long it ran, standing by included.
    pub duration: Duration,
    /// Why the last checkpoint is not stored, or the group was not given back; `None` when both were done.
    /// The events behind `stored` are then handled again at the next start, unless the writer gets the mark
    /// through.
    pub unflushed: Option<Error>,
}

impl CatchUpReport {
    /// Events handled a second, over the whole run; 0 for a run that took no time.
    #[must_use]
    pub fn per_second(&self) -> u64 {
        per_second(self.totals.processed, self.duration)
    }
}

/// So many in such a time, a second; 0 for no time.
pub(super) fn per_second(count: u64, took: Duration) -> u64 {
    let rate = (u128::from(count) * 1_000_000_000).checked_div(took.as_nanos()).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_neither_divide_by_zero_nor_overflow() {
        assert_eq!(per_second(500, Duration::from_millis(250)), 2_000);
        assert_eq!(per_second(500, Duration::ZERO), 0);
        assert_eq!(per_second(u64::MAX, Duration::from_nanos(1)), u64::MAX);
        assert_eq!(per_second(1, Duration::MAX), 0);
    }
}

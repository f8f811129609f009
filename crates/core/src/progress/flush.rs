//! When a checkpoint is written (B-5).

use std::time::Duration;

use crate::ports::Moment;

/// A checkpoint is due after so many settled events, or so long after the last one, whichever comes first.
///
/// Both bound what is handled again after a crash: `every` events or `interval` of work, and the events that
/// were done above the low-water mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushRule {
    /// After this many settled events; 0 and 1 = after each.
    pub every: u64,
    /// After this time, if anything was settled in it; zero = after each.
    pub interval: Duration,
}

impl FlushRule {
    /// Whether the checkpoint is due at `now`. `settled_since` counts what was settled since the flush at
    /// `last`; a scanned bound that moved over events that do not match counts as one. Where nothing was,
    /// nothing is due.
    #[must_use]
    pub fn due(&self, settled_since: u64, last: Moment, now: Moment) -> bool {
        settled_since > 0 && (settled_since >= self.every || now.since(last) >= self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: FlushRule = FlushRule { every: 10, interval: Duration::from_millis(500) };

    fn ms(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    #[test]
    fn b_5_after_so_many_events_or_so_long() {
        assert!(!RULE.due(9, ms(1_000), ms(1_499)));
        assert!(RULE.due(10, ms(1_000), ms(1_000)));
        assert!(RULE.due(1, ms(1_000), ms(1_500)));
        assert!(!RULE.due(0, ms(1_000), ms(9_000)), "nothing was settled");
        assert!(!RULE.due(1, ms(1_000), ms(900)), "a moment before the last flush is no time at all");
    }

    #[test]
    fn zero_means_after_each() {
        assert!(FlushRule { every: 0, ..RULE }.due(1, ms(0), ms(0)));
        assert!(FlushRule { interval: Duration::ZERO, ..RULE }.due(1, ms(0), ms(0)));
    }
}

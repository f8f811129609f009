//! Last stage: what is settled, when that is written down, and how far handling may run ahead of it (B-1,
//! B-5, B-13).
//!
//! Two counts say how much a crash would make be done again: what was settled since the last request, and
//! what that request is about to write. When together they reach `checkpoint_batch_size`, nothing is begun
//! before the request has come back. So the bound that the setting promises holds however fast the handler
//! is, and a store that is down holds the handler, too.
//!
//! A mark that cannot move, because an event is held up, counts for nothing: writing would change nothing.

use std::time::Duration;

use highwater_core::model::Position;
use highwater_core::ports::Moment;
use highwater_core::progress::{FlushRule, LowWater};

/// A request that takes longer than this is trouble.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request that was not taken is made again after this time.
const NOT_TAKEN: Duration = Duration::from_millis(100);

pub(super) struct Progress {
    low: LowWater,
    rule: FlushRule,
    /// The checkpoint that is known to be stored.
    stored: Option<Position>,
    /// What was asked to be written last; above `stored` while it is on its way.
    requested: Option<Position>,
    settled_in_request: u64,
    settled_since: u64,
    last_request: Moment,
    not_before: Moment,
}

impl Progress {
    /// Everything up to `after` is settled, and up to `stored` that is written.
    pub(super) fn new(
        after: Option<Position>,
        stored: Option<Position>,
        rule: FlushRule,
        now: Moment,
    ) -> Self {
        Self {
            low: LowWater::new(after),
            rule,
            stored,
            requested: stored,
            settled_in_request: 0,
            settled_since: 0,
            last_request: now,
            not_before: now,
        }
    }

    /// An event was taken in; `false` for one that was before.
    pub(super) fn start(&mut self, position: Position) -> bool {
        self.low.start(position)
    }

    pub(super) fn settle(&mut self, position: Position) {
        self.settled_since += u64::from(self.low.settle(position));
    }

    /// The log was looked at up to here, and all that matches was started.
    pub(super) fn scanned(&mut self, position: Position) {
        self.low.scanned(position);
    }

    /// The end of the longest settled prefix.
    pub(super) fn mark(&self) -> Option<Position> {
        self.low.mark()
    }

    pub(super) fn stored(&self) -> Option<Position> {
        self.stored
    }

    /// How many more events may be settled before the checkpoint has to be written.
    pub(super) fn room(&self) -> u64 {
        if self.mark() <= self.stored {
            return self.rule.every.max(1);
        }
        self.rule.every.max(1).saturating_sub(self.settled_in_request.saturating_add(self.settled_since))
    }

    /// Whether the mark is to be written now. `at_once` = without waiting for a count or a time.
    pub(super) fn due(&self, at_once: bool, now: Moment) -> bool {
        let news = self.mark() > self.requested.max(self.stored);
        // A scanned bound that has moved counts as one event.
        let settled = self.settled_since.max(1);
        news && now >= self.not_before && (at_once || self.rule.due(settled, self.last_request, now))
    }

    /// When it is due by time; `None` where there is nothing to write.
    pub(super) fn due_at(&self) -> Option<Moment> {
        let news = self.mark() > self.requested.max(self.stored);
        news.then(|| (self.last_request + self.rule.interval).max(self.not_before))
    }

    /// The mark was handed over to be written.
    pub(super) fn requested(&mut self, now: Moment) {
        self.requested = self.mark();
        self.settled_in_request = self.settled_in_request.saturating_add(self.settled_since);
        self.settled_since = 0;
        self.last_request = now;
    }

    /// The mark was not taken; it is handed over again a little later.
    pub(super) fn not_taken(&mut self, now: Moment) {
        self.not_before = now + NOT_TAKEN;
    }

    /// So much is known to be stored now; answers whether that is news.
    pub(super) fn confirmed(&mut self, stored: Option<Position>) -> bool {
        if stored <= self.stored {
            return false;
        }
        self.stored = stored;
        if self.stored >= self.requested {
            self.settled_in_request = 0;
        }
        true
    }

    /// When a request that is on its way takes too long.
    pub(super) fn overdue_at(&self) -> Option<Moment> {
        (self.requested > self.stored).then(|| self.last_request + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(commit: u64) -> Position {
        Position::new(commit, 0)
    }

    fn ms(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    fn progress() -> Progress {
        let rule = FlushRule { every: 3, interval: Duration::from_millis(500) };
        let mut progress = Progress::new(None, None, rule, ms(0));
        assert!((1..=20).all(|commit| progress.start(at(commit))));
        progress
    }

    fn settle(progress: &mut Progress, commits: impl IntoIterator<Item = u64>) {
        commits.into_iter().for_each(|commit| progress.settle(at(commit)));
    }

    #[test]
    fn b_5_due_after_so_many_or_so_long_or_at_once() {
        let mut progress = progress();
        assert!(!progress.due(true, ms(9_000)), "nothing is settled");
        assert_eq!(progress.due_at(), None);
        settle(&mut progress, [1, 2]);
        assert!(!progress.due(false, ms(499)) && progress.due(false, ms(500)) && progress.due(true, ms(0)));
        assert_eq!(progress.due_at(), Some(ms(500)));
        settle(&mut progress, [3]);
        assert!(progress.due(false, ms(0)));
        progress.requested(ms(0));
        assert!(!progress.due(true, ms(9_000)), "it is on its way");
    }

    #[test]
    fn b_6_a_scanned_bound_alone_is_due_by_time() {
        let rule = FlushRule { every: 3, interval: Duration::from_millis(500) };
        let mut progress = Progress::new(None, None, rule, ms(0));
        progress.scanned(at(1_000_000));
        assert!(!progress.due(false, ms(499)) && progress.due(false, ms(500)));
    }

    #[test]
    fn b_13_no_more_than_the_bound_is_settled_and_not_stored() {
        let mut progress = progress();
        assert_eq!(progress.room(), 3);
        settle(&mut progress, [1, 2]);
        assert_eq!(progress.room(), 1);
        progress.requested(ms(0));
        assert_eq!(progress.room(), 1, "what is on its way may still be lost");
        settle(&mut progress, [3]);
        assert_eq!(progress.room(), 0);
        assert!(progress.confirmed(Some(at(2))) && !progress.confirmed(Some(at(2))));
        assert_eq!(progress.room(), 2);
    }

    #[test]
    fn b_1_what_is_above_a_held_up_event_does_not_hold_the_others() {
        let mut progress = progress();
        settle(&mut progress, 2..=15);
        assert_eq!((progress.mark(), progress.room()), (None, 3), "there is nothing to write");
        settle(&mut progress, [1]);
        assert_eq!((progress.mark(), progress.room()), (Some(at(15)), 0));
        assert!(progress.due(false, ms(0)));
    }

    #[test]
    fn a_request_that_is_not_taken_is_made_again() {
        let mut progress = progress();
        settle(&mut progress, [1, 2, 3]);
        progress.not_taken(ms(10));
        assert!(!progress.due(true, ms(109)) && progress.due(true, ms(110)));
        assert_eq!(progress.overdue_at(), None);
        progress.requested(ms(110));
        assert_eq!(progress.overdue_at(), Some(ms(110) + PATIENCE));
    }
}

//! The end of the longest settled prefix: the only place to which a checkpoint may move (B-1).

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::model::Position;

/// Events are started in log order and settled in any order; the mark is the last place up to which
/// everything is settled.
///
/// It remembers the events in flight, and for each the place before it that was started or scanned last. The
/// first one in flight is where the settled prefix ends, so its place before is the mark; what has been
/// settled further up needs no memory, however long one event is stuck.
#[derive(Debug, Clone, Default)]
pub struct LowWater {
    in_flight: BTreeMap<Position, Option<Position>>,
    highest: Option<Position>,
}

impl LowWater {
    /// Everything up to `after` is settled; `None` = nothing.
    #[must_use]
    pub fn new(after: Option<Position>) -> Self {
        Self { in_flight: BTreeMap::new(), highest: after }
    }

    /// An event was handed out. Places must rise: one at or below what was started or scanned before is a
    /// duplicate, is not tracked, and answers `false`.
    pub fn start(&mut self, position: Position) -> bool {
        if self.highest.is_some_and(|highest| position <= highest) {
            return false;
        }
        self.in_flight.insert(position, self.highest);
        self.highest = Some(position);
        true
    }

    /// An event in flight is settled; `false` if none is in flight there.
    pub fn settle(&mut self, position: Position) -> bool {
        self.in_flight.remove(&position).is_some()
    }

    /// The log was looked at up to here, and every event in it that matches has been started (B-6).
    pub fn scanned(&mut self, position: Position) {
        if self.highest.is_none_or(|highest| highest < position) {
            self.highest = Some(position);
            return;
        }
        // It came late: events behind it have been started. It is the place before the first of them.
        let behind = (Bound::Excluded(position), Bound::Unbounded);
        if let Some((_, before)) = self.in_flight.range_mut(behind).next() {
            *before = (*before).max(Some(position));
        }
    }

    /// The end of the longest settled prefix; `None` while nothing is settled.
    #[must_use]
    pub fn mark(&self) -> Option<Position> {
        match self.in_flight.first_key_value() {
            Some((_, before)) => *before,
            None => self.highest,
        }
    }

    /// How many events were started and not settled.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(commit: u64) -> Position {
        Position::new(commit, 0)
    }

    #[test]
    fn b_1_the_mark_stops_before_the_first_unsettled_event() {
        let mut low = LowWater::new(Some(at(4)));
        assert_eq!(low.mark(), Some(at(4)));
        for commit in [5, 7, 9] {
            assert!(low.start(at(commit)));
        }
        assert!(low.settle(at(9)));
        assert!(low.settle(at(7)));
        assert_eq!((low.mark(), low.in_flight()), (Some(at(4)), 1));
        assert!(low.settle(at(5)));
        assert_eq!((low.mark(), low.in_flight()), (Some(at(9)), 0));
    }

    #[test]
    fn b_6_scanned_bounds_move_the_mark_over_what_does_not_match() {
        let mut low = LowWater::default();
        assert_eq!(low.mark(), None);
        low.scanned(at(1_000));
        assert_eq!(low.mark(), Some(at(1_000)));
        low.start(at(1_001));
        low.scanned(at(5_000));
        assert_eq!(low.mark(), Some(at(1_000)), "an event below the bound is in flight");
        low.settle(at(1_001));
        assert_eq!(low.mark(), Some(at(5_000)));
        low.scanned(at(10));
        assert_eq!(low.mark(), Some(at(5_000)), "never back");
    }

    #[test]
    fn b_6_a_late_scanned_bound_still_counts() {
        let mut low = LowWater::default();
        low.start(at(5));
        low.start(at(10));
        low.scanned(at(7));
        assert_eq!(low.mark(), None);
        low.settle(at(5));
        assert_eq!(low.mark(), Some(at(7)));
        low.scanned(at(10));
        assert_eq!(low.mark(), Some(at(7)), "the event at the bound itself is in flight");
    }

    #[test]
    fn b_7_duplicates_are_not_tracked() {
        let mut low = LowWater::new(Some(at(5)));
        assert!(!low.start(at(5)));
        assert!(low.start(at(6)));
        assert!(!low.start(at(6)));
        assert!(!low.settle(at(5)), "was never in flight");
        assert!(low.settle(at(6)));
        assert!(!low.settle(at(6)), "settled once");
        assert_eq!(low.mark(), Some(at(6)));
    }

    proptest! {
        /// Against the definition, with at most `lanes` events in flight that complete in random order.
        #[test]
        fn b_1_random_completion_order(
            lanes in 1_usize..=64,
            log in prop::collection::vec((1_u64..4, any::<bool>()), 1..300),
            choices in prop::collection::vec(any::<prop::sample::Index>(), 600),
        ) {
            let mut low = LowWater::default();
            let mut settled: Vec<(Position, bool)> = Vec::new(); // in log order: what was looked at
            let mut flying: Vec<Position> = Vec::new();
            let mut choices = choices.into_iter();
            let mut commit = 0;
            let mut previous = None;
            let mut todo = log.into_iter();
            loop {
                let event = if flying.len() < lanes { todo.next() } else { None };
                match event {
                    Some((gap, matches)) => {
                        commit += gap;
                        if matches {
                            prop_assert!(low.start(at(commit)));
                            flying.push(at(commit));
                        } else {
                            low.scanned(at(commit));
                        }
                        settled.push((at(commit), !matches));
                    }
                    None if flying.is_empty() => break,
                    None => {}
                }
                let choice = choices.next().expect("two a log entry are enough");
                // An index of one too many: nothing completes this time, unless all lanes are taken.
                let index = choice.index(if flying.len() < lanes { flying.len() + 1 } else { flying.len() });
                if let Some(done) = (index < flying.len()).then(|| flying.swap_remove(index)) {
                    prop_assert!(low.settle(done));
                    let entry = settled.iter_mut().find(|entry| entry.0 == done).expect("was started");
                    entry.1 = true;
                }
                let prefix = settled.iter().take_while(|entry| entry.1).last().map(|entry| entry.0);
                prop_assert_eq!(low.mark(), prefix);
                prop_assert_eq!(low.in_flight(), flying.len());
                prop_assert!(low.mark() >= previous, "never back");
                previous = low.mark();
            }
            prop_assert_eq!(low.mark(), Some(at(commit)));
        }
    }
}

//! How many events a batch asks for.
//!
//! Large batches share the cost of a transaction (10,000 bring another 1.4 to 1.8 times over 2,000 while far
//! behind); small ones keep locks short, redo less when they fail, and end before their deadline. So the size
//! grows while there is more to read and the time is good for it, and falls back when live.

use std::time::Duration;

/// A batch is at most so many times as large as the one before it: what comes need not be as easy as what was.
const MOST_TIMES: usize = 16;

/// The size of the next batch, in events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSize {
    initial: usize,
    min: usize,
    max: usize,
    current: usize,
    /// The size that last ran into the deadline, while it has not been reached again.
    too_long: Option<usize>,
}

impl BatchSize {
    /// Begins with `initial`, and moves between `min` and `max`; a deadline alone goes below `min`. Bounds
    /// that contradict each other are mended (at least 1, `max` at least `min`, `initial` between them).
    #[must_use]
    pub fn new(initial: usize, min: usize, max: usize) -> Self {
        let min = min.max(1);
        let max = max.max(min);
        let initial = initial.clamp(min, max);
        Self { initial, min, max, current: initial, too_long: None }
    }

    /// Events to ask for.
    #[must_use]
    pub fn current(&self) -> usize {
        self.current
    }

    /// A batch was committed. `full`: it had as many events (or bytes) as asked for, so there is more to
    /// read.
    ///
    /// Slower than `target`: shrinks by a quarter. Full and faster: doubles, or grows to what would take half
    /// of `target` if time went with size, to sixteen times its size at most. Not full: goes half of the way
    /// back to the initial size. Behind a deadline that was hit, it grows by a quarter only, until the size
    /// that hit it is reached again.
    ///
    /// A batch that was read ahead at an earlier, smaller size counts as one of the present size. So a run of
    /// easy events is left behind quickly, and the first hard batch may take several times `target`.
    pub fn committed(&mut self, full: bool, took: Duration, target: Duration) {
        if took > target {
            self.current = (self.current - self.current / 4).max(self.floor());
        } else if full && took < target {
            self.grow(took, target);
        } else if !full {
            self.settle();
        }
    }

    /// A whole transaction was lost: halves, down to the least size.
    pub fn lost(&mut self) {
        self.current = (self.current / 2).max(self.floor());
    }

    /// The deadline ended a batch: halves, down to a single event (E-20).
    ///
    /// Where the batch had fewer events than were asked for, say so first ([`BatchSize::cap`]); else the next
    /// one may be no smaller.
    pub fn deadline_hit(&mut self) {
        self.too_long = Some(self.current);
        self.current = (self.current / 2).max(1);
    }

    /// The last batch had only this many events: nothing larger is known to have run.
    pub fn cap(&mut self, events: usize) {
        self.current = self.current.min(events.max(1));
    }

    /// Below the least size it stays where a deadline has put it.
    fn floor(&self) -> usize {
        self.min.min(self.current)
    }

    fn grow(&mut self, took: Duration, target: Duration) {
        let larger = match self.too_long {
            Some(_) => self.current.saturating_add((self.current / 4).max(1)),
            None => {
                let times = target.as_nanos() / 2 / took.as_nanos().max(1);
                let times = usize::try_from(times).unwrap_or(MOST_TIMES).clamp(2, MOST_TIMES);
                self.current.saturating_mul(times)
            }
        };
        self.current = larger.min(self.max);
        if self.too_long.is_some_and(|size| self.current >= size) {
            self.too_long = None;
        }
    }

    fn settle(&mut self) {
        if self.current > self.initial {
            self.current = self.initial + (self.current - self.initial) / 2;
        } else if self.too_long.is_none() {
            // A batch that was not full says nothing about the deadline, so it does not lead back up to it.
            self.current = self.initial - (self.initial - self.current) / 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Duration = Duration::from_secs(1);
    const FAST: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_secs(2);

    fn usual() -> BatchSize {
        BatchSize::new(500, 32, 10_000)
    }

    #[test]
    fn grows_while_behind_up_to_the_greatest_size() {
        let mut size = usual();
        let sizes: Vec<_> = (0..6)
            .map(|_| {
                size.committed(true, FAST, TARGET);
                size.current()
            })
            .collect();
        assert_eq!(sizes, [8_000, 10_000, 10_000, 10_000, 10_000, 10_000]);
        for (took, expected) in [(TARGET / 3, 1_000), (TARGET / 8, 2_000), (TARGET / 20, 5_000)] {
            let mut size = usual();
            size.committed(true, took, TARGET);
            assert_eq!(size.current(), expected, "half of the time is left after {took:?}");
        }
    }

    #[test]
    fn a_slow_batch_shrinks_it_down_to_the_least_size() {
        let mut size = usual();
        size.committed(true, SLOW, TARGET);
        assert_eq!(size.current(), 375);
        for _ in 0..100 {
            size.committed(false, SLOW, TARGET);
        }
        assert_eq!(size.current(), 32);
        let before = usual();
        let mut size = usual();
        size.committed(true, TARGET, TARGET);
        assert_eq!(size, before, "neither faster nor slower");
    }

    #[test]
    fn live_it_goes_back_to_the_initial_size_from_both_sides() {
        for moves in [BatchSize::lost as fn(&mut BatchSize), |size| size.committed(true, FAST, TARGET)] {
            let mut size = usual();
            for _ in 0..3 {
                moves(&mut size);
            }
            let away = size.current().abs_diff(500);
            size.committed(false, FAST, TARGET);
            assert!(size.current().abs_diff(500) <= away.div_ceil(2));
            for _ in 0..20 {
                size.committed(false, FAST, TARGET);
            }
            assert_eq!(size.current(), 500);
        }
    }

    #[test]
    fn a_lost_transaction_halves_it_down_to_the_least_size() {
        let mut size = usual();
        size.lost();
        assert_eq!(size.current(), 250);
        for _ in 0..10 {
            size.lost();
        }
        assert_eq!(size.current(), 32);
    }

    #[test]
    fn e_20_a_deadline_halves_down_to_one_event_and_growth_is_slow_until_that_size() {
        let mut size = BatchSize::new(8, 4, 1_000);
        for expected in [4, 2, 1, 1] {
            size.deadline_hit();
            assert_eq!(size.current(), expected);
        }
        let mut size = BatchSize::new(400, 32, 1_000);
        size.deadline_hit();
        let mut sizes = vec![size.current()];
        while size.current() < 1_000 {
            size.committed(true, FAST, TARGET);
            sizes.push(size.current());
        }
        assert_eq!(sizes, [200, 250, 312, 390, 487, 1_000]);
    }

    #[test]
    fn e_20_three_slow_events_are_soon_tried_alone() {
        let mut size = usual();
        size.cap(3);
        size.deadline_hit();
        assert_eq!(size.current(), 1);
        size.committed(false, FAST, TARGET);
        assert_eq!(size.current(), 1, "a batch that was not full proves nothing");
        size.lost();
        assert_eq!(size.current(), 1, "what a deadline took is not given back by another failure");
    }

    #[test]
    fn bounds_that_contradict_each_other_are_mended() {
        assert_eq!(BatchSize::new(0, 0, 0).current(), 1);
        assert_eq!(BatchSize::new(5, 10, 3).current(), 10);
    }

    proptest! {
        #[test]
        fn stays_inside_its_bounds(
            sizes in (0_usize..2_000, 0_usize..2_000, 0_usize..2_000),
            steps in prop::collection::vec((0_u8..5, any::<bool>(), 0_u64..3), 0..200),
        ) {
            let mut size = BatchSize::new(sizes.0, sizes.1, sizes.2);
            for (step, full, seconds) in steps {
                match step {
                    0 => size.lost(),
                    1 => size.deadline_hit(),
                    2 => size.cap(usize::from(full)),
                    _ => size.committed(full, Duration::from_secs(seconds), TARGET),
                }
                prop_assert!((1..=size.max).contains(&size.current()));
            }
        }
    }
}

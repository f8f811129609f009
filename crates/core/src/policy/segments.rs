//! How much of a batch stands under one savepoint (E-19).
//!
//! A savepoint per event costs 3 times plain statements and 25 to 35 times set-based SQL, so a clean batch
//! has one. When it fails, everything under it is redone piece by piece until the bad event stands alone. A
//! log that has one bad event is likely to have another, about as far behind it as it was behind the one before:
//! a segment is half as long as that. Then about every other bad event costs the redoing of one segment, and where
//! bad events are rare there is one savepoint a batch.

/// The smallest segment: a savepoint costs about what applying so many events does. With a batch of 10,000 that is
/// 200 savepoints, far below the 1,000 subtransactions that one transaction may have.
const SMALLEST: usize = 50;
/// A log that lets segments be so long is taken for clean.
const CLEAN: usize = 10_000;

/// The length of the next segments. The default is optimistic: one savepoint for the whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    per_event: bool,
    /// From one bad event to the next, the last time.
    distance: usize,
    /// Events without a bad one since.
    clean: usize,
    /// Among so many events to come there is a bad one; 0 where nothing is known.
    suspects: usize,
}

impl Default for Segments {
    fn default() -> Self {
        Self { per_event: false, distance: usize::MAX, clean: 0, suspects: 0 }
    }
}

impl Segments {
    /// Always one event a segment, whatever happens.
    #[must_use]
    pub fn per_event() -> Self {
        Self { per_event: true, ..Self::default() }
    }

    /// How many of `len` events to come stand under one savepoint: at least 1.
    #[must_use]
    pub fn size(&self, len: usize) -> usize {
        if self.per_event {
            return 1;
        }
        let apart = self.distance.max(self.clean);
        let among = if self.suspects > 0 { apart.min(self.suspects) } else { apart };
        (among / 2).max(SMALLEST).min(len).max(1)
    }

    /// Whether no bad event is to be expected soon.
    #[must_use]
    pub fn expect_none(&self) -> bool {
        self.suspects == 0 && self.size(CLEAN) == CLEAN
    }

    /// So many events were applied.
    pub fn passed(&mut self, events: usize) {
        self.clean = self.clean.saturating_add(events);
        self.suspects = self.suspects.saturating_sub(events);
    }

    /// A bad event stood alone.
    pub fn found(&mut self) {
        self.distance = self.clean;
        (self.clean, self.suspects) = (0, 0);
    }

    /// The next `events` cannot be applied together.
    pub fn failed(&mut self, events: usize) {
        self.suspects = events;
    }

    /// Events failed together, and each passed alone: small segments may do.
    pub fn failed_as_a_whole(&mut self) {
        (self.distance, self.clean, self.suspects) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The segments of a batch that passes.
    fn sizes(segments: &mut Segments, mut len: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        while len > 0 {
            let size = segments.size(len);
            segments.passed(size);
            sizes.push(size);
            len -= size;
        }
        sizes
    }

    #[test]
    fn e_19_clean_batches_have_one_segment() {
        let mut segments = Segments::default();
        for len in [1, 7, 500, 200_000] {
            assert_eq!(sizes(&mut segments, len), [len]);
            assert!(segments.expect_none());
        }
    }

    #[test]
    fn e_19_segments_are_half_as_long_as_bad_events_are_apart() {
        let mut segments = Segments::default();
        for (clean, size) in [(4_000, 2_000), (400, 200), (99, 50), (0, 50), (1_000, 500)] {
            segments.passed(clean);
            segments.found();
            assert_eq!(segments.size(10_000), size);
            assert!(!segments.expect_none());
            assert_eq!(segments.size(20), 20, "a segment is no longer than its batch");
        }
    }

    #[test]
    fn e_19_one_bad_event_among_very_many_cuts_nothing() {
        let mut segments = Segments::default();
        segments.passed(1_000_000);
        segments.found();
        assert_eq!(sizes(&mut segments, 10_000), [10_000]);
        assert!(segments.expect_none());
    }

    #[test]
    fn e_19_while_all_is_clean_segments_grow_until_one_is_a_batch_again() {
        let mut segments = Segments::default();
        segments.found();
        assert_eq!(sizes(&mut segments, 500), [50, 50, 50, 75, 112, 163]);
        assert_eq!(sizes(&mut segments, 2_000), [250, 375, 562, 813]);
        assert_eq!(sizes(&mut segments, 2_000), [1_250, 750]);
        assert_eq!(sizes(&mut segments, 2_000), [2_000]);
        assert!(!segments.expect_none());
        segments.passed(20_000);
        assert!(segments.expect_none());
    }

    #[test]
    fn e_19_events_that_failed_together_are_halved_from_the_left() {
        let mut segments = Segments::default();
        segments.passed(1_000_000);
        segments.failed(2_000);
        assert!(!segments.expect_none());
        assert_eq!(segments.size(2_000), 1_000);
        segments.passed(1_000);
        assert_eq!(segments.size(1_000), 500, "what is left has a bad one");
        segments.found();
        assert!(segments.expect_none(), "it was found");
        segments.failed(2_000);
        assert_eq!(sizes(&mut segments, 2_000), [1_000, 500, 250, 125, 62, 50, 13]);
        assert!(segments.expect_none(), "each passed alone");
    }

    #[test]
    fn e_19_what_fails_only_as_a_whole_is_cut_small() {
        let mut segments = Segments::default();
        segments.passed(5_000);
        segments.failed_as_a_whole();
        assert_eq!(segments.size(1_000), 50);
    }

    #[test]
    fn e_19_a_batch_is_cut_into_few_enough_segments() {
        let mut segments = Segments::default();
        for _ in 0..200 {
            segments.passed(49);
            segments.found();
        }
        assert_eq!(segments.size(10_000), 50);
    }

    #[test]
    fn per_event_stays_per_event() {
        let mut segments = Segments::per_event();
        segments.found();
        segments.passed(1_000_000);
        assert_eq!(segments.size(10_000), 1);
        assert_eq!(segments.size(0), 1, "never 0: it is a step");
        assert!(!segments.expect_none());
    }
}

//! How much of a batch stands under one savepoint (E-19).
//!
//! A savepoint per event costs 3 times plain statements and 25 to 35 times set-based SQL, so a clean batch
//! has one. When it fails, everything under it is redone piece by piece until the bad event stands alone. A
//! log that has one bad event is likely to have another: so after a failure the batch is cut into segments,
//! each under a savepoint of its own. Then at most one segment is redone for a culprit; while all is clean,
//! the segments grow until there is one savepoint a batch again.

/// The smallest segment. With a batch of 10,000 that is 200 savepoints, far below the 1,000 subtransactions
/// that one transaction may have.
const SMALLEST: usize = 50;
/// Into how many segments a larger batch is cut.
const PARTS: usize = 40;
/// From here on a segment is a whole batch.
const WHOLE: usize = 10_000;

/// The length of the next batch's segments. The default is optimistic: one savepoint for the whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Segments(Mode);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    #[default]
    Optimistic,
    Cut(usize),
    PerEvent,
}

impl Segments {
    /// Always one event a segment, whatever happens.
    #[must_use]
    pub fn per_event() -> Self {
        Self(Mode::PerEvent)
    }

    /// How many events stand under one savepoint in a batch of `len` events: at least 1.
    #[must_use]
    pub fn size(&self, len: usize) -> usize {
        let size = match self.0 {
            Mode::Optimistic => len,
            Mode::Cut(size) => size.min(len),
            Mode::PerEvent => 1,
        };
        size.max(1)
    }

    /// A batch of `len` events had a bad one: the next are cut into 40 segments, of at least 50 events.
    pub fn failed(&mut self, len: usize) {
        if self.0 != Mode::PerEvent {
            self.0 = Mode::Cut((len / PARTS).max(SMALLEST));
        }
    }

    /// A batch had no bad event: the segments double, and at 10,000 there are none any more.
    pub fn clean(&mut self) {
        if let Mode::Cut(size) = self.0 {
            let doubled = size.saturating_mul(2);
            self.0 = if doubled < WHOLE { Mode::Cut(doubled) } else { Mode::Optimistic };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_19_clean_batches_have_one_segment() {
        let mut segments = Segments::default();
        for len in [1, 7, 500, 200_000] {
            assert_eq!(segments.size(len), len);
            segments.clean();
        }
    }

    #[test]
    fn e_19_a_failure_cuts_and_clean_batches_grow_together_again() {
        let mut segments = Segments::default();
        segments.failed(500);
        assert_eq!(segments.size(500), 50);
        assert_eq!(segments.size(20), 20, "a segment is no longer than its batch");
        for expected in [100, 200, 400, 800, 1_600, 3_200, 6_400] {
            segments.clean();
            assert_eq!(segments.size(100_000), expected);
        }
        segments.clean();
        assert_eq!(segments, Segments::default());
    }

    #[test]
    fn e_19_a_large_batch_is_cut_into_few_enough_segments() {
        for len in [1, 50, 2_000, 10_000, 200_000] {
            let mut segments = Segments::default();
            segments.failed(len);
            assert!(len.div_ceil(segments.size(len)) <= 200, "{len}");
        }
        let mut segments = Segments::default();
        segments.failed(10_000);
        assert_eq!(segments.size(10_000), 250);
        segments.failed(400);
        assert_eq!(segments.size(400), 50, "the last failure decides");
    }

    #[test]
    fn per_event_stays_per_event() {
        let mut segments = Segments::per_event();
        segments.failed(10_000);
        segments.clean();
        assert_eq!(segments.size(10_000), 1);
        assert_eq!(segments.size(0), 1, "never 0: it is a step");
    }
}

//! When a loop takes its next batch: catching up, live, or waiting for something to heal.

use std::time::Duration;

use crate::policy::backoff::between;
use crate::policy::{Backoff, jittered};

/// How the last batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is more to read.
    Behind,
    /// The end of the log was reached.
    CaughtUp,
    /// Somebody else held the state or the database for a moment.
    Contended,
    /// An event is to be tried again.
    RetryDue {
        /// In this time.
        after: Duration,
    },
    /// The batch as a whole failed for a passing reason.
    Failed {
        /// How many failed in a row before this one: 0 for the first.
        attempt: u32,
    },
    /// An operator has paused the runner.
    Paused,
}

/// What the loop does before its next batch. Every wait ends at once on cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it goes on.
    AtOnce,
    /// Waits for a hint of new events, or of a change by an operator, and at most this long: a hint can get
    /// lost.
    WaitForEvents(Duration),
    /// Waits this long; new events change nothing.
    Pause(Duration),
}

/// The shortest and the longest pause under contention, in nanoseconds: about one transaction of somebody
/// else.
const CONTENDED: (u128, u128) = (5_000_000, 50_000_000);

/// What the loop does before its next batch.
///
/// Behind, the next batch follows at once (E-21). The poll timer is jittered, so that many projections on one
/// log do not ask it in the same instant.
#[must_use]
pub fn next(ended: Ended, poll_interval: Duration, backoff: &Backoff, random: u64) -> Next {
    match ended {
        Ended::Behind => Next::AtOnce,
        Ended::CaughtUp => Next::WaitForEvents(jittered(poll_interval, random)),
        Ended::Contended => Next::Pause(between(CONTENDED.0, CONTENDED.1, random)),
        Ended::RetryDue { after } => Next::Pause(after),
        Ended::Failed { attempt } => Next::Pause(backoff.delay(attempt, random)),
        Ended::Paused => Next::WaitForEvents(poll_interval),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLL: Duration = Duration::from_secs(1);
    const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };

    proptest! {
        #[test]
        fn e_21_behind_goes_on_at_once(random: u64) {
            prop_assert_eq!(next(Ended::Behind, POLL, &BACKOFF, random), Next::AtOnce);
        }

        #[test]
        fn waits_are_spread(random: u64) {
            let Next::WaitForEvents(poll) = next(Ended::CaughtUp, POLL, &BACKOFF, random) else {
                return Err(TestCaseError::fail("caught up waits for events"));
            };
            prop_assert!((Duration::from_millis(750)..=Duration::from_millis(1_250)).contains(&poll));
            let Next::Pause(contended) = next(Ended::Contended, POLL, &BACKOFF, random) else {
                return Err(TestCaseError::fail("contended pauses"));
            };
            prop_assert!((Duration::from_millis(5)..=Duration::from_millis(50)).contains(&contended));
        }

        #[test]
        fn a_failed_batch_backs_off(attempt: u32, random: u64) {
            let expected = Next::Pause(BACKOFF.delay(attempt, random));
            prop_assert_eq!(next(Ended::Failed { attempt }, POLL, &BACKOFF, random), expected);
        }
    }

    #[test]
    fn a_retry_waits_for_its_time_and_a_paused_runner_still_looks() {
        let after = Duration::from_millis(1_234);
        assert_eq!(next(Ended::RetryDue { after }, POLL, &BACKOFF, 9), Next::Pause(after));
        assert_eq!(next(Ended::Paused, POLL, &BACKOFF, 9), Next::WaitForEvents(POLL));
    }
}

//! What a call tells of the other side: for the breaker in front of it (B-14), and how long it is left alone.

use std::time::Duration;

use highwater_core::breaker::{BreakerChange, BreakerState, HeldPermit};
use highwater_core::policy::{Class, Decided};
use highwater_core::ports::{HandlerSeen, Moment};
use highwater_core::{Error, ErrorKind, Failure, Retry};

use super::owner::Owner;
use super::turn::Failed;

/// However long the other side asks to be left alone, it is asked again after this time.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

impl Owner<'_> {
    /// What a turn says of the other side (B-14).
    pub(super) fn sample(
        &mut self,
        permit: HeldPermit,
        answered: bool,
        again: bool,
        failed: Option<(&Failed, &Decided)>,
        now: Moment,
    ) {
        let again = again && !self.tripped;
        let change = match failed.map(|(failed, decided)| says_of_the_other_side(failed, decided, again)) {
            None | Some(Some(true)) => permit.settle(true, now),
            Some(None) if answered => permit.settle(true, now),
            // Nothing follows from it.
            Some(None) => None,
            Some(Some(false)) if answered => {
                // It answered first, and then did not.
                let closed = permit.settle(true, now);
                self.breaker_changed(closed, now);
                match self.runner.breaker.admit(now) {
                    Ok((permit, _)) => permit.settle(false, now),
                    Err(_refused) => None,
                }
            }
            Some(Some(false)) => permit.settle(false, now),
        };
        self.breaker_changed(change, now);
    }

    pub(super) fn breaker_changed(&mut self, change: Option<BreakerChange>, now: Moment) {
        match change.map(|change| change.to) {
            Some(BreakerState::Open) => {
                self.other_side_is_down(now);
                let probe_in = self.runner.breaker.snapshot(now).refuses_for;
                self.runner.seen(&HandlerSeen::BreakerOpened { probe_in });
            }
            Some(BreakerState::Closed) => {
                self.tripped = false;
                self.runner.seen(&HandlerSeen::BreakerClosed);
            }
            // Another runner's probe, or an operator, may have closed it.
            None if self.tripped => {
                self.tripped = self.runner.breaker.snapshot(now).state != BreakerState::Closed;
            }
            Some(BreakerState::HalfOpen) | None => {}
        }
    }

    /// The circuit breaker refuses calls: what has failed so far counts for nothing, and the breaker says
    /// when the next call is made.
    pub(super) fn other_side_is_down(&mut self, now: Moment) {
        if !std::mem::replace(&mut self.tripped, true) {
            let reason = self.runner.status.get().last_error.unwrap_or_default();
            self.outage.begin(&mut self.lanes, self.turns.begun(), now, &reason);
        }
    }
}

/// Whether a failure tells that the other side answered, or did not; `None` where it tells neither. An event
/// that times out again and `again` may be to blame itself, so it tells something only once.
fn says_of_the_other_side(failed: &Failed, decided: &Decided, again: bool) -> Option<bool> {
    let untried = |error: &Error| matches!(error.kind(), ErrorKind::CircuitOpen | ErrorKind::Backpressure);
    match decided.class {
        _ if failed.timed_out => (!again).then_some(false),
        Class::Transient if errors(&failed.failure).any(untried) => None,
        Class::Transient => Some(false),
        Class::Permanent => Some(true),
        Class::Unclassified | Class::Fatal => None,
    }
}

/// Our own errors in the chain of a failure, outermost first.
fn errors(failure: &Failure) -> impl Iterator<Item = &Error> {
    let first: &(dyn std::error::Error + 'static) = failure.source();
    std::iter::successors(Some(first), |error| error.source())
        .filter_map(|error| error.downcast_ref::<Error>())
}

/// How long the other side asks to be left alone.
pub(super) fn asked_for(failure: &Failure) -> Duration {
    let asked = errors(failure).find_map(|error| match error.retryable() {
        Retry::After(time) if !time.is_zero() => Some(time),
        _ => None,
    });
    asked.unwrap_or_default().min(LONGEST_RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_the_other_side_asks_for_is_found_behind_wrappers_and_bounded() {
        let asks = |time| Error::new(ErrorKind::Unavailable, "send").retry(Retry::After(time));
        let wrapped = |time| Failure::new(Error::new(ErrorKind::Other, "handle").because(asks(time)));
        assert_eq!(asked_for(&wrapped(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(asked_for(&wrapped(Duration::from_secs(9_999_999))), LONGEST_RETRY_AFTER);
        assert_eq!(asked_for(&wrapped(Duration::ZERO)), Duration::ZERO);
        assert_eq!(asked_for(&Failure::new("opaque")), Duration::ZERO);
    }

    #[test]
    fn b_14_what_a_failure_says_of_the_other_side() {
        let says_again = |error: Error, class, timed_out, again| {
            let failed = Failed { failure: Failure::new(error), suspects: 1, timed_out };
            says_of_the_other_side(&failed, &Decided::new(class, "test"), again)
        };
        let says = |error, class, timed_out| says_again(error, class, timed_out, false);
        let of = |kind| Error::new(kind, "send");
        assert_eq!(says(of(ErrorKind::Unavailable), Class::Transient, false), Some(false));
        assert_eq!(says(of(ErrorKind::CircuitOpen), Class::Transient, false), None, "nothing was tried");
        assert_eq!(says(of(ErrorKind::Constraint), Class::Permanent, false), Some(true));
        assert_eq!(says(of(ErrorKind::Other), Class::Unclassified, false), None);
        assert_eq!(says(of(ErrorKind::Timeout), Class::Unclassified, true), Some(false));
        assert_eq!(says_again(of(ErrorKind::Timeout), Class::Unclassified, true, true), None);
        assert_eq!(says_again(of(ErrorKind::Unavailable), Class::Transient, false, true), Some(false));
    }
}

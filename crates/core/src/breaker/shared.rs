//! One breaker for many callers, with permits that give themselves back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::breaker::{Breaker, BreakerChange, BreakerRule, BreakerSnapshot, Permit, Refused, Sample};
use crate::ports::Moment;

/// A [`Breaker`] that callers share; clones are the same one.
///
/// Nobody is called under its lock: changes of state are returned, and the caller tells whom it has to.
#[derive(Debug, Clone)]
pub struct SharedBreaker(Arc<Mutex<Breaker>>);

/// The right to make one call. Dropped without a result (the call was cancelled, or its task died), it is
/// given back, and nothing follows from it.
#[derive(Debug)]
#[must_use = "dropping it gives the permit back without a result"]
pub struct HeldPermit {
    breaker: SharedBreaker,
    permit: Option<Permit>,
}

impl SharedBreaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(rule: BreakerRule) -> Self {
        Self(Arc::new(Mutex::new(Breaker::new(rule))))
    }

    /// May a call be made now? See [`Breaker::admit`].
    ///
    /// # Errors
    /// [`Refused`] while it is open, or a probe is on its way.
    pub fn admit(&self, now: Moment) -> Result<(HeldPermit, Option<BreakerChange>), Refused> {
        let (permit, change) = self.lock().admit(now)?;
        Ok((HeldPermit { breaker: self.clone(), permit: Some(permit) }, change))
    }

    /// Closes it by hand. See [`Breaker::reset`].
    #[must_use = "somebody may have to be told"]
    pub fn reset(&self) -> Option<BreakerChange> {
        self.lock().reset()
    }

    /// Another rule from now on. See [`Breaker::configure`].
    pub fn configure(&self, rule: BreakerRule) {
        self.lock().configure(rule);
    }

    /// The state and the counters.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> BreakerSnapshot {
        self.lock().snapshot(now)
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // Nothing foreign runs under the lock, so a poisoned one is as good as new.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldPermit {
    /// The target answered (`true`), or it did not, or not in time.
    #[must_use = "somebody may have to be told"]
    pub fn settle(mut self, answered: bool, now: Moment) -> Option<BreakerChange> {
        let permit = self.permit.take()?;
        let sample = if answered { Sample::Succeeded } else { Sample::Failed };
        self.breaker.lock().settle(permit, sample, now)
    }
}

impl Drop for HeldPermit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            // A withdrawal changes no state, so there is nobody to be told, and the time does not matter.
            self.breaker.lock().settle(permit, Sample::Withdrawn, Moment::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::breaker::BreakerState;

    #[test]
    fn c_7_a_dropped_permit_is_released() {
        let breaker = SharedBreaker::new(BreakerRule { failure_threshold: 1, ..BreakerRule::default() });
        let start = Moment::default();
        let (permit, _) = breaker.admit(start).unwrap();
        drop(permit);
        assert_eq!(breaker.snapshot(start).failures, 0, "a cancelled call is no failure");
        let (permit, _) = breaker.admit(start).unwrap();
        assert_eq!(permit.settle(false, start).map(|change| change.to), Some(BreakerState::Open));

        let later = start + Duration::from_secs(60);
        let (probe, _) = breaker.admit(later).unwrap();
        assert_eq!(breaker.clone().admit(later).unwrap_err(), Refused { retry_in: None });
        drop(probe);
        let (probe, change) = breaker.admit(later).expect("the next probe");
        assert_eq!(change, None, "it is half-open already");
        assert_eq!(probe.settle(true, later).map(|change| change.to), Some(BreakerState::Closed));
    }

    #[test]
    fn c_7_a_permit_of_a_task_that_panicked_is_released() {
        let breaker = SharedBreaker::new(BreakerRule::default());
        let held = breaker.clone();
        let panicked = std::panic::catch_unwind(move || {
            let _permit = held.admit(Moment::default()).unwrap();
            panic!("the call's task dies");
        });
        assert!(panicked.is_err());
        assert_eq!(breaker.snapshot(Moment::default()).failures, 0);
        assert!(breaker.admit(Moment::default()).is_ok());
    }
}

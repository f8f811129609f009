//! The three states, and permits with a generation.

use crate::breaker::{BreakerChange, BreakerRule, BreakerSnapshot, BreakerState, Refused};
use crate::ports::Moment;

/// What became of an admitted call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The target answered.
    Succeeded,
    /// It did not, or not in time.
    Failed,
    /// Nobody knows, and nothing follows from it: the call was cancelled, or never made.
    Withdrawn,
}

/// The right to make one call. Hand it back with [`Breaker::settle`], whatever became of the call.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not settled keeps a half-open breaker from ever deciding"]
pub struct Permit {
    generation: u64,
}

/// A circuit breaker. Pure: it is told the time.
#[derive(Debug)]
pub struct Breaker {
    rule: BreakerRule,
    state: State,
    /// Rises with every change of state: results of calls from before mean nothing after it.
    generation: u64,
    /// Failed calls in a row.
    failures: u32,
    trips: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { since: Moment },
    HalfOpen { probing: bool },
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(rule: BreakerRule) -> Self {
        Self { rule, state: State::Closed, generation: 0, failures: 0, trips: 0 }
    }

    /// May a call be made now? The first one that asks after the open time is the probe; the change to
    /// half-open comes with its permit.
    ///
    /// # Errors
    /// [`Refused`] while it is open, or a probe is on its way.
    pub fn admit(&mut self, now: Moment) -> Result<(Permit, Option<BreakerChange>), Refused> {
        let change = match &mut self.state {
            State::Closed => None,
            State::HalfOpen { probing: true } => return Err(Refused { retry_in: None }),
            State::HalfOpen { probing } => {
                *probing = true;
                None
            }
            State::Open { since } => {
                let rest = self.rule.open_time.saturating_sub(now.since(*since));
                if !rest.is_zero() {
                    return Err(Refused { retry_in: Some(rest) });
                }
                Some(self.enter(State::HalfOpen { probing: true }))
            }
        };
        Ok((Permit { generation: self.generation }, change))
    }

    /// What became of a call. Changes nothing if the state has changed since the permit was granted.
    pub fn settle(&mut self, permit: Permit, sample: Sample, now: Moment) -> Option<BreakerChange> {
        if permit.generation != self.generation {
            return None;
        }
        match (&mut self.state, sample) {
            (State::HalfOpen { probing }, Sample::Withdrawn) => {
                *probing = false;
                None
            }
            (_, Sample::Withdrawn) => None,
            (State::HalfOpen { .. }, Sample::Succeeded) => {
                self.failures = 0;
                Some(self.enter(State::Closed))
            }
            (State::HalfOpen { .. }, Sample::Failed) => {
                self.failures = self.failures.saturating_add(1);
                Some(self.enter(State::Open { since: now }))
            }
            (State::Closed, Sample::Succeeded) => {
                self.failures = 0;
                None
            }
            (State::Closed, Sample::Failed) => {
                self.failures = self.failures.saturating_add(1);
                (self.failures >= self.rule.failure_threshold).then(|| self.enter(State::Open { since: now }))
            }
            // No permit is granted under an open state, so there is none of its generation.
            (State::Open { .. }, Sample::Succeeded | Sample::Failed) => None,
        }
    }

    /// Closes it by hand and forgets the failures in a row; the trips stay. Results of calls from before it
    /// change nothing. `None` if it was closed already.
    pub fn reset(&mut self) -> Option<BreakerChange> {
        self.failures = 0;
        if matches!(self.state, State::Closed) {
            self.generation += 1;
            return None;
        }
        Some(self.enter(State::Closed))
    }

    /// Another rule from now on: an open breaker counts its open time anew from when it opened, and a closed
    /// one that has seen more failures than it now may opens at the next.
    pub fn configure(&mut self, rule: BreakerRule) {
        self.rule = rule;
    }

    /// The state and the counters.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> BreakerSnapshot {
        let refuses_for = match self.state {
            State::Open { since } => self.rule.open_time.saturating_sub(now.since(since)),
            State::Closed | State::HalfOpen { .. } => std::time::Duration::ZERO,
        };
        BreakerSnapshot { state: self.state.name(), failures: self.failures, trips: self.trips, refuses_for }
    }

    fn enter(&mut self, state: State) -> BreakerChange {
        let from = self.state.name();
        self.state = state;
        self.generation += 1;
        if matches!(state, State::Open { .. }) {
            self.trips += 1;
        }
        BreakerChange { from, to: state.name(), trips: self.trips }
    }
}

impl State {
    fn name(self) -> BreakerState {
        match self {
            Self::Closed => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    fn call(breaker: &mut Breaker, sample: Sample, now: Moment) -> Option<BreakerChange> {
        let (permit, change) = breaker.admit(now).expect("it admits");
        breaker.settle(permit, sample, now).or(change)
    }

    /// One that opened at 0 s.
    fn open() -> Breaker {
        let mut breaker = Breaker::new(BreakerRule::default());
        for _ in 0..5 {
            call(&mut breaker, Sample::Failed, at(0));
        }
        assert_eq!(breaker.snapshot(at(0)).state, BreakerState::Open);
        breaker
    }

    #[test]
    fn c_7_five_failures_in_a_row_open_it_and_four_do_not() {
        let mut breaker = Breaker::new(BreakerRule::default());
        for _ in 0..4 {
            assert_eq!(call(&mut breaker, Sample::Failed, at(0)), None);
        }
        assert_eq!(call(&mut breaker, Sample::Succeeded, at(0)), None);
        for _ in 0..4 {
            assert_eq!(call(&mut breaker, Sample::Failed, at(0)), None);
        }
        assert_eq!(call(&mut breaker, Sample::Withdrawn, at(0)), None, "neither a success nor a failure");
        let change = call(&mut breaker, Sample::Failed, at(9));
        let expected = BreakerChange { from: BreakerState::Closed, to: BreakerState::Open, trips: 1 };
        assert_eq!(change, Some(expected));
        let snapshot = breaker.snapshot(at(10));
        assert_eq!((snapshot.failures, snapshot.refuses_for), (5, Duration::from_secs(59)));
    }

    #[test]
    fn c_7_after_the_open_time_exactly_one_probe_passes() {
        let mut breaker = open();
        assert_eq!(breaker.admit(at(59)), Err(Refused { retry_in: Some(Duration::from_secs(1)) }));
        let (probe, change) = breaker.admit(at(60)).unwrap();
        assert_eq!(change.map(|change| change.to), Some(BreakerState::HalfOpen));
        for later in [60, 61, 600] {
            assert_eq!(breaker.admit(at(later)), Err(Refused { retry_in: None }), "one probe is enough");
        }
        let closed = breaker.settle(probe, Sample::Succeeded, at(600));
        assert_eq!(closed.map(|change| change.to), Some(BreakerState::Closed));
        assert_eq!(breaker.snapshot(at(600)).failures, 0);
        assert_eq!(call(&mut breaker, Sample::Failed, at(600)), None, "it counts from the start again");
    }

    #[test]
    fn c_7_a_failed_probe_opens_it_for_as_long_again_and_every_entry_counts() {
        let mut breaker = open();
        for trips in 2..5 {
            let now = at(60 * (trips - 1));
            let change = call(&mut breaker, Sample::Failed, now);
            let expected = BreakerChange { from: BreakerState::HalfOpen, to: BreakerState::Open, trips };
            assert_eq!(change, Some(expected));
            assert_eq!(breaker.snapshot(now).refuses_for, Duration::from_secs(60));
        }
    }

    #[test]
    fn c_7_a_withdrawn_probe_lets_the_next_one_through() {
        let mut breaker = open();
        for _ in 0..3 {
            let (probe, _) = breaker.admit(at(60)).expect("the last one was given back");
            assert_eq!(breaker.settle(probe, Sample::Withdrawn, at(61)), None);
        }
        assert_eq!(breaker.snapshot(at(61)).state, BreakerState::HalfOpen);
    }

    #[test]
    fn c_7_results_from_an_older_state_change_nothing() {
        let mut breaker = Breaker::new(BreakerRule { failure_threshold: 1, ..BreakerRule::default() });
        let (slow, _) = breaker.admit(at(0)).unwrap();
        let (late, _) = breaker.admit(at(0)).unwrap();
        call(&mut breaker, Sample::Failed, at(0));
        assert_eq!(breaker.settle(slow, Sample::Succeeded, at(1)), None, "it does not close an open breaker");
        let (probe, _) = breaker.admit(at(60)).unwrap();
        assert_eq!(breaker.settle(late, Sample::Failed, at(60)), None, "nor speak for the probe");
        assert_eq!(breaker.admit(at(60)), Err(Refused { retry_in: None }), "nor give its place away");
        assert!(breaker.settle(probe, Sample::Succeeded, at(60)).is_some());
    }

    #[test]
    fn c_8_a_reset_by_hand_closes_and_keeps_the_trips() {
        let mut breaker = open();
        let change = breaker.reset();
        let expected = BreakerChange { from: BreakerState::Open, to: BreakerState::Closed, trips: 1 };
        assert_eq!(change, Some(expected));
        let snapshot = breaker.snapshot(at(1));
        assert_eq!((snapshot.failures, snapshot.trips, snapshot.refuses_for), (0, 1, Duration::ZERO));
        let (before, _) = breaker.admit(at(1)).unwrap();
        assert_eq!(breaker.reset(), None, "it was closed");
        breaker.settle(before, Sample::Failed, at(1));
        assert_eq!(breaker.snapshot(at(1)).failures, 0, "calls from before the reset do not count");
    }

    #[test]
    fn another_rule_holds_from_now_on() {
        let mut breaker = open();
        breaker.configure(BreakerRule { failure_threshold: 2, open_time: Duration::from_secs(10) });
        assert_eq!(breaker.admit(at(9)), Err(Refused { retry_in: Some(Duration::from_secs(1)) }));
        call(&mut breaker, Sample::Succeeded, at(10));
        assert_eq!(call(&mut breaker, Sample::Failed, at(10)), None);
        assert!(call(&mut breaker, Sample::Failed, at(10)).is_some());
        let always = BreakerRule { failure_threshold: 0, ..BreakerRule::default() };
        assert!(call(&mut Breaker::new(always), Sample::Failed, at(0)).is_some(), "0 counts as 1");
    }
}

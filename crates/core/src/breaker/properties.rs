//! The breaker against its definition: random grants, results, time and resets.

use std::time::Duration;

use proptest::prelude::*;

use super::{Breaker, BreakerRule, BreakerState, Permit, Sample};
use crate::ports::Moment;

#[derive(Debug, Clone)]
enum Step {
    Admit,
    Settle(prop::sample::Index, Sample),
    Pass(u64),
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sample = prop_oneof![
        2 => Just(Sample::Succeeded),
        6 => Just(Sample::Failed),
        1 => Just(Sample::Withdrawn),
    ];
    let step = prop_oneof![
        6 => Just(Step::Admit),
        6 => (any::<prop::sample::Index>(), sample).prop_map(|(which, sample)| Step::Settle(which, sample)),
        3 => (0_u64..=70).prop_map(Step::Pass),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..400)
}

/// What the specification says, written down without any cleverness: every state is a period, each period
/// keeps the results of the calls that were granted in it, and the state follows from these.
struct Model {
    threshold: usize,
    open_time: u64,
    now: u64,
    period: usize,
    state: BreakerState,
    /// When this period began.
    began: u64,
    /// The results of this period, withdrawn ones left out.
    results: Vec<Sample>,
    /// Calls on their way, with the period in which they were granted.
    flying: Vec<usize>,
    opened: u64,
}

impl Model {
    fn turn(&mut self, state: BreakerState) {
        self.period += 1;
        self.state = state;
        self.began = self.now;
        self.results.clear();
        self.opened += u64::from(state == BreakerState::Open);
    }

    fn admits(&mut self) -> bool {
        if self.state == BreakerState::Open && self.now - self.began >= self.open_time {
            self.turn(BreakerState::HalfOpen);
        }
        let admits = match self.state {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => !self.flying.contains(&self.period),
        };
        if admits {
            self.flying.push(self.period);
        }
        admits
    }

    fn settle(&mut self, which: usize, sample: Sample) {
        let granted = self.flying.swap_remove(which);
        if granted != self.period || sample == Sample::Withdrawn {
            return;
        }
        self.results.push(sample);
        let failed_last = self.results.iter().rev().take_while(|result| **result == Sample::Failed).count();
        match (self.state, sample) {
            (BreakerState::Closed, _) if failed_last >= self.threshold => self.turn(BreakerState::Open),
            (BreakerState::HalfOpen, Sample::Failed) => self.turn(BreakerState::Open),
            (BreakerState::HalfOpen, _) => self.turn(BreakerState::Closed),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn c_7_c_8_any_sequence_does_what_the_definition_says(
        threshold in 1_u32..6,
        open_time in 1_u64..90,
        steps in steps(),
    ) {
        let open = Duration::from_secs(open_time);
        let mut breaker = Breaker::new(BreakerRule { failure_threshold: threshold, open_time: open });
        let mut permits: Vec<Permit> = Vec::new();
        let mut model = Model {
            threshold: usize::try_from(threshold).unwrap(),
            open_time,
            now: 0,
            period: 0,
            state: BreakerState::Closed,
            began: 0,
            results: Vec::new(),
            flying: Vec::new(),
            opened: 0,
        };
        for step in steps {
            let now = Moment::at(Duration::from_secs(model.now));
            let before = breaker.snapshot(now).state;
            let change = match step {
                Step::Pass(seconds) => {
                    model.now += seconds;
                    None
                }
                Step::Admit => match (breaker.admit(now), model.admits()) {
                    (Ok((permit, change)), true) => {
                        permits.push(permit);
                        change
                    }
                    (Err(refused), false) => {
                        let rest = Duration::from_secs(open_time - (model.now - model.began).min(open_time));
                        let rest = (model.state == BreakerState::Open).then_some(rest);
                        prop_assert_eq!(refused.retry_in, rest);
                        None
                    }
                    (answer, expected) => {
                        return Err(TestCaseError::fail(format!("{answer:?}, but admits: {expected}")));
                    }
                },
                Step::Settle(which, sample) if !permits.is_empty() => {
                    let which = which.index(permits.len());
                    model.settle(which, sample);
                    breaker.settle(permits.swap_remove(which), sample, now)
                }
                Step::Settle(..) => None,
                Step::Reset => {
                    model.turn(BreakerState::Closed);
                    breaker.reset()
                }
            };
            let snapshot = breaker.snapshot(Moment::at(Duration::from_secs(model.now)));
            prop_assert_eq!((snapshot.state, snapshot.trips), (model.state, model.opened));
            prop_assert_eq!(change.is_some(), before != snapshot.state, "each change is told");
            if let Some(change) = change {
                let told = (change.from, change.to, change.trips);
                prop_assert_eq!(told, (before, snapshot.state, model.opened));
            }
            if snapshot.state == BreakerState::HalfOpen {
                let probes = model.flying.iter().filter(|granted| **granted == model.period).count();
                prop_assert!(probes <= 1, "at most one probe");
            }
        }
    }
}

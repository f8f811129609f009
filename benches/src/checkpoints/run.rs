//! One run of a contestant that makes calls: how long all of them took, and the slowest hundredth.

use std::time::Duration;

use highwater::TokioClock;
use highwater::core::ports::{Clock, Moment};

use crate::measure::percentile;

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) seconds: f64,
    /// 99 % of its calls took no longer.
    pub(super) p99: Duration,
}

/// Takes the time of a run, call by call.
pub(super) struct Watch {
    clock: TokioClock,
    begun: Moment,
    last: Moment,
    calls: Vec<Duration>,
}

impl Watch {
    /// A run begins, of so many calls.
    pub(super) fn start(calls: usize) -> Self {
        let clock = TokioClock::new();
        let begun = clock.now();
        Self { clock, begun, last: begun, calls: Vec::with_capacity(calls) }
    }

    /// A call has ended, and the next one begins.
    pub(super) fn lap(&mut self) {
        let now = self.clock.now();
        self.calls.push(now.since(self.last));
        self.last = now;
    }

    /// The run has ended with its last call.
    pub(super) fn stop(mut self) -> Run {
        Run { seconds: self.last.since(self.begun).as_secs_f64(), p99: percentile(&mut self.calls, 99) }
    }
}

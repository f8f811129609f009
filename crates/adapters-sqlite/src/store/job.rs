//! What a running job may still do: its deadline, the limit of a statement, and whether anybody waits for it.
//!
//! One [`Job`] a transaction. The handler that SQLite calls while a statement runs asks [`Job::should_stop`];
//! the port's own calls ask [`Job::check`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use highwater_core::error::{Error, ErrorKind};

use crate::cancel::cancelled;
use crate::stopwatch::Stopwatch;

const NEVER: u64 = u64::MAX;

/// Times are microseconds since the transaction began.
#[derive(Debug)]
pub(super) struct Job {
    started: Stopwatch,
    cancelled: Arc<AtomicBool>,
    deadline: u64,
    limit: AtomicU64,
    handed_over: AtomicU64,
    /// A limit has passed while a statement ran.
    timed_out: AtomicBool,
    /// Ending the transaction must not be interrupted.
    ending: AtomicBool,
}

impl Job {
    pub(super) fn new(deadline: Duration, cancelled: Arc<AtomicBool>) -> Self {
        Self {
            started: Stopwatch::start(),
            cancelled,
            deadline: micros(deadline),
            limit: AtomicU64::new(NEVER),
            handed_over: AtomicU64::new(NEVER),
            timed_out: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        micros(self.started.elapsed())
    }

    /// Limits how long a projection may keep the transaction at a time.
    pub(super) fn limit(&self, limit: Option<Duration>) {
        self.limit.store(limit.map_or(NEVER, micros), Ordering::Relaxed);
    }

    /// The projection works from now on; says whether it still may.
    pub(super) fn hand_over(&self) -> bool {
        let now = self.now();
        self.handed_over.store(now, Ordering::Relaxed);
        now < self.deadline && !self.cancelled.load(Ordering::Relaxed)
    }

    /// The projection works no more.
    pub(super) fn take_back(&self) {
        self.handed_over.store(NEVER, Ordering::Relaxed);
    }

    /// From now on nothing interrupts.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Relaxed)
    }

    /// Whether the statement that runs must end.
    pub(super) fn should_stop(&self) -> bool {
        if self.ending.load(Ordering::Relaxed) {
            return false;
        }
        if self.cancelled.load(Ordering::Relaxed) {
            return true;
        }
        let (now, handed_over) = (self.now(), self.handed_over.load(Ordering::Relaxed));
        let over =
            handed_over != NEVER && now.saturating_sub(handed_over) >= self.limit.load(Ordering::Relaxed);
        if over || now >= self.deadline {
            self.timed_out.store(true, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// Fails when the job may do nothing more.
    pub(super) fn check(&self, operation: &'static str) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        if self.now() >= self.deadline { Err(timed_out(operation)) } else { Ok(()) }
    }
}

/// The transaction ran past its deadline.
pub(super) fn timed_out(operation: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, operation)
        .because("the transaction ran past its deadline; it is rolled back")
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(deadline: Duration) -> (Job, Arc<AtomicBool>) {
        let flag = Arc::new(AtomicBool::new(false));
        (Job::new(deadline, flag.clone()), flag)
    }

    #[test]
    fn past_the_deadline_everything_stops_but_the_end() {
        let (job, _) = job(Duration::ZERO);
        assert!(job.should_stop() && job.timed_out());
        assert!(!job.hand_over());
        assert_eq!(job.check("x").unwrap_err().kind(), ErrorKind::Timeout);
        job.end();
        assert!(!job.should_stop());
    }

    #[test]
    fn a_statement_limit_counts_only_while_the_projection_works() {
        let (job, _) = job(Duration::MAX);
        job.limit(Some(Duration::ZERO));
        assert!(!job.should_stop());
        assert!(job.hand_over());
        assert!(job.should_stop());
        job.take_back();
        assert!(!job.should_stop());
        job.check("x").unwrap();
        job.limit(None);
        job.hand_over();
        assert!(!job.should_stop());
    }

    #[test]
    fn a_cancelled_job_does_nothing_more() {
        let (job, flag) = job(Duration::MAX);
        flag.store(true, Ordering::Relaxed);
        assert!(job.should_stop() && !job.timed_out());
        assert_eq!(job.check("x").unwrap_err().kind(), ErrorKind::Closed);
    }
}

//! The settings of a catch-up runner.

use std::time::Duration;

use crate::breaker::BreakerRule;
use crate::policy::Backoff;
use crate::progress::FlushRule;
use crate::settings::check::Check;
use crate::settings::{OnPermanent, StartFrom, Violation};

const MIB: usize = 1024 * 1024;
/// Each lane may have a call of the handler under way: more of them is a mistake with most other sides.
const MOST_LANES: usize = 1024;

/// The settings of a catch-up runner: a handler that takes events at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatchUpSettings {
    /// Where a group begins that the checkpoint store does not know. Default: nothing said, which is the
    /// beginning; but a store that may have forgotten everything then refuses the group, until somebody says
    /// where it is to begin (D-9).
    pub start_from: Option<StartFrom>,
    /// How many lanes handle events at the same time. A stream is always in the same lane, so its events stay
    /// in order; events of different lanes do not. Default 1: log order. More pays where the handler waits
    /// for others. At least 1, at most 1,024, and at most `intake_events`.
    pub lanes: usize,
    /// The most events of a lane that are handed over in one call. Default 1: a handler that does not take
    /// many at once gains nothing by more, and a call that fails without saying at which event is repeated
    /// one by one. At least 1, at most `intake_events`.
    pub batch: usize,
    /// How long one call of the handler may take. Default 20 s. A time-out with one event counts as an
    /// unclassified failure of that event. Not 0.
    pub handler_timeout: Duration,
    /// How many settled events may be beyond the stored checkpoint: when it is reached the checkpoint is
    /// written, and no event is begun before it is. Default 10. After a crash at most so many events are
    /// handled again, and those that were done above the low-water mark: a batch for each lane, and what
    /// lanes did while another one was held up. More pays where the store is slower than the handler. At
    /// least 1.
    pub checkpoint_batch_size: u64,
    /// After this time the checkpoint is written, if anything was settled in it. Default 500 ms. 0 = with
    /// each settled event, as far as the store keeps up.
    pub checkpoint_interval: Duration,
    /// How often an event whose failure is unclassified is tried again before `on_permanent` acts. Default 3,
    /// which is 4 executions; with the pauses below about 7 s. 0 = acts at the first failure. Failures of the
    /// surroundings never count; after so many in a row the runner says that it is stalled.
    pub max_retries: u32,
    /// The pause behind the first failure of an event; it doubles with each, ±25 %. Default 1 s. Not 0.
    pub retry_delay: Duration,
    /// The longest pause. Default 30 s: how late it is noticed that the other side has healed. At least
    /// `retry_delay`.
    pub retry_cap: Duration,
    /// What happens to an event that the handler cannot take. Default: it goes to the dead letters.
    pub on_permanent: OnPermanent,
    /// How many open dead letters a group may have; with one more it is `Faulted`. Default 10,000: past that
    /// it is no longer a few bad events, and somebody should look. 0 = the first one faults.
    pub max_dead_letters: u64,
    /// If the first events of a run, this many of them, are given up without exception, the runner is
    /// `Faulted`: it is the handler that is wrong, not its events. Default 100. At least 1.
    pub max_first_failures: u64,
    /// How many calls of the handler must fail in a row, for reasons of the surroundings, for its circuit
    /// breaker to open. Default 5. At least 1.
    pub breaker_failure_threshold: u32,
    /// How long the open breaker leaves the other side alone before one probe. Default 60 s. Not 0.
    pub breaker_open_time: Duration,
    /// The most events that are held in memory, waiting or being handled. Default 1,024. A lane that is held
    /// up keeps its events; the others go on until they have filled the rest. At least `lanes` and `batch`.
    pub intake_events: usize,
    /// The most bytes of events that are held, by `RecordedEvent::size`; a single larger event still comes
    /// alone. Default 8 MiB. At least 1.
    pub intake_bytes: usize,
    /// How long a runner that has caught up waits for a hint before it looks by itself, ±25 %. Default 1 s.
    /// Not 0.
    pub poll_interval: Duration,
    /// Whether the runner ends after the event that was the last one when it started. Default false.
    pub stop_on_caught_up: bool,
    /// How long a stop waits for calls of the handler that are under way before it drops them; their events
    /// are handled again at the next start. Default 20 s: within the 30 s that most supervisors allow. 0 =
    /// drops them at once.
    pub drain: Duration,
    /// How long the end of a run waits for its last checkpoint to be stored. Default 15 s. Not 0.
    pub flush_timeout: Duration,
    /// After how many handled events the progress is told. Default 100. 0 = never.
    pub progress_every: u64,
    /// Whether the words of a message may decide about an error whose type nobody knows. Default false: it is
    /// a guess, and each one is logged.
    pub message_patterns: bool,
}

impl Default for CatchUpSettings {
    fn default() -> Self {
        Self {
            start_from: None,
            lanes: 1,
            batch: 1,
            handler_timeout: Duration::from_secs(20),
            checkpoint_batch_size: 10,
            checkpoint_interval: Duration::from_millis(500),
            max_retries: 3,
            retry_delay: Duration::from_secs(1),
            retry_cap: Duration::from_secs(30),
            on_permanent: OnPermanent::DeadLetter,
            max_dead_letters: 10_000,
            max_first_failures: 100,
            breaker_failure_threshold: 5,
            breaker_open_time: Duration::from_secs(60),
            intake_events: 1024,
            intake_bytes: 8 * MIB,
            poll_interval: Duration::from_secs(1),
            stop_on_caught_up: false,
            drain: Duration::from_secs(20),
            flush_timeout: Duration::from_secs(15),
            progress_every: 100,
            message_patterns: false,
        }
    }
}

impl CatchUpSettings {
    /// The pauses between attempts.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        Backoff { base: self.retry_delay, cap: self.retry_cap }
    }

    /// When the checkpoint is due.
    #[must_use]
    pub fn flush(&self) -> FlushRule {
        FlushRule { every: self.checkpoint_batch_size, interval: self.checkpoint_interval }
    }

    /// The rule of the handler's circuit breaker.
    #[must_use]
    pub fn breaker(&self) -> BreakerRule {
        BreakerRule { failure_threshold: self.breaker_failure_threshold, open_time: self.breaker_open_time }
    }

    /// Checks the settings against their bounds and each other.
    ///
    /// # Errors
    /// All violations, in the order of the settings.
    pub fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut check = Check::default();
        check.require("lanes", (1..=MOST_LANES).contains(&self.lanes), || {
            format!("is {}: a runner has 1 to {MOST_LANES} lanes", self.lanes)
        });
        check.not_zero("batch", self.batch);
        check.some_time("handler_timeout", self.handler_timeout);
        check.not_zero("checkpoint_batch_size", self.checkpoint_batch_size);
        check.some_time("retry_delay", self.retry_delay);
        check.no_longer("retry_delay", self.retry_delay, "retry_cap", self.retry_cap);
        check.not_zero("max_first_failures", self.max_first_failures);
        check.not_zero("breaker_failure_threshold", self.breaker_failure_threshold);
        check.some_time("breaker_open_time", self.breaker_open_time);
        check.at_least("intake_events", self.intake_events, "lanes", self.lanes);
        check.at_least("intake_events", self.intake_events, "batch", self.batch);
        check.not_zero("intake_bytes", self.intake_bytes);
        check.some_time("poll_interval", self.poll_interval);
        check.some_time("flush_timeout", self.flush_timeout);
        check.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut CatchUpSettings)) -> Vec<&'static str> {
        let mut settings = CatchUpSettings::default();
        change(&mut settings);
        let violations = settings.validate().expect_err("must be refused");
        violations.into_iter().map(|violation| violation.setting).collect()
    }

    #[test]
    fn x_7_defaults_pass() {
        assert_eq!(CatchUpSettings::default().validate(), Ok(()));
    }

    #[test]
    fn each_bound_is_checked() {
        assert_eq!(wrong(|s| s.lanes = 0), ["lanes"]);
        assert_eq!(wrong(|s| s.lanes = 1025), ["lanes", "intake_events"]);
        assert_eq!(wrong(|s| s.batch = 0), ["batch"]);
        assert_eq!(wrong(|s| s.batch = 1025), ["intake_events"]);
        assert_eq!(wrong(|s| s.handler_timeout = Duration::ZERO), ["handler_timeout"]);
        assert_eq!(wrong(|s| s.checkpoint_batch_size = 0), ["checkpoint_batch_size"]);
        assert_eq!(wrong(|s| s.retry_delay = Duration::ZERO), ["retry_delay"]);
        assert_eq!(wrong(|s| s.retry_cap = Duration::from_millis(999)), ["retry_delay"]);
        assert_eq!(wrong(|s| s.max_first_failures = 0), ["max_first_failures"]);
        assert_eq!(wrong(|s| s.breaker_failure_threshold = 0), ["breaker_failure_threshold"]);
        assert_eq!(wrong(|s| s.breaker_open_time = Duration::ZERO), ["breaker_open_time"]);
        assert_eq!(wrong(|s| s.intake_events = 0), ["intake_events", "intake_events"]);
        assert_eq!(wrong(|s| s.intake_bytes = 0), ["intake_bytes"]);
        assert_eq!(wrong(|s| s.poll_interval = Duration::ZERO), ["poll_interval"]);
        assert_eq!(wrong(|s| s.flush_timeout = Duration::ZERO), ["flush_timeout"]);
    }

    #[test]
    fn zero_is_allowed_where_it_means_something() {
        let settings = CatchUpSettings {
            checkpoint_interval: Duration::ZERO,
            max_retries: 0,
            max_dead_letters: 0,
            drain: Duration::ZERO,
            progress_every: 0,
            ..CatchUpSettings::default()
        };
        assert_eq!(settings.validate(), Ok(()));
    }

    #[test]
    fn x_12_all_violations_are_named_with_what_they_may_be() {
        let violations = CatchUpSettings { lanes: 2000, retry_cap: Duration::ZERO, ..Default::default() }
            .validate()
            .unwrap_err();
        let texts: Vec<_> = violations.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "`lanes` is 2000: a runner has 1 to 1024 lanes",
                "`retry_delay` is 1s: it must not be longer than `retry_cap`, which is 0ns",
                "`intake_events` is 1024: it must be at least `lanes`, which is 2000",
            ]
        );
    }
}

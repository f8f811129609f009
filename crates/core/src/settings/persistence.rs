//! The settings of a persistence worker.

use std::time::Duration;

use crate::breaker::BreakerRule;
use crate::settings::Violation;
use crate::settings::check::Check;

/// The settings of a persistence worker: one worker writes the dirty keys of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistenceSettings {
    /// How long the worker rests between the end of one pass over the dirty keys and the next; the first time
    /// ±25 %. Default 5 s: what a crash makes be done again is at most that old, and there are few calls.
    /// A key that was marked as due does not wait for it. Not 0.
    pub persistence_interval: Duration,
    /// How long one call of the target may take; then its outcome is unknown, its keys stay dirty, and they
    /// are next tried in halves. Default 15 s: far above any sane call. Not 0, shorter than
    /// `force_persistence_timeout`, and at most `shutdown_timeout`, so that both leave time for a call.
    pub operation_timeout: Duration,
    /// How long a forced flush that names no time of its own may take. Default 30 s: two calls that time out.
    pub force_persistence_timeout: Duration,
    /// How long a shutdown may take; what is dirty then is returned and logged. Default 15 s: within the 30 s
    /// that most supervisors allow, with time left for others.
    pub shutdown_timeout: Duration,
    /// The most keys in one call of the target. Default 100: one pipeline of a store, few enough that the
    /// search for a key that hangs ends after seven halvings. At least 1.
    pub max_batch_size: usize,
    /// The most keys that may be dirty at a time; a new one beyond is refused, a dirty one coalesces. Default
    /// 1000: it bounds the memory (about 200 bytes and the key, each) and what a crash can lose. At least 1,
    /// and at least the number of runners that the worker serves, since each needs one.
    pub max_pending: usize,
    /// How many calls in a row must fail for the circuit breaker to open. Default 5: with the pauses between
    /// failed calls an outage of about 10 s. At least 1.
    pub breaker_failure_threshold: u32,
    /// How long the open breaker leaves the target alone before one probe. Default 60 s: time to restart a
    /// server; it is also how late a healed target may be noticed. Not 0.
    pub breaker_open_time: Duration,
}

impl Default for PersistenceSettings {
    fn default() -> Self {
        Self {
            persistence_interval: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(15),
            force_persistence_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(15),
            max_batch_size: 100,
            max_pending: 1000,
            breaker_failure_threshold: 5,
            breaker_open_time: Duration::from_secs(60),
        }
    }
}

impl PersistenceSettings {
    /// The names under which [`PersistenceSettings::preset`] knows the presets.
    pub const PRESETS: [&str; 3] = ["high-throughput", "high-latency", "memory-constrained"];

    /// For many busy keys: more of them in a call, more often, and more that may wait.
    #[must_use]
    pub fn high_throughput() -> Self {
        Self {
            persistence_interval: Duration::from_secs(2),
            operation_timeout: Duration::from_secs(20),
            force_persistence_timeout: Duration::from_secs(40),
            shutdown_timeout: Duration::from_secs(20),
            max_batch_size: 200,
            max_pending: 5000,
            ..Self::default()
        }
    }

    /// For a target far away: fewer and smaller calls, more patience with each, and a breaker that opens
    /// later.
    #[must_use]
    pub fn high_latency() -> Self {
        Self {
            persistence_interval: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(30),
            force_persistence_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(30),
            max_batch_size: 50,
            breaker_failure_threshold: 10,
            ..Self::default()
        }
    }

    /// For a small machine: fewer keys wait, and for a shorter time.
    #[must_use]
    pub fn memory_constrained() -> Self {
        Self {
            persistence_interval: Duration::from_secs(3),
            max_batch_size: 25,
            max_pending: 500,
            ..Self::default()
        }
    }

    /// The preset of this name; `None` for a name that is not among [`PersistenceSettings::PRESETS`].
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        let [high_throughput, high_latency, memory_constrained] = Self::PRESETS;
        match name {
            _ if name == high_throughput => Some(Self::high_throughput()),
            _ if name == high_latency => Some(Self::high_latency()),
            _ if name == memory_constrained => Some(Self::memory_constrained()),
            _ => None,
        }
    }

    /// The rule of the circuit breaker.
    #[must_use]
    pub fn breaker(&self) -> BreakerRule {
        BreakerRule { failure_threshold: self.breaker_failure_threshold, open_time: self.breaker_open_time }
    }

    /// Checks the settings against their bounds and each other.
    ///
    /// # Errors
    /// All violations, in the order of the settings.
    pub fn validate(&self) -> Result<(), Vec<Violation>> {
        self.validate_serving(0)
    }

    /// As [`PersistenceSettings::validate`], for a worker through which this many runners write.
    ///
    /// # Errors
    /// All violations, in the order of the settings.
    pub fn validate_serving(&self, runners: usize) -> Result<(), Vec<Violation>> {
        let mut check = Check::default();
        check.some_time("persistence_interval", self.persistence_interval);
        check.some_time("operation_timeout", self.operation_timeout);
        check.require("operation_timeout", self.operation_timeout < self.force_persistence_timeout, || {
            format!(
                "is {:?}: it must be shorter than `force_persistence_timeout`, which is {:?}",
                self.operation_timeout, self.force_persistence_timeout
            )
        });
        check.no_longer(
            "operation_timeout",
            self.operation_timeout,
            "shutdown_timeout",
            self.shutdown_timeout,
        );
        check.not_zero("max_batch_size", self.max_batch_size);
        check.not_zero("max_pending", self.max_pending);
        check.require("max_pending", self.max_pending >= runners, || {
            format!("is {}: it must be at least {runners}, the number of runners served", self.max_pending)
        });
        check.not_zero("breaker_failure_threshold", self.breaker_failure_threshold);
        check.some_time("breaker_open_time", self.breaker_open_time);
        check.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut PersistenceSettings)) -> Vec<&'static str> {
        let mut settings = PersistenceSettings::default();
        change(&mut settings);
        let violations = settings.validate().expect_err("must be refused");
        violations.into_iter().map(|violation| violation.setting).collect()
    }

    #[test]
    fn c_5_x_7_defaults_and_presets_pass() {
        assert_eq!(PersistenceSettings::default().validate_serving(1000), Ok(()));
        for name in PersistenceSettings::PRESETS {
            let preset = PersistenceSettings::preset(name).expect("it is in the list");
            assert_eq!(preset.validate_serving(500), Ok(()), "{name}");
        }
        assert_eq!(PersistenceSettings::preset("high_latency"), None);
    }

    #[test]
    fn c_5_presets_are_what_their_names_say() {
        let seconds = |settings: &PersistenceSettings| {
            [
                settings.persistence_interval,
                settings.operation_timeout,
                settings.force_persistence_timeout,
                settings.shutdown_timeout,
                settings.breaker_open_time,
            ]
            .map(|duration| duration.as_secs())
        };
        let counts = |s: &PersistenceSettings| (s.max_batch_size, s.max_pending, s.breaker_failure_threshold);
        let fast = PersistenceSettings::preset("high-throughput").unwrap();
        assert_eq!((seconds(&fast), counts(&fast)), ([2, 20, 40, 20, 60], (200, 5000, 5)));
        let far = PersistenceSettings::preset("high-latency").unwrap();
        assert_eq!((seconds(&far), counts(&far)), ([10, 30, 60, 30, 60], (50, 1000, 10)));
        let small = PersistenceSettings::preset("memory-constrained").unwrap();
        assert_eq!((seconds(&small), counts(&small)), ([3, 15, 30, 15, 60], (25, 500, 5)));
        let usual = PersistenceSettings::default();
        assert_eq!((seconds(&usual), counts(&usual)), ([5, 15, 30, 15, 60], (100, 1000, 5)));
    }

    #[test]
    fn c_5_each_bound_is_checked() {
        assert_eq!(wrong(|s| s.persistence_interval = Duration::ZERO), ["persistence_interval"]);
        assert_eq!(wrong(|s| s.operation_timeout = Duration::ZERO), ["operation_timeout"]);
        assert_eq!(
            wrong(|s| s.force_persistence_timeout = Duration::from_secs(15)),
            ["operation_timeout"],
            "shorter, not as long"
        );
        assert_eq!(wrong(|s| s.shutdown_timeout = Duration::from_secs(14)), ["operation_timeout"]);
        assert_eq!(wrong(|s| s.max_batch_size = 0), ["max_batch_size"]);
        assert_eq!(wrong(|s| s.max_pending = 0), ["max_pending"]);
        assert_eq!(wrong(|s| s.breaker_failure_threshold = 0), ["breaker_failure_threshold"]);
        assert_eq!(wrong(|s| s.breaker_open_time = Duration::ZERO), ["breaker_open_time"]);
        let as_long = PersistenceSettings { shutdown_timeout: Duration::from_secs(15), ..Default::default() };
        assert_eq!(as_long.validate(), Ok(()));
    }

    #[test]
    fn c_5_each_runner_served_needs_a_place() {
        let settings = PersistenceSettings { max_pending: 8, ..Default::default() };
        assert_eq!(settings.validate_serving(8), Ok(()));
        let text = settings.validate_serving(9).unwrap_err()[0].to_string();
        assert_eq!(text, "`max_pending` is 8: it must be at least 9, the number of runners served");
    }

    #[test]
    fn c_5_x_12_all_violations_are_named() {
        let settings = wrong(|s| {
            s.operation_timeout = Duration::from_secs(40);
            s.max_batch_size = 0;
            s.breaker_open_time = Duration::ZERO;
        });
        assert_eq!(
            settings,
            ["operation_timeout", "operation_timeout", "max_batch_size", "breaker_open_time"],
            "against the forced flush and against the shutdown"
        );
    }
}

//! The settings of a projection handler.

use std::time::Duration;

use crate::policy::{Backoff, OnFailure};
use crate::settings::check::Check;
use crate::settings::{SavepointMode, StartFrom, Violation};

const MIB: usize = 1024 * 1024;
/// Row versions of one's own transaction cannot be pruned, so many savepoints in one make each update slower.
const MOST_PER_EVENT: usize = 10_000;
/// More batches than this read ahead only hold memory; the applying connection is the bottleneck.
const MOST_READ_AHEAD: usize = 2;
/// Each partition is a runner with a connection: more of them is a mistake in most databases.
const MOST_PARTITIONS: u32 = 1024;

/// The settings of a projection handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionSettings {
    /// Events in a batch to begin with, and when live. Default 500: enough to share the cost of
    /// a transaction, few enough to be redone quickly when one fails. At least 1.
    pub batch: usize,
    /// The least size that a slow or lost batch shrinks to; only the batch deadline goes below it. Default
    /// 32: below it the transaction costs more than the events. At least 1.
    pub min_batch: usize,
    /// The greatest size that a batch grows to while far behind. Default 10,000: it brings 1.4 to 1.8 times
    /// over 2,000, and more brings nothing where events travel through this process. With `savepoint` per
    /// event, 10,000 is also the limit.
    pub max_batch: usize,
    /// The greatest size where set-based SQL runs inside the database and events do not travel. Default
    /// 200,000: the cost of a statement is shared long before. At least `batch`.
    pub max_range_batch: usize,
    /// Bytes of events in a batch, by `RecordedEvent::size`; a larger single event still comes alone. Default
    /// 8 MiB: times `read_ahead` + 1 is the memory of one projection. At least 1.
    pub max_batch_bytes: usize,
    /// The same where events do not travel: it bounds the work, not our memory. Default 64 MiB. At least 1.
    pub max_range_bytes: usize,
    /// How long a caught-up projection waits for a hint before it looks by itself, ±25 %. Default 1 s: the
    /// worst delay of an event whose hint got lost, at one cheap query a second. Not 0.
    pub poll_interval: Duration,
    /// How long one statement for one event may take. Default 15 s: far above any sane statement, far below
    /// the patience of those who wait for its locks. Not 0, and at most `batch_deadline`.
    pub statement_timeout: Duration,
    /// How long a batch may take; then it is rolled back and tried again with half of its events. Default 60
    /// s: it bounds how long locks are held, and on SQLite how long other writers wait. Not 0.
    pub batch_deadline: Duration,
    /// How much longer than `batch_deadline` the transaction may live, so that what was done by then can
    /// still be recorded and committed. Default 1 s. 0 = no longer.
    pub commit_grace: Duration,
    /// How many attempts an unclassified failure may use up before `on_failure` acts. Default 5: with the
    /// pauses below about 3 s of retrying. At least 1; 1 = acts at the first failure.
    pub max_failures: u32,
    /// The pause behind the first failed attempt; it doubles with each. Default 200 ms. Not 0.
    pub retry_base: Duration,
    /// The longest pause. Default 30 s: how late a healed backend is noticed. At least `retry_base`.
    pub retry_cap: Duration,
    /// How long a stop waits for the running batch to commit before it is rolled back. Default 20 s: within
    /// the 30 s that most supervisors allow. 0 = rolls back at once; nothing is lost either way.
    pub drain: Duration,
    /// Batches read ahead of the one that is applied: 0, 1 or 2. Default 2: reading and applying overlap (a
    /// tenth faster where it was measured). 0 = reads only between batches.
    pub read_ahead: usize,
    /// Into how many partitions the projection is divided, by a hash of the stream: each has its own state and
    /// lock, and they are spread over the instances. Default 1: log order, and one transaction at a time, which
    /// is what most read models need. More pays where one connection cannot keep up, or one machine; then
    /// order holds within a stream only, and rows that streams of two partitions share must be written so that
    /// neither their order nor their meeting matters. At least 1, at most 1,024: each costs a connection while
    /// it runs, and limits that count, such as `max_dead_letters`, count by partition. A change needs a new
    /// version or a rebuild.
    pub partitions: u32,
    /// Where a projection begins that has no state yet. Default: the beginning.
    pub start_from: StartFrom,
    /// What happens to an event that cannot be applied. Default: retried in order, then parked.
    pub on_failure: OnFailure,
    /// How a batch is guarded against its bad events. Default: optimistic.
    pub savepoint: SavepointMode,
    /// How many failed events may be open (parked, held or recorded) before the projection is `Faulted`.
    /// Default 10,000: past that it is no longer a few bad events, and somebody should look. 0 = the first
    /// one faults.
    pub max_dead_letters: u64,
    /// If the first events of a run, this many of them, fail without exception, the projection is `Faulted`:
    /// it is the projection that is wrong, not its events. Default 100. At least 1.
    pub max_first_failures: u64,
    /// Whether the words of a message may decide about an error whose type nobody knows. Default false: it is
    /// a guess, and each one is logged.
    pub message_patterns: bool,
}

impl Default for ProjectionSettings {
    fn default() -> Self {
        Self {
            batch: 500,
            min_batch: 32,
            max_batch: 10_000,
            max_range_batch: 200_000,
            max_batch_bytes: 8 * MIB,
            max_range_bytes: 64 * MIB,
            poll_interval: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(15),
            batch_deadline: Duration::from_secs(60),
            commit_grace: Duration::from_secs(1),
            max_failures: 5,
            retry_base: Duration::from_millis(200),
            retry_cap: Duration::from_secs(30),
            drain: Duration::from_secs(20),
            read_ahead: MOST_READ_AHEAD,
            partitions: 1,
            start_from: StartFrom::Beginning,
            on_failure: OnFailure::RetryInOrder,
            savepoint: SavepointMode::Optimistic,
            max_dead_letters: 10_000,
            max_first_failures: 100,
            message_patterns: false,
        }
    }
}

impl ProjectionSettings {
    /// The pauses between attempts.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        Backoff { base: self.retry_base, cap: self.retry_cap }
    }

    /// Checks the settings against their bounds and each other.
    ///
    /// # Errors
    /// All violations, in the order of the settings.
    pub fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut check = Check::default();
        check.at_least("batch", self.batch, "min_batch", self.min_batch);
        check.at_most("batch", self.batch, "max_batch", self.max_batch);
        check.not_zero("min_batch", self.min_batch);
        check.require(
            "max_batch",
            self.savepoint == SavepointMode::Optimistic || self.max_batch <= MOST_PER_EVENT,
            || {
                format!(
                    "is {}, but with `savepoint` per-event it may be at most {MOST_PER_EVENT}",
                    self.max_batch
                )
            },
        );
        check.at_least("max_range_batch", self.max_range_batch, "batch", self.batch);
        check.not_zero("max_batch_bytes", self.max_batch_bytes);
        check.not_zero("max_range_bytes", self.max_range_bytes);
        check.some_time("poll_interval", self.poll_interval);
        check.some_time("statement_timeout", self.statement_timeout);
        check.no_longer("statement_timeout", self.statement_timeout, "batch_deadline", self.batch_deadline);
        check.some_time("batch_deadline", self.batch_deadline);
        check.not_zero("max_failures", self.max_failures);
        check.some_time("retry_base", self.retry_base);
        check.no_longer("retry_base", self.retry_base, "retry_cap", self.retry_cap);
        check.require("read_ahead", self.read_ahead <= MOST_READ_AHEAD, || {
            format!("is {}: at most {MOST_READ_AHEAD} batches are read ahead", self.read_ahead)
        });
        check.require("partitions", (1..=MOST_PARTITIONS).contains(&self.partitions), || {
            format!("is {}: a projection has 1 to {MOST_PARTITIONS} partitions", self.partitions)
        });
        check.not_zero("max_first_failures", self.max_first_failures);
        check.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(change: impl FnOnce(&mut ProjectionSettings)) -> Vec<&'static str> {
        let mut settings = ProjectionSettings::default();
        change(&mut settings);
        let violations = settings.validate().expect_err("must be refused");
        violations.into_iter().map(|violation| violation.setting).collect()
    }

    #[test]
    fn x_7_defaults_pass() {
        assert_eq!(ProjectionSettings::default().validate(), Ok(()));
    }

    #[test]
    fn each_bound_is_checked() {
        assert_eq!(wrong(|s| s.batch = 31), ["batch"]);
        assert_eq!(wrong(|s| s.batch = 10_001), ["batch"]);
        assert_eq!(wrong(|s| s.min_batch = 0), ["min_batch"]);
        assert_eq!(wrong(|s| s.max_range_batch = 499), ["max_range_batch"]);
        assert_eq!(wrong(|s| s.max_batch_bytes = 0), ["max_batch_bytes"]);
        assert_eq!(wrong(|s| s.max_range_bytes = 0), ["max_range_bytes"]);
        assert_eq!(wrong(|s| s.poll_interval = Duration::ZERO), ["poll_interval"]);
        assert_eq!(wrong(|s| s.statement_timeout = Duration::ZERO), ["statement_timeout"]);
        assert_eq!(wrong(|s| s.batch_deadline = Duration::from_secs(14)), ["statement_timeout"]);
        assert_eq!(wrong(|s| s.max_failures = 0), ["max_failures"]);
        assert_eq!(wrong(|s| s.retry_base = Duration::ZERO), ["retry_base"]);
        assert_eq!(wrong(|s| s.retry_cap = Duration::from_millis(199)), ["retry_base"]);
        assert_eq!(wrong(|s| s.read_ahead = 3), ["read_ahead"]);
        assert_eq!(wrong(|s| s.partitions = 0), ["partitions"]);
        assert_eq!(wrong(|s| s.partitions = 1025), ["partitions"]);
        assert_eq!(wrong(|s| s.max_first_failures = 0), ["max_first_failures"]);
    }

    #[test]
    fn a_savepoint_per_event_bounds_the_batch() {
        let per_event = |s: &mut ProjectionSettings| {
            s.savepoint = SavepointMode::PerEvent;
            s.max_batch = 10_001;
        };
        assert_eq!(wrong(per_event), ["max_batch"]);
        let optimistic = ProjectionSettings { max_batch: 10_001, ..ProjectionSettings::default() };
        assert_eq!(optimistic.validate(), Ok(()));
    }

    #[test]
    fn zero_is_allowed_where_it_means_something() {
        let settings = ProjectionSettings {
            commit_grace: Duration::ZERO,
            drain: Duration::ZERO,
            read_ahead: 0,
            max_dead_letters: 0,
            ..ProjectionSettings::default()
        };
        assert_eq!(settings.validate(), Ok(()));
    }

    #[test]
    fn x_12_all_violations_are_named_with_what_they_may_be() {
        let settings = wrong(|s| {
            s.batch = 0;
            s.batch_deadline = Duration::ZERO;
            s.max_failures = 0;
        });
        assert_eq!(settings, ["batch", "statement_timeout", "batch_deadline", "max_failures"]);
        let tight = ProjectionSettings { batch: 20_000, ..ProjectionSettings::default() };
        let text = tight.validate().unwrap_err()[0].to_string();
        assert_eq!(text, "`batch` is 20000: it must be at most `max_batch`, which is 10000");
    }
}

//! What the worker has done so far (C-13, C-14).

use std::time::Duration;

use highwater_core::breaker::BreakerSnapshot;
use highwater_core::ports::Moment;

/// A persistence worker at one moment. Asking never waits for a call of the target.
///
/// A *request* is one key in one call: `requests` = `successful` + `failed` + `in_flight`. Counters are of
/// this worker, from its start; a success counts only after the target has confirmed it.
#[derive(Debug, Clone, PartialEq)]
pub struct PersistenceStats {
    /// The name of the target.
    pub target: String,
    /// Keys in calls, a key counted once for each call.
    pub requests: u64,
    /// Those that the target has confirmed.
    pub successful: u64,
    /// Those that it refused, did not answer for in time, or that were given up at a stop.
    pub failed: u64,
    /// Those that are on their way.
    pub in_flight: u64,
    /// The circuit breaker.
    pub breaker: BreakerSnapshot,
    /// Keys that are dirty, those on their way included.
    pub pending: usize,
    /// For how long the oldest of them is dirty; absent when none is.
    pub oldest_pending: Option<Duration>,
    /// How often a new key found no place.
    pub refused: u64,
    /// How long the target took to answer; absent before its first answer.
    pub response: Option<ResponseTimes>,
    /// When a key was confirmed last: microseconds since 1970, by the wall clock.
    pub last_success_micros: Option<i64>,
    /// When one failed last.
    pub last_failure_micros: Option<i64>,
    /// When the last call was made, whatever came of it.
    pub last_persistence_micros: Option<i64>,
    /// The last failure in words, kept after it healed.
    pub last_error: Option<String>,
    /// How long the worker exists.
    pub uptime: Duration,
}

/// How long the calls took that the target answered, with keys or with an error; time-outs are no answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseTimes {
    /// The shortest.
    pub min: Duration,
    /// The mean of all.
    pub mean: Duration,
    /// The longest.
    pub max: Duration,
}

/// The counters behind the statistics.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: u64,
    pub(super) successful: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
    pub(super) last_success_micros: Option<i64>,
    pub(super) last_failure_micros: Option<i64>,
    pub(super) last_persistence_micros: Option<i64>,
    pub(super) last_error: Option<String>,
    responses: Option<Responses>,
}

#[derive(Debug, Clone, Copy)]
struct Responses {
    min: Duration,
    max: Duration,
    total_nanos: u128,
    count: u128,
}

impl Tally {
    pub(super) fn took_off(&mut self, keys: usize, wall_micros: i64) {
        self.requests += count(keys);
        self.last_persistence_micros = Some(wall_micros);
    }

    pub(super) fn responded(&mut self, took: Duration) {
        let nanos = took.as_nanos();
        let first = Responses { min: took, max: took, total_nanos: 0, count: 0 };
        let before = self.responses.unwrap_or(first);
        self.responses = Some(Responses {
            min: before.min.min(took),
            max: before.max.max(took),
            total_nanos: before.total_nanos.saturating_add(nanos),
            count: before.count + 1,
        });
    }

    pub(super) fn succeeded(&mut self, keys: usize, wall_micros: i64) {
        self.successful += count(keys);
        self.last_success_micros = Some(wall_micros);
    }

    pub(super) fn failed(&mut self, keys: usize, why: String, wall_micros: i64) {
        self.failed += count(keys);
        self.last_failure_micros = Some(wall_micros);
        self.last_error = Some(why);
    }

    /// Keys that were on their way when their call was given up.
    pub(super) fn given_up(&mut self, keys: usize) {
        self.failed += count(keys);
    }

    pub(super) fn stats(
        &self,
        target: &str,
        breaker: BreakerSnapshot,
        (pending, oldest): (usize, Option<Moment>),
        (began, now): (Moment, Moment),
    ) -> PersistenceStats {
        PersistenceStats {
            target: target.to_owned(),
            requests: self.requests,
            successful: self.successful,
            failed: self.failed,
            in_flight: self.requests - self.successful - self.failed,
            breaker,
            pending,
            oldest_pending: oldest.map(|since| now.since(since)),
            refused: self.refused,
            response: self.responses.map(Responses::times),
            last_success_micros: self.last_success_micros,
            last_failure_micros: self.last_failure_micros,
            last_persistence_micros: self.last_persistence_micros,
            last_error: self.last_error.clone(),
            uptime: now.since(began),
        }
    }
}

impl Responses {
    fn times(self) -> ResponseTimes {
        let mean = self.total_nanos / self.count.max(1);
        let mean = u64::try_from(mean).map_or(Duration::MAX, Duration::from_nanos);
        ResponseTimes { min: self.min, mean, max: self.max }
    }
}

/// A `usize` is at most 64 bits wide.
fn count(keys: usize) -> u64 {
    u64::try_from(keys).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(millis: &[u64]) -> Option<ResponseTimes> {
        let mut tally = Tally::default();
        millis.iter().for_each(|millis| tally.responded(Duration::from_millis(*millis)));
        tally.responses.map(Responses::times)
    }

    #[test]
    fn c_13_response_times_are_absent_before_the_first_sample() {
        assert_eq!(response(&[]), None);
        let ms = Duration::from_millis;
        assert_eq!(response(&[7]), Some(ResponseTimes { min: ms(7), mean: ms(7), max: ms(7) }));
        assert_eq!(response(&[10, 1, 4]), Some(ResponseTimes { min: ms(1), mean: ms(5), max: ms(10) }));
        assert_eq!(response(&[0]).map(|times| times.min), Some(Duration::ZERO));
    }
}

//! Who runs when, and what the times say.
//!
//! A machine's speed drifts: another process wakes up, the disk is busy, the clock of the processor changes.
//! So the contestants take turns, and a ratio is taken between two runs of the same round; its median over
//! the rounds forgets the rounds in which the machine was disturbed. Each round begins with another
//! contestant, so that nobody always runs behind the same one.

use std::time::Duration;

use anyhow::Context;
use highwater::TokioClock;
use highwater::core::ports::Clock;
use serde::Serialize;
use tokio::runtime::Runtime;

/// One run of a contestant on a fresh input, with a check of what came out: the seconds of what is timed.
pub(crate) type Turn<'b> = Box<dyn Fn() -> anyhow::Result<f64> + 'b>;

/// Something that makes a read model out of a log, and is timed.
pub(crate) struct Contestant<'b> {
    /// Its name; unique among those that it is interleaved with.
    pub(crate) name: &'static str,
    /// How many events it works through; 0 = its time alone says something.
    pub(crate) events: u32,
    /// The statements that it runs, for the report.
    pub(crate) sql: Vec<&'static str>,
    /// One run.
    pub(crate) turn: Turn<'b>,
}

/// The times of a contestant, one a round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    /// The contestant's name.
    pub(crate) name: &'static str,
    /// As in [`Contestant`].
    pub(crate) events: u32,
    /// Seconds, in the order of the rounds.
    pub(crate) seconds: Vec<f64>,
    /// As in [`Contestant`].
    pub(crate) sql: Vec<&'static str>,
}

impl Measured {
    /// Events a second, one a round.
    pub(crate) fn rates(&self) -> Vec<f64> {
        self.seconds.iter().map(|seconds| f64::from(self.events) / seconds).collect()
    }
}

/// Median, least and greatest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Self { median, min: sorted[0], max: sorted[sorted.len() - 1] }
    }
}

/// The value that `percent` of all samples do not exceed; zero where there are none.
pub(crate) fn percentile(samples: &mut [Duration], percent: usize) -> Duration {
    samples.sort_unstable();
    let at = (samples.len() * percent).div_ceil(100).saturating_sub(1);
    samples.get(at).copied().unwrap_or_default()
}

/// How many times as fast one is as the other, round by round.
pub(crate) fn ratio(contestant: &Measured, baseline: &Measured) -> Spread {
    let ratios: Vec<f64> =
        contestant.rates().iter().zip(baseline.rates()).map(|(rate, base)| rate / base).collect();
    Spread::of(&ratios)
}

/// How long `run` takes, in seconds.
///
/// # Errors
/// Its own.
pub(crate) fn timed(run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let clock = TokioClock::new();
    let started = clock.now();
    run()?;
    Ok(clock.now().since(started).as_secs_f64())
}

/// Runs it as a task of the runtime, as the product's own loops do: what the main thread waits for has to wake
/// that thread, each time, and nobody pays for that but a benchmark.
///
/// # Errors
/// Its own, or its panic.
pub(crate) fn as_task<T: Send + 'static>(
    runtime: &Runtime,
    task: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    runtime.block_on(async { tokio::spawn(task).await.context("run a task")? })
}

/// Runs all contestants in turn, `rounds` times.
///
/// # Errors
/// When a run fails or its result is wrong.
pub(crate) fn interleave(contestants: &[Contestant<'_>], rounds: u32) -> anyhow::Result<Vec<Measured>> {
    let mut measured: Vec<Measured> = contestants
        .iter()
        .map(|contestant| Measured {
            name: contestant.name,
            events: contestant.events,
            seconds: Vec::new(),
            sql: contestant.sql.clone(),
        })
        .collect();
    for round in 0..rounds {
        let first = usize::try_from(round).unwrap_or_default();
        for turn in 0..contestants.len() {
            let at = (first + turn) % contestants.len();
            eprintln!("round {} of {rounds}: {}", round + 1, contestants[at].name);
            let seconds = (contestants[at].turn)().with_context(|| contestants[at].name)?;
            measured[at].seconds.push(seconds);
        }
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(seconds: &[f64]) -> Measured {
        Measured { name: "test", events: 100, seconds: seconds.to_vec(), sql: Vec::new() }
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(Spread::of(&[4.0, 1.0, 3.0]), Spread { median: 3.0, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
    }

    #[test]
    fn a_ratio_is_taken_within_a_round_so_that_a_slow_round_does_not_count() {
        let (product, loops) = (measured(&[1.0, 10.0, 1.0]), measured(&[0.5, 5.0, 0.5]));
        assert_eq!(ratio(&product, &loops), Spread { median: 0.5, min: 0.5, max: 0.5 });
    }

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let mut samples: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut samples, 50), Duration::from_millis(100));
        assert_eq!(percentile(&mut samples, 99), Duration::from_millis(198));
        assert_eq!(percentile(&mut [], 99), Duration::ZERO);
    }
}

//! A thousand runners in one process, with one board and one worker: how fast they are together, and how often the
//! store is called for all of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use highwater::core::ports::{Clock, PersistenceObserver, PersistenceSeen};
use highwater::{CatchUpSettings, PersistenceSettings, TokioClock};
use highwater_runtime::catch_up::CheckpointBoard;
use highwater_testkit::memory::MemoryCheckpoints;

use super::handler::Counting;
use super::one::Log;
use crate::figure::Figure;
use crate::forced::RUNNERS;
use crate::machine::{Machine, check};
use crate::measure::percentile;

/// Writes down what each call of the store was for.
#[derive(Default)]
struct Calls(Mutex<Vec<(usize, Duration)>>);

impl PersistenceObserver for Calls {
    fn seen(&self, _: &str, what: &PersistenceSeen<'_>) {
        if let PersistenceSeen::Flushed { flushed, took, .. } = what {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((*flushed, *took));
        }
    }
}

/// What a run of all of them took.
pub(super) struct Together {
    /// Events a second, of all together.
    rate: f64,
    /// Calls of the store that wrote checkpoints.
    calls: f64,
    /// Checkpoints in a call.
    keys_a_call: f64,
    /// Events for each call.
    events_a_call: f64,
    /// Of a call, in microseconds.
    median: f64,
    p99: f64,
}

/// Runs all of them, each over the whole log.
///
/// # Errors
/// When one does not get through.
pub(super) async fn together(log: Log) -> anyhow::Result<Together> {
    let store = Arc::new(MemoryCheckpoints::new());
    let calls = Arc::new(Calls::default());
    let persistence = PersistenceSettings::default();
    let machine = Machine::start(store.clone(), CheckpointBoard::LEASE, persistence, calls.clone())?;
    let handler = Arc::new(Counting::at_once());
    let clock = TokioClock::new();
    let begun = clock.now();
    let mut running = Vec::new();
    for number in 0..RUNNERS {
        let settings = CatchUpSettings { stop_on_caught_up: true, ..CatchUpSettings::default() };
        running.push(machine.run(
            &format!("group-{number:04}"),
            &log.log,
            handler.clone(),
            None,
            settings,
        )?);
    }
    for group in &running {
        check(&*group.end().await, log.events).context("the result is wrong")?;
    }
    let seconds = clock.now().since(begun).as_secs_f64();
    machine.stop().await?;
    let runners = u64::try_from(RUNNERS).context("count the runners")?;
    let events = handler.calls();
    ensure!(events == runners * u64::from(log.events), "the handler took {events} events");
    let calls = calls.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let keys: usize = calls.iter().map(|(keys, _)| keys).sum();
    let mut took: Vec<Duration> = calls.iter().map(|(_, took)| *took).collect();
    let (keys, calls, events) = (float(keys)?, float(calls.len())?, float(events)?);
    Ok(Together {
        rate: events / seconds,
        calls,
        keys_a_call: keys / calls,
        events_a_call: events / calls,
        median: percentile(&mut took, 50).as_secs_f64() * 1e6,
        p99: percentile(&mut took, 99).as_secs_f64() * 1e6,
    })
}

/// Everything that is counted here is far below what a u32 holds.
fn float(count: impl TryInto<u32>) -> anyhow::Result<f64> {
    let count = count.try_into().ok().context("count less: too many to be shown")?;
    Ok(f64::from(count))
}

/// The figures of several runs.
pub(super) fn figures(runs: &[Together], events: u32) -> Vec<Figure> {
    let figure = |name: &str, of: fn(&Together) -> f64, unit| {
        let values: Vec<f64> = runs.iter().map(of).collect();
        Figure::new(format!("all of {RUNNERS} runners, {events} events each: {name}"), &values, unit)
    };
    vec![
        figure("rate", |run| run.rate, "events/s"),
        figure("calls of the store", |run| run.calls, ""),
        figure("checkpoints in a call", |run| run.keys_a_call, ""),
        figure("events for a call", |run| run.events_a_call, ""),
        figure("a call", |run| run.median, "us"),
        figure("a call, p99", |run| run.p99, "us"),
    ]
}

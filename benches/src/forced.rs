//! A thousand runners, whose checkpoints one forced flush writes.
//!
//! The runners, the board, the worker and the store are the product's. Only what stands between runner and
//! worker is not: in the product a mark that is due goes out at once, so that there are never a thousand at a
//! time. Here it waits, as marks do that are not due, until the flush is forced.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use highwater::core::ports::{Clock, NoObserver};
use highwater::{
    AppendEvents, CatchUpSettings, Error, NewEvent, OwnedCheckpoints, Persistence, PersistenceSettings,
    RecordedEvent, StartFrom, TokioClock,
};
use highwater_runtime::catch_up::CheckpointWriter;
use highwater_testkit::fixtures::append_to;
use highwater_testkit::memory::MemoryLog;

use crate::data::EVENT_TYPE;
use crate::figure::Figure;
use crate::machine::Machine;
use crate::measure::percentile;
use crate::report::Goal;

/// How many there are.
pub(crate) const RUNNERS: usize = 1_000;
/// So long that no lease is renewed in the middle of a flush.
const LEASE: Duration = Duration::from_secs(3_600);
/// So long that no pass begins by itself.
const NEVER: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Marks without hurry.
struct Patient(Persistence);

#[async_trait]
impl CheckpointWriter for Patient {
    fn mark_due(&self, key: &str) -> Result<(), Error> {
        self.0.request(key)
    }

    async fn flush(&self, key: &str, within: Duration) -> Result<(), Error> {
        CheckpointWriter::flush(&self.0, key, within).await
    }
}

/// Checkpoints in a call of the store: the default, and as many as there are runners.
pub(crate) fn batches() -> [usize; 2] {
    [PersistenceSettings::default().max_batch_size, RUNNERS]
}

/// How long each of `flushes` forced flushes took; each writes the checkpoints of all runners, so many in a call of
/// the store. `prefix` makes the groups' names unlike others' in this store.
///
/// # Errors
/// When a runner does not get on, or a checkpoint is not written.
pub(crate) async fn flushes(
    store: Arc<dyn OwnedCheckpoints>,
    prefix: String,
    flushes: u32,
    max_batch_size: usize,
) -> anyhow::Result<Vec<Duration>> {
    let settings = PersistenceSettings {
        persistence_interval: NEVER,
        max_pending: RUNNERS,
        max_batch_size,
        ..PersistenceSettings::default()
    };
    let machine = Machine::start(store, LEASE, settings, Arc::new(NoObserver))?;
    let log = MemoryLog::new();
    let writer: Arc<dyn CheckpointWriter> = Arc::new(Patient(machine.worker.clone()));
    let handler = Arc::new(|_: RecordedEvent| async { Ok(()) });
    for number in 0..RUNNERS {
        let settings = CatchUpSettings {
            start_from: Some(StartFrom::Beginning),
            checkpoint_batch_size: 1,
            ..CatchUpSettings::default()
        };
        let group = format!("{prefix}{number:04}");
        machine.run(&group, &log, handler.clone(), Some(writer.clone()), settings)?;
    }
    let clock = TokioClock::new();
    let mut took = Vec::new();
    // The first one creates the checkpoints, and is not counted.
    for number in 0..=flushes {
        log.append(&[append_to("all", vec![NewEvent::json(EVENT_TYPE, "{}")])]).await?;
        everybody_has_marked(&machine.worker, &clock).await?;
        let begun = clock.now();
        let report = machine.worker.force(None, None, false).await.context("force a flush")?;
        let passed = clock.now().since(begun);
        let flushed = report.flushed.len();
        ensure!(
            report.is_complete() && flushed == RUNNERS,
            "{flushed} of {RUNNERS} checkpoints were written"
        );
        if number > 0 {
            took.push(passed);
        }
    }
    machine.stop().await?;
    Ok(took)
}

async fn everybody_has_marked(worker: &Persistence, clock: &TokioClock) -> anyhow::Result<()> {
    let deadline = clock.now() + PATIENCE;
    while worker.stats().pending < RUNNERS {
        let pending = worker.stats().pending;
        ensure!(clock.now() < deadline, "only {pending} of {RUNNERS} runners have settled an event");
        clock.sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The figures of such flushes on a store, and what is asked of their median in milliseconds.
pub(crate) fn figures(took: &mut [Duration], on: &str, goal: Option<Goal>) -> [Figure; 2] {
    let millis: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e3).collect();
    let median = Figure::new(format!("forced flush of {RUNNERS} runners {on}"), &millis, "ms");
    let p99 = percentile(took, 99).as_secs_f64() * 1e3;
    [
        match goal {
            Some(goal) => median.goal(goal),
            None => median,
        },
        Figure::new(format!("forced flush of {RUNNERS} runners {on}, p99"), &[p99], "ms"),
    ]
}

//! One runner on one log, and the plain loop over the same events.

use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use highwater::core::ports::{Clock, DynHandler, NoObserver};
use highwater::{CatchUpSettings, PersistenceSettings, RecordedEvent, TokioClock};
use highwater_runtime::catch_up::CheckpointBoard;
use highwater_testkit::memory::{MemoryCheckpoints, MemoryLog};

use super::handler::Counting;
use crate::data::fill;
use crate::machine::{Machine, check};

/// A log in memory, with so many events.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) log: MemoryLog,
    pub(super) events: u32,
}

impl Log {
    /// Makes it.
    ///
    /// # Errors
    /// When the log takes no events.
    pub(super) async fn make(events: u32) -> anyhow::Result<Self> {
        let log = MemoryLog::new();
        fill(&log, events, false).await?;
        Ok(Self { log, events })
    }
}

/// Runs a group from the first event to the last, on checkpoints in memory: the seconds from its start to its end,
/// the claim and the last checkpoint included.
///
/// # Errors
/// When it does not get through.
pub(super) async fn catch_up(log: Log, handler: Counting, settings: CatchUpSettings) -> anyhow::Result<f64> {
    let store = Arc::new(MemoryCheckpoints::new());
    let persistence = PersistenceSettings::default();
    let machine = Machine::start(store, CheckpointBoard::LEASE, persistence, Arc::new(NoObserver))?;
    let handler = Arc::new(handler);
    let settings = CatchUpSettings { stop_on_caught_up: true, ..settings };
    let clock = TokioClock::new();
    let begun = clock.now();
    let running = machine.run("group", &log.log, handler.clone(), None, settings)?;
    let report = running.end().await;
    let seconds = clock.now().since(begun).as_secs_f64();
    check(&report, log.events).context("the result is wrong")?;
    counted(&handler, log.events)?;
    machine.stop().await?;
    Ok(seconds)
}

/// Calls a handler with each event, as the runner does: through a pointer, caught if it panics, one after the other.
/// The events are in memory and in order; nothing is read, remembered or written down.
///
/// # Errors
/// When the handler fails.
pub(super) async fn plain(events: Arc<[RecordedEvent]>) -> anyhow::Result<f64> {
    let handler = Arc::new(Counting::at_once());
    let behind_a_pointer: Arc<dyn DynHandler> = handler.clone();
    let clock = TokioClock::new();
    let begun = clock.now();
    for event in events.chunks(1) {
        behind_a_pointer.handle_slice(event).await.map_err(|failure| anyhow!(failure.message()))?;
    }
    let seconds = clock.now().since(begun).as_secs_f64();
    counted(&handler, u32::try_from(events.len()).context("count the events")?)?;
    Ok(seconds)
}

fn counted(handler: &Counting, events: u32) -> anyhow::Result<()> {
    let calls = handler.calls();
    ensure!(calls == u64::from(events), "the handler took {calls} of {events} events");
    Ok(())
}

//! The runners of one process, put together as the product puts them together: one board and one persistence
//! worker a checkpoint store, shared by all of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use highwater::core::ports::{DynHandler, PersistenceObserver};
use highwater::{
    CatchUpHandle, CatchUpSettings, Environment, OwnedCheckpoints, Persistence, PersistenceSettings,
};
use highwater_runtime::catch_up::{
    CatchUpEnd, CatchUpReport, CatchUpRunner, CatchUpRunners, CheckpointBoard, CheckpointWriter,
};
use highwater_testkit::memory::MemoryLog;

/// A process.
pub(crate) struct Machine {
    board: CheckpointBoard,
    pub(crate) worker: Persistence,
    runners: CatchUpRunners,
    environment: Environment,
}

impl Machine {
    /// One without runners, on the present runtime.
    ///
    /// # Errors
    /// When the settings are refused.
    pub(crate) fn start(
        store: Arc<dyn OwnedCheckpoints>,
        lease: Duration,
        settings: PersistenceSettings,
        observer: Arc<dyn PersistenceObserver>,
    ) -> anyhow::Result<Self> {
        let environment = Environment::new();
        let board = CheckpointBoard::start(store, "the benchmark", lease, &environment);
        let target = Arc::new(board.clone());
        let worker = Persistence::start("the benchmark", target, settings, &environment, observer)?;
        Ok(Self { board, worker, runners: CatchUpRunners::new(), environment })
    }

    /// Starts a group; what it marks goes through `writer`, if that is not the worker itself.
    ///
    /// # Errors
    /// When the settings are refused.
    pub(crate) fn run(
        &self,
        group: &str,
        log: &MemoryLog,
        handler: Arc<dyn DynHandler>,
        writer: Option<Arc<dyn CheckpointWriter>>,
        settings: CatchUpSettings,
    ) -> anyhow::Result<CatchUpHandle> {
        let runner = CatchUpRunner::new(
            group,
            Arc::new(log.clone()),
            handler,
            self.board.clone(),
            writer.unwrap_or_else(|| Arc::new(self.worker.clone())),
            settings,
            self.environment.clone(),
        );
        Ok(self.runners.start(runner)?)
    }

    /// Stops all that runs.
    ///
    /// # Errors
    /// When a checkpoint is left unwritten.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for report in self.runners.stop_all().await {
            ensure!(report.unflushed.is_none(), "{}: {:?}", report.group, report.unflushed);
        }
        let report = self.worker.shutdown().await;
        ensure!(report.residue.is_empty(), "not written: {:?}", report.residue);
        Ok(())
    }
}

/// Whether a run has caught up with a log of so many events, and everything is written down.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(report: &CatchUpReport, events: u32) -> anyhow::Result<()> {
    let CatchUpReport { group, end, totals, position, stored, unflushed, .. } = report;
    ensure!(*end == CatchUpEnd::CaughtUp, "{group} ended otherwise: {end:?}");
    ensure!(totals.processed == u64::from(events), "{group} handled {} of {events} events", totals.processed);
    ensure!(unflushed.is_none(), "{group}: the last checkpoint is not stored: {unflushed:?}");
    ensure!(position == stored, "{group} is at {position:?}, and stored is {stored:?}");
    Ok(())
}

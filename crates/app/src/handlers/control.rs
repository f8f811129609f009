//! What an operator does to the checkpoints of a process that runs: looks at the worker that writes them, has them
//! written now, closes its circuit breaker.
//!
//! A checkpoint waits in two places. Its handler keeps it until `checkpoint_batch_size` or `checkpoint_interval` says
//! that it is due, and the worker until the store has taken it. So to have them all written now is to ask each handler
//! first, and to force the worker then.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use highwater_core::Error;
use highwater_core::model::Position;
use highwater_core::ports::Clock;
use highwater_runtime::catch_up::{CatchUpStatusCell, CheckpointBoard};
use highwater_runtime::persistence::{ForceReport, Persistence, PersistenceStats};

/// The checkpoints of the handlers of a running Highwater, and the worker that writes them; usable while the run itself
/// is being awaited. Clones are of the same one, and keep nothing running that was stopped.
#[derive(Clone)]
pub struct CheckpointControl {
    worker: Persistence,
    board: CheckpointBoard,
    handlers: Vec<CatchUpStatusCell>,
    clock: Arc<dyn Clock>,
}

impl CheckpointControl {
    pub(super) fn new(
        worker: Persistence,
        board: CheckpointBoard,
        handlers: Vec<CatchUpStatusCell>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { worker, board, handlers, clock }
    }

    /// The worker's figures, those of its circuit breaker among them.
    #[must_use]
    pub fn stats(&self) -> PersistenceStats {
        self.worker.stats()
    }

    /// Closes the circuit breaker; what is due is tried at once. Its trips stay counted.
    pub fn reset_circuit_breaker(&self) {
        self.worker.reset_circuit_breaker();
    }

    /// Writes the checkpoint of each handler as far as it has settled its events, and waits for that, up to `deadline`
    /// (`None` = `force_persistence_timeout`). Each handler whose checkpoint was not yet stored is in one list of the
    /// report, by its name. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// `CircuitOpen` while the circuit breaker is open and something is due; with `ignore_open_breaker` it is tried all
    /// the same, and the breaker learns nothing from it. `Closed` once the run was asked to stop.
    pub async fn persist_now(
        &self,
        deadline: Option<Duration>,
        ignore_open_breaker: bool,
    ) -> Result<ForceReport, Error> {
        let deadline = deadline.unwrap_or_else(|| self.worker.settings().force_persistence_timeout);
        let until = self.clock.now() + deadline;
        let before: Vec<Option<Position>> = self.handlers.iter().map(|cell| self.stored(cell)).collect();
        let asked = join_all(self.handlers.iter().map(|cell| self.ask(cell, deadline))).await;
        let left = until.since(self.clock.now());
        let mut report = self.worker.force(Some(left), None, ignore_open_breaker).await?;
        let listed = listed(&report);
        for ((cell, before), asked) in self.handlers.iter().zip(before).zip(asked) {
            let group = cell.get().group;
            if listed.contains(&*group) {
                continue;
            }
            if self.stored(cell) > before {
                // The worker was done with it before it could be forced.
                report.flushed.push(group.to_string());
            } else if !asked {
                report.not_attempted.push(group.to_string());
            }
        }
        Ok(report)
    }

    /// Has a handler hand over its mark; `false` if it has not in this time.
    async fn ask(&self, handler: &CatchUpStatusCell, deadline: Duration) -> bool {
        tokio::select! {
            biased;
            () = handler.hand_over() => true,
            () = self.clock.sleep(deadline) => false,
        }
    }

    /// As the store has last confirmed it.
    fn stored(&self, handler: &CatchUpStatusCell) -> Option<Position> {
        self.board.standing(&handler.get().group)?.stored
    }
}

fn listed(report: &ForceReport) -> BTreeSet<String> {
    let ForceReport { flushed, failed, timed_out, not_attempted } = report;
    let failed = failed.iter().map(|failure| &failure.key);
    flushed.iter().chain(failed).chain(timed_out).chain(not_attempted).cloned().collect()
}

impl fmt::Debug for CheckpointControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointControl")
            .field("worker", &self.worker)
            .field("handlers", &self.handlers.len())
            .finish_non_exhaustive()
    }
}

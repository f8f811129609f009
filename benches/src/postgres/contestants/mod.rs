//! The product, as its users run it: started, caught up, stopped.

mod rust;
mod sql;

use std::future;

use anyhow::ensure;
use highwater::{OnFailure, Outcome, Position, ProjectionSettings, Report, StartFrom};

use crate::postgres::logs::{Place, START, Stretch};

pub(crate) use self::sql::{Table, prepare_rebuild, rebuild, start_tables};

/// The one projection of a run.
const NAME: &str = "bench";

/// In which of its ways the product applies events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// SQL over a batch.
    Apply,
    /// SQL an event.
    On,
    /// Rust, event by event.
    Rust,
    /// Rust, a batch at a time.
    RustBatch,
}

/// A catch-up.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) way: Way,
    /// The log's address.
    pub(crate) log: String,
    /// The read model's address.
    pub(crate) store: String,
    pub(crate) stretch: Stretch,
    /// Events a batch, fixed.
    pub(crate) batch: u32,
    pub(crate) on_failure: OnFailure,
}

impl Run {
    /// Starts the projection, waits until it is through, and stops it.
    ///
    /// # Errors
    /// When it did not get through, or settled another number of events; `failed` must have failed.
    pub(crate) async fn catch_up(&self, failed: u64) -> anyhow::Result<()> {
        let highwater = match self.way {
            Way::Apply | Way::On => sql::start(self).await?,
            Way::Rust | Way::RustBatch => rust::start(self).await?,
        };
        let report = highwater.run_until_caught_up(future::pending()).await?;
        through(&report, u64::from(self.stretch.events), failed)
    }

    fn set(&self, settings: &mut ProjectionSettings) {
        let batch = usize::try_from(self.batch).unwrap_or(usize::MAX);
        settings.batch = batch;
        settings.min_batch = batch;
        settings.max_batch = batch;
        settings.max_range_batch = batch;
        settings.on_failure = self.on_failure;
        settings.max_dead_letters = u64::MAX;
        settings.max_first_failures = u64::MAX;
        settings.start_from = start_from(self.stretch.after);
    }
}

fn start_from(after: Place) -> StartFrom {
    if after == START {
        return StartFrom::Beginning;
    }
    let number = |number: i64| number.unsigned_abs();
    StartFrom::Position(Position::new(number(after.position), number(after.offset.into())))
}

fn through(report: &Report, events: u64, failed: u64) -> anyhow::Result<()> {
    ensure!(report.projections.len() == 1, "one projection was started, but the report has another number");
    let run = &report.projections[0];
    ensure!(run.outcome == Outcome::CaughtUp, "the projection did not get through: {:?}", run.outcome);
    let applied = events - failed;
    ensure!(
        run.applied == applied && run.failed == failed && run.duplicates == 0,
        "applied {} events and set {} aside, with {} duplicates; it should be {applied}, {failed} and none",
        run.applied,
        run.failed,
        run.duplicates,
    );
    Ok(())
}

//! The product, as its users run it: started, caught up, stopped.

mod import;
mod rust;
mod sql;

use std::future;
use std::path::Path;

use anyhow::ensure;
use clap::ValueEnum;
use highwater::sqlite::{SqliteLog, SqliteOptions};
use highwater::{AppendEvents, Highwater, OnFailure, Outcome, ProjectionSettings};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::sqlite::read_model::ReadModel;

pub(crate) use import::import;

/// The one projection of a run.
const NAME: &str = "bench";

/// In which of its ways the product applies events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// SQL over a batch
    Apply,
    /// SQL an event
    On,
    /// Rust, event by event
    Rust,
}

impl Way {
    /// What it makes.
    pub(crate) fn read_model(self) -> ReadModel {
        match self {
            Self::Apply => ReadModel::Sales,
            Self::On | Self::Rust => ReadModel::Balance,
        }
    }
}

/// How a run goes about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Events a batch, fixed; `None` = as the product chooses.
    pub(crate) batch: Option<u32>,
    /// What happens to bad events.
    pub(crate) on_failure: OnFailure,
}

impl Pace {
    fn set(self, settings: &mut ProjectionSettings) {
        if let Some(batch) = self.batch.and_then(|batch| usize::try_from(batch).ok()) {
            settings.batch = batch;
            settings.min_batch = batch;
            settings.max_batch = batch;
            settings.max_range_batch = batch;
        }
        settings.on_failure = self.on_failure;
        settings.max_dead_letters = u64::MAX;
        settings.max_first_failures = u64::MAX;
    }
}

/// Opens the log in a file, which is created if it is not there.
pub(crate) async fn open_log(file: &Path) -> anyhow::Result<Box<dyn AppendEvents>> {
    Ok(Box::new(SqliteLog::open(file, &SqliteOptions::default()).await?))
}

/// Starts a projection on a log of `events` events, of which `poison` are bad, waits until it is through, and
/// stops it.
///
/// # Errors
/// When it did not get through, or settled another number of events.
pub(crate) fn catch_up(
    runtime: &Runtime,
    way: Way,
    database: &Path,
    pace: Pace,
    events: u32,
    poison: u32,
) -> anyhow::Result<()> {
    runtime.block_on(async {
        let highwater = match way {
            Way::Apply => sql::start_apply(database, pace).await?,
            Way::On => sql::start_on(database, pace).await?,
            Way::Rust => rust::start(database, pace).await?,
        };
        settled(highwater, events, poison).await
    })
}

async fn settled(highwater: Highwater, events: u32, poison: u32) -> anyhow::Result<()> {
    let report = highwater.run_until_caught_up(future::pending()).await?;
    ensure!(report.projections.len() == 1, "one projection was started, but the report has another number");
    let run = &report.projections[0];
    ensure!(run.outcome == Outcome::CaughtUp, "the projection did not get through: {:?}", run.outcome);
    let (applied, failed) = (u64::from(events - poison), u64::from(poison));
    ensure!(
        run.applied == applied && run.failed == failed && run.duplicates == 0,
        "applied {} events and set {} aside, with {} duplicates; it should be {applied}, {failed} and none",
        run.applied,
        run.failed,
        run.duplicates,
    );
    Ok(())
}

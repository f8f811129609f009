//! Projections in SQL, as the binary composes them from a config.

use std::future;

use highwater::compose::{self, Backends, Migrate, RunOptions, SqlText};
use highwater::{Filter, Highwater, ProjectionName, ProjectionSettings, ProjectionSpec};

use super::{NAME, Run, Way, through};
use crate::data::EVENT_TYPE;
use crate::postgres::logs::Log;
use crate::postgres::read_model::{APPLY, ON_SOLD, SCHEMA};

const ORIGIN: &str = "the benchmark";

/// A projection of its own over a table of its own.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// Both its name and the table's.
    pub(crate) name: String,
    pub(crate) way: Way,
}

pub(super) async fn start(run: &Run) -> anyhow::Result<Highwater> {
    let mut settings = ProjectionSettings::default();
    run.set(&mut settings);
    let spec = spec(NAME, run.way, "balance", settings)?;
    let composed = compose::open(&run.log, &run.store, Migrate::Auto).await?;
    Ok(composed.start(vec![spec], RunOptions::default()).await?)
}

/// Starts projections in one process, with the product's own settings.
///
/// # Errors
/// When they cannot be started.
pub(crate) async fn start_tables(url: &str, tables: &[Table]) -> anyhow::Result<Highwater> {
    let specs = tables
        .iter()
        .map(|table| spec(&table.name, table.way, &table.name, ProjectionSettings::default()))
        .collect::<Result<Vec<_>, _>>()?;
    let composed = compose::open(url, url, Migrate::Auto).await?;
    Ok(composed.start(specs, RunOptions::default()).await?)
}

fn spec(name: &str, way: Way, table: &str, settings: ProjectionSettings) -> anyhow::Result<ProjectionSpec> {
    let text = |sql: &str| SqlText::new(sql.replace("balance", table), ORIGIN);
    let by_event = way == Way::On;
    Ok(ProjectionSpec {
        name: ProjectionName::new(name)?,
        version: 1,
        filter: Filter::all(),
        schema: Some(text(SCHEMA)),
        apply: (!by_event).then(|| text(APPLY)),
        on: if by_event { vec![(EVENT_TYPE.to_owned(), text(ON_SOLD))] } else { Vec::new() },
        tables: None,
        settings,
    })
}

/// Makes the read model that is to be rebuilt, with the product's own settings: its batches grow by
/// themselves.
///
/// # Errors
/// When it does not get through.
pub(crate) async fn prepare_rebuild(url: &str, log: &Log) -> anyhow::Result<()> {
    let (composed, spec) = composed(url).await?;
    run(&composed, spec, log).await
}

/// Makes it once more.
///
/// # Errors
/// When it does not get through.
pub(crate) async fn rebuild(url: &str, log: &Log) -> anyhow::Result<()> {
    let (composed, spec) = composed(url).await?;
    composed.rebuild(&spec).await?;
    run(&composed, spec, log).await
}

async fn composed(url: &str) -> anyhow::Result<(Backends, ProjectionSpec)> {
    let spec = spec(NAME, Way::Apply, "balance", ProjectionSettings::default())?;
    Ok((compose::open(url, url, Migrate::Auto).await?, spec))
}

async fn run(composed: &Backends, spec: ProjectionSpec, log: &Log) -> anyhow::Result<()> {
    let highwater = composed.start(vec![spec], RunOptions::default()).await?;
    let report = highwater.run_until_caught_up(future::pending()).await?;
    through(&report, u64::from(log.events), 0)
}

//! Projections in SQL, as the binary composes them from a config.

use std::path::Path;

use anyhow::Context;
use highwater::compose::{self, Migrate, RunOptions, SqlText};
use highwater::{Filter, Highwater, ProjectionName, ProjectionSettings, ProjectionSpec};

use super::{NAME, Pace};
use crate::data::EVENT_TYPE;
use crate::sqlite::read_model::{APPLY, BALANCE_SCHEMA, ON_SOLD, SALES_SCHEMA};

const ORIGIN: &str = "the benchmark";

pub(super) async fn start_apply(database: &Path, pace: Pace) -> anyhow::Result<Highwater> {
    let spec = spec(SALES_SCHEMA, pace)?;
    start(database, ProjectionSpec { apply: Some(SqlText::new(APPLY, ORIGIN)), ..spec }).await
}

pub(super) async fn start_on(database: &Path, pace: Pace) -> anyhow::Result<Highwater> {
    let spec = spec(BALANCE_SCHEMA, pace)?;
    let on = vec![(EVENT_TYPE.to_owned(), SqlText::new(ON_SOLD, ORIGIN))];
    start(database, ProjectionSpec { on, ..spec }).await
}

fn spec(schema: &str, pace: Pace) -> anyhow::Result<ProjectionSpec> {
    let mut settings = ProjectionSettings::default();
    pace.set(&mut settings);
    Ok(ProjectionSpec {
        name: ProjectionName::new(NAME)?,
        version: 1,
        filter: Filter::all(),
        schema: Some(SqlText::new(schema, ORIGIN)),
        apply: None,
        on: Vec::new(),
        tables: None,
        settings,
    })
}

async fn start(database: &Path, spec: ProjectionSpec) -> anyhow::Result<Highwater> {
    let path = database.to_str().context("the database's path is not UTF-8")?;
    let url = format!("sqlite:{path}");
    let composed = compose::open(&url, &url, Migrate::Auto).await?;
    Ok(composed.start(vec![spec], RunOptions::default()).await?)
}

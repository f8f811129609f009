//! `highwater migrate`: our own tables, created or brought up to date.
//!
//! JSON: `{"done": [text, …]}`, empty where everything was up to date.

use serde::Serialize;

use highwater::compose::Backends;

use crate::cli::args::Global;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Ui;
use crate::cli::session::read_config;

#[derive(Serialize)]
struct Migrated {
    done: Vec<String>,
}

pub(super) async fn run(global: &Global, ui: &Ui) -> Result<Exit, CliError> {
    let config = read_config(global)?;
    let (log, store) = (config.log.address(), config.store.address());
    let done = Backends::migrate_with_checkpoints(log, store, config.checkpoints_address()).await?;
    ui.result(&Migrated { done }, |migrated| match migrated.done.as_slice() {
        [] => "everything is up to date".to_owned(),
        done => done.join("\n"),
    })?;
    Ok(Exit::Ok)
}

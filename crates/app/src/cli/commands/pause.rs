//! `highwater pause` and `highwater resume`.
//!
//! JSON: `{"name", "paused", "changed"}`.

use serde::Serialize;

use crate::cli::args::{Global, Name};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Ui;
use crate::cli::patience::patiently;
use crate::cli::session::{Access, Session};

#[derive(Serialize)]
struct Done {
    name: String,
    paused: bool,
    changed: bool,
}

pub(super) async fn run(global: &Global, args: Name, paused: bool, ui: &Ui) -> Result<Exit, CliError> {
    let session = Session::open(global, Access::Write).await?;
    if session.states_of(&args.name).await?.is_empty() {
        let error = CliError::unknown(format!("projection `{}` has never run", args.name));
        return Err(error.hint("there is nothing to pause before `highwater run` has started it once"));
    }
    let changed = patiently(|| session.backends.control.set_paused(&args.name, paused)).await?;
    let done = Done { name: args.name.to_string(), paused, changed };
    ui.result(&done, |done| {
        let state = if done.paused { "paused" } else { "not paused" };
        let before = if done.changed { "" } else { ", as before" };
        format!("{} is {state}{before}", done.name)
    })?;
    Ok(Exit::Ok)
}

//! `highwater pause` and `highwater resume`, for projections: the store keeps the word for all processes, and a handler
//! has no such place.
//!
//! JSON: `{"name", "paused", "changed"}`.

use serde::Serialize;

use highwater_core::model::ProjectionName;

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
    let session = Session::open_without_checkpoints(global, Access::Write).await?;
    if session.config.handler(&args.name).is_some() {
        return Err(no_handlers(&args.name, paused));
    }
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

fn no_handlers(name: &ProjectionName, paused: bool) -> CliError {
    let (verb, instead) = match paused {
        true => (
            "paused",
            "stop the process that runs it, or leave it out: `highwater run --only` with the others",
        ),
        false => ("paused, nor resumed", "it goes on where it stopped as soon as a process runs it"),
    };
    let error = CliError::unknown(format!("`{name}` is a handler: handlers are not {verb} from outside"));
    error.hint(format!("{instead}, or take it out of the config; its checkpoint stays"))
}

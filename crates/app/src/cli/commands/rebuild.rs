//! `highwater rebuild`: empty a read model, to be filled again from the beginning.
//!
//! JSON: `{"name", "generation"}`.

use serde::Serialize;

use crate::cli::args::{Global, Rebuild};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Ui, confirm};
use crate::cli::patience::patiently;
use crate::cli::session::{Access, Session};

#[derive(Serialize)]
struct Done {
    name: String,
    generation: u64,
}

pub(super) async fn run(global: &Global, args: Rebuild, ui: &Ui) -> Result<Exit, CliError> {
    let session = Session::open_without_checkpoints(global, Access::Write).await?;
    let spec = &session.projection(&args.name)?.spec;
    confirm(ui, &format!("empty the read model and the failed events of {}", args.name), args.yes)?;
    let rebuilt = patiently(|| session.backends.rebuild(spec)).await?;
    let done = Done { name: args.name.to_string(), generation: rebuilt.generation };
    ui.result(&done, |done| {
        format!(
            "{} is empty, generation {}: `highwater run` fills it again from the beginning",
            done.name, done.generation
        )
    })?;
    Ok(Exit::Ok)
}

//! `highwater wait`: until a projection has settled a position, whichever process runs it.
//!
//! JSON: `{"name", "position", "outcome"}`, the outcome `reached`, `timed-out`, `parked`, `paused` or
//! `faulted`, and then `reason`. Codes: 0 reached, 6 parked (everything up to there is settled, but the event
//! there is set aside), 1 the others.

use serde::Serialize;

use highwater::wait::wait_for;
use highwater::{TokioClock, Waited};
use highwater_core::model::Position;

use crate::cli::args::{Global, Target, Wait};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Ui, plain};
use crate::cli::session::{Access, Session};

#[derive(Serialize)]
struct Done {
    name: String,
    position: Option<Position>,
    outcome: &'static str,
    reason: Option<String>,
}

pub(super) async fn run(global: &Global, args: Wait, ui: &Ui) -> Result<Exit, CliError> {
    let session = Session::open(global, Access::Read).await?;
    session.states_of(&args.name).await?;
    let position = match args.position {
        Target::Position(position) => Some(position),
        Target::Head => session.head().await?,
    };
    let waited = match position {
        Some(position) => {
            let (control, clock) = (&*session.backends.control, TokioClock::new());
            wait_for(control, &clock, &args.name, position, args.timeout).await?
        }
        // An empty log has nothing to wait for.
        None => Waited::Reached,
    };
    let (outcome, exit, reason) = match waited {
        Waited::Reached => ("reached", Exit::Ok, None),
        Waited::TimedOut => ("timed-out", Exit::Failed, None),
        Waited::Parked => ("parked", Exit::Parked, None),
        Waited::Paused => ("paused", Exit::Failed, None),
        Waited::Faulted(reason) => ("faulted", Exit::Failed, Some(reason)),
    };
    let done = Done { name: args.name.to_string(), position, outcome, reason };
    ui.result(&done, |done| {
        let place = done.position.map_or_else(|| "the end of an empty log".to_owned(), |at| at.to_string());
        let reason = done.reason.as_deref().map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
        format!("{} at {place}: {outcome}{reason}", done.name)
    })?;
    Ok(exit)
}

//! `highwater wait`: until a projection or a handler has settled a position, whichever process runs it.
//!
//! JSON: `{"name", "position", "outcome"}`, the outcome `reached`, `timed-out`, `parked`, `paused` or
//! `faulted`, and then `reason`. Codes: 0 reached, 6 parked (everything up to there is settled, but the event
//! there is set aside: for a handler, a dead letter), 1 the others. Whether a handler has faulted knows only the process
//! that runs it, so for one that has, the time runs out.

use serde::Serialize;

use highwater::wait::{wait_for, wait_for_handler};
use highwater::{TokioClock, Waited};
use highwater_core::model::{Position, ProjectionName};

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
    let is_handler = is_handler(&session, &args.name).await?;
    let position = match args.position {
        Target::Position(position) => Some(position),
        Target::Head => session.head().await?,
    };
    let (backends, clock) = (&session.backends, TokioClock::new());
    let waited = match position {
        Some(position) if is_handler => {
            let (checkpoints, letters) = (&*backends.checkpoints, backends.dead_letters.as_deref());
            wait_for_handler(checkpoints, letters, &clock, args.name.as_str(), position, args.timeout).await?
        }
        Some(position) => wait_for(&*backends.control, &clock, &args.name, position, args.timeout).await?,
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

/// Whether the name is a handler's: of the config, or, where neither the config nor the store has a projection of this
/// name, of one that was in the config and has left its checkpoint.
async fn is_handler(session: &Session, name: &ProjectionName) -> Result<bool, CliError> {
    if session.config.handler(name).is_some() {
        return Ok(true);
    }
    match session.states_of(name).await {
        Ok(_) => Ok(false),
        Err(unknown) if unknown.exit() == Exit::UnknownName => {
            let checkpoint = session.backends.checkpoints.get(name.as_str()).await?;
            if checkpoint.is_some() {
                return Ok(true);
            }
            // Its words name handlers, too.
            session.runs(name)?;
            Err(unknown)
        }
        Err(error) => Err(error),
    }
}

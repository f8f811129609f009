//! `highwater run`: the projections and handlers of the config, until stopped or until caught up.
//!
//! The first Ctrl-C or SIGTERM drains, commits and reports; the second ends at once. The report (JSON) is
//! described in `run_report`; where a handler writes events to standard output, it goes to standard error.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use highwater::compose::{HandlerSpecs, RunOptions, SinkSpec};
use highwater::{ProjectionSpec, Report, StartError, TokioClock};
use highwater_core::ports::Clock as _;

use crate::cli::args::{Global, Run};
use crate::cli::error::{CliError, violations};
use crate::cli::exit::Exit;
use crate::cli::http::{Probed, Recorder, serve};
use crate::cli::output::Ui;
use crate::cli::session::{Access, Session};
use crate::cli::signals;

use super::handler_letters::any_letter;
use super::run_progress::show_progress;
use super::run_report::{RunReport, exit_of};
use super::status::any_set_aside;

/// How long between two tries to open a database on a disk without room.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(global: &Global, args: Run, ui: &Ui) -> Result<Exit, CliError> {
    let stop = signals::listen()?;
    let session = match when_there_is_room(global, &stop).await? {
        Some(session) => session,
        None => return Ok(Exit::Unavailable),
    };
    for name in args.only.iter().chain(&args.trust) {
        session.runs(name)?;
    }
    for name in &args.accept {
        session.projection(name)?;
    }
    let specs: Vec<ProjectionSpec> = session
        .config
        .projections
        .iter()
        .map(|projection| projection.spec.clone())
        .filter(|spec| args.only.is_empty() || args.only.contains(&spec.name))
        .collect();
    let handlers = session.config.handler_specs(&args.only);
    if specs.is_empty() && handlers.handlers.is_empty() {
        return Err(CliError::usage(
            "the config has no projections and no handlers: add a [[projection]] or a [[handler]]",
        ));
    }
    let events_on_stdout = handlers.handlers.iter().any(|handler| handler.sink == SinkSpec::Stdout);
    let handled: Vec<_> = handlers.handlers.iter().map(|handler| handler.name.clone()).collect();
    let ran: Vec<_> = specs.iter().map(|spec| (spec.name.clone(), spec.version)).collect();
    let options = RunOptions { accept: args.accept, trust: args.trust };
    let report = if args.until_caught_up {
        catch_up(&session, specs, handlers, options, &stop, ui).await?
    } else {
        let recorder = session.config.listen.map(|_| Recorder::install()).transpose()?;
        let (probed_specs, probed_handlers) = (specs.clone(), handlers.handlers.clone());
        let started = session.backends.start_with_handlers(specs, handlers, options).await;
        let highwater = started.map_err(start_error)?;
        let ended = CancellationToken::new();
        let _until_the_end = ended.clone().drop_guard();
        if let Some((at, recorder)) = session.config.listen.zip(recorder) {
            let probed = Probed {
                log: session.backends.log.clone(),
                control: session.backends.control.clone(),
                watch: highwater.watch(),
                checkpoints: highwater.checkpoint_control(),
                watcher: session.watcher.clone(),
                specs: probed_specs,
                handlers: probed_handlers,
                key_collisions: session.backends.key_collisions.clone(),
                recorder,
            };
            serve(at, probed, ended).await?;
        }
        highwater.run_until(stop.cancelled_owned()).await
    };
    let exit = exit_of(&report, args.until_caught_up);
    let shown = RunReport::from(&report);
    if events_on_stdout {
        ui.result_aside(&shown, RunReport::text)?;
    } else {
        ui.result(&shown, RunReport::text)?;
    }
    if exit == Exit::Ok
        && args.fail_on_parked
        && (any_set_aside(&*session.backends.control, &ran).await? || any_letter(&session, &handled).await?)
    {
        return Ok(Exit::Parked);
    }
    Ok(exit)
}

/// Opens the backends. A disk without room is waited for, as it is while the projections run: SQLite cannot even open
/// a database there. `None` when the waiting was ended.
async fn when_there_is_room(global: &Global, stop: &CancellationToken) -> Result<Option<Session>, CliError> {
    let clock = TokioClock::new();
    let mut told = false;
    loop {
        match Session::open(global, Access::Write).await {
            Err(error) if error.is_full_disk() => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!("will try again: {}", error.in_one_line());
                }
            }
            opened => return opened.map(Some),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = clock.sleep(LOOK_FOR_ROOM_EVERY) => {}
        }
    }
}

/// Runs projections and handlers until everything that the log holds now is settled, showing the progress.
pub(super) async fn catch_up(
    session: &Session,
    specs: Vec<ProjectionSpec>,
    handlers: HandlerSpecs,
    options: RunOptions,
    stop: &CancellationToken,
    ui: &Ui,
) -> Result<Report, CliError> {
    show_progress(session, &specs, &handlers.handlers, ui).await?;
    let started = session.backends.start_with_handlers(specs, handlers, options).await;
    let highwater = started.map_err(start_error)?;
    let report = highwater.run_until_caught_up(stop.cancelled()).await;
    session.watcher.hide();
    Ok(report?)
}

/// What kept projections and handlers from starting.
pub(super) fn start_error(error: StartError) -> CliError {
    match error {
        StartError::Invalid(problems) => {
            violations("the projections and handlers cannot be started", problems)
        }
        StartError::Failed(error) => error.into(),
        // A reason that is added later is a failure with its own words.
        other => CliError::failed(other.to_string()),
    }
}

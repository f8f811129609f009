//! The commands, one a file. Each opens what it needs, does one thing, and prints one result.
//!
//! With `--json` a result is one JSON value whose field names are stable; each file says which.

mod append;
mod breaker;
mod checkpoints;
mod config;
mod dead_letters;
mod demo;
mod demo_result;
mod export;
mod failed_events;
mod handler_letters;
mod handler_status;
mod import;
mod init;
mod migrate;
mod migrate_older;
mod pause;
mod persist;
mod rebuild;
mod rewind;
mod run;
mod run_progress;
mod run_report;
mod status;
mod verify;
mod wait;

use super::args::{Cli, Command};
use super::error::CliError;
use super::exit::Exit;
use super::output::Ui;

/// Runs the command that was asked for.
pub(crate) async fn run(cli: Cli, ui: &Ui) -> Result<Exit, CliError> {
    let Cli { global, command } = cli;
    match command {
        Command::Demo(args) => demo::run(args, ui).await,
        Command::Init(args) => init::run(&args, ui),
        Command::Migrate => migrate::run(&global, ui).await,
        Command::Import(args) => import::run(&global, args, ui).await,
        Command::Export(args) => export::run(&global, args, ui).await,
        Command::Append(args) => append::run(&global, args, ui).await,
        Command::Run(args) => run::run(&global, args, ui).await,
        Command::Status => status::run(&global, ui).await,
        Command::Wait(args) => wait::run(&global, args, ui).await,
        Command::Pause(args) => pause::run(&global, args, true, ui).await,
        Command::Resume(args) => pause::run(&global, args, false, ui).await,
        Command::Checkpoints(args) => checkpoints::run(&global, args, ui).await,
        Command::FailedEvents(args) => failed_events::run(&global, args, ui).await,
        Command::DeadLetters(args) => dead_letters::run(&global, args, ui).await,
        Command::Rebuild(args) => rebuild::run(&global, args, ui).await,
        Command::Rewind(args) => rewind::run(&global, args, ui).await,
        Command::Verify(args) => verify::run(&global, args, ui).await,
        Command::Breaker(args) => breaker::run(&global, args, ui).await,
        Command::Persist(args) => persist::run(&global, args, ui).await,
        Command::Config(args) => config::run(&global, args, ui).await,
    }
}

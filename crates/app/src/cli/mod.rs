//! The `highwater` program: low-level arguments, then typed ones, then a command, then one exit code.
//!
//! Standard output carries results (a table, or JSON with `--json`), standard error everything else: logs,
//! progress, errors. So what a machine reads is never mixed with what a person reads.

mod args;
mod commands;
mod config;
mod demo;
mod error;
mod exit;
mod http;
mod kinds;
mod lag;
mod logging;
mod ndjson;
mod output;
mod patience;
mod session;
mod signals;
mod watcher;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind as ClapErrorKind;

use args::Cli;
use error::CliError;
use exit::Exit;
use output::Ui;

/// How long the end of the program waits for its connections, and then for its threads.
const PATIENCE_AT_EXIT: Duration = Duration::from_secs(2);

/// Runs the program with the arguments of the process.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.global.json;
    let outcome = run(cli);
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) if error.is_broken_pipe() => Exit::Ok.into(),
        Err(error) => {
            error.print(json);
            error.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, CliError> {
    let ui = Ui::new(&cli.global);
    logging::init(&cli.global, cli.command.is_service(), &ui)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed("start the threads of the program").because(&error))?;
    let outcome = runtime.block_on(async {
        let outcome = commands::run(cli, &ui).await;
        session::all_closed(PATIENCE_AT_EXIT).await;
        outcome
    });
    ui.finish();
    // What was dropped closes its connections now, the last of which moves the write-ahead log into the file;
    // a thread that waits for standard input must not hold the process for ever.
    runtime.shutdown_timeout(PATIENCE_AT_EXIT);
    outcome
}

/// What clap says, in our form: help and version are results, everything else is a mistake of the caller.
fn usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion);
    if asked {
        return match error.print() {
            Ok(()) => Exit::Ok.into(),
            Err(_) => Exit::Failed.into(),
        };
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        CliError::usage(text.trim().trim_start_matches("error: ")).print(true);
    } else if write!(std::io::stderr(), "{}", error.render().ansi()).is_err() {
        return Exit::Failed.into();
    }
    Exit::Usage.into()
}

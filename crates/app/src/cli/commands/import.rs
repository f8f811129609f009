//! `highwater import`: events from files of JSON lines.
//!
//! JSON: `{"files": [{"file", "appended", "already_there", "bad", "bad_lines": [{"line", "what"}]}],
//! "appended", "already_there", "bad", "seconds"}`; `bad_lines` has the first hundred.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use highwater_core::ports::AppendEvents;

use crate::cli::args::{Global, Import};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::ndjson::{ImportOptions, Imported, Interrupted, Source, import};
use crate::cli::output::{Progress, Table, Ui, count, duration, plain, rate};
use crate::cli::session::{Access, Session};
use crate::cli::signals;

#[derive(Serialize)]
struct Done {
    files: Vec<File>,
    appended: u64,
    already_there: u64,
    bad: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct File {
    file: String,
    appended: u64,
    already_there: u64,
    bad: u64,
    bad_lines: Vec<Bad>,
}

#[derive(Serialize)]
struct Bad {
    line: u64,
    what: String,
}

pub(super) async fn run(global: &Global, args: Import, ui: &Ui) -> Result<Exit, CliError> {
    let mut sources = Vec::with_capacity(args.files.len());
    for file in &args.files {
        sources.push(open(file)?);
    }
    let session = Session::open_without_checkpoints(global, Access::Write).await?;
    let stop = signals::listen()?;
    let options = ImportOptions { batch: args.batch, skip_bad_lines: args.skip_bad_lines };
    let mut done = Done { files: Vec::new(), appended: 0, already_there: 0, bad: 0, seconds: 0.0 };
    let mut took = Duration::ZERO;
    for source in sources {
        let name = source.name().to_owned();
        let (imported, time) = import_one(&*session.backends.append, source, options, &stop, ui).await?;
        took += time;
        done.appended += imported.appended;
        done.already_there += imported.already_there;
        done.bad += imported.bad;
        done.files.push(File {
            file: name,
            appended: imported.appended,
            already_there: imported.already_there,
            bad: imported.bad,
            bad_lines: imported
                .bad_lines
                .into_iter()
                .map(|bad| Bad { line: bad.line, what: bad.what })
                .collect(),
        });
    }
    done.seconds = took.as_secs_f64();
    ui.result(&done, |done| text(done, took))?;
    Ok(Exit::Ok)
}

/// Imports one source; what was done in which time, or an error that says how far it got.
pub(super) async fn import_one(
    log: &dyn AppendEvents,
    source: Source,
    options: ImportOptions,
    stop: &CancellationToken,
    ui: &Ui,
) -> Result<(Imported, Duration), CliError> {
    let name = source.name().to_owned();
    let taken = source.taken();
    let mut progress = Progress::bytes(ui, &format!("import {name}"), source.total());
    let (imported, ended) = import(log, source, options, stop.cancelled(), |done| {
        progress.set(taken.load(Ordering::Relaxed));
        let events = done.appended + done.already_there;
        let per_second = rate(events, progress.elapsed()).map(|rate| format!(", {}/s", count(rate)));
        progress.message(format!("{name}: {} events{}", count(events), per_second.unwrap_or_default()));
        progress.log(events);
    })
    .await;
    let took = progress.elapsed();
    progress.finish();
    match ended {
        Ok(()) => {
            let Imported { appended, already_there, bad, .. } = imported;
            tracing::info!(file = name, appended, already_there, bad, "imported");
            Ok((imported, took))
        }
        Err(interrupted) => Err(failed(&name, &imported, options, interrupted)),
    }
}

fn open(path: &Path) -> Result<Source, CliError> {
    Source::open(path).map_err(|error| CliError::failed(format!("open {}", path.display())).because(&error))
}

fn failed(name: &str, done: &Imported, options: ImportOptions, interrupted: Interrupted) -> CliError {
    let about_a_line = matches!(interrupted, Interrupted::Bad(_) | Interrupted::Append(Some(_), _));
    let skip =
        if about_a_line && !options.skip_bad_lines { "; --skip-bad-lines leaves bad lines out" } else { "" };
    let error = match interrupted {
        Interrupted::Bad(line) => CliError::failed(format!("import {name}, {line}")),
        Interrupted::Read(what) => CliError::failed(format!("import {name}: {what}")),
        Interrupted::Append(line, error) => {
            let place = line.map(|line| format!(", line {line}")).unwrap_or_default();
            CliError::from(error).while_doing(format!("import {name}{place}"))
        }
        Interrupted::Reader(error) => CliError::from(error).while_doing(format!("import {name}")),
        Interrupted::Stopped => CliError::failed(format!("import {name}: stopped by a signal")),
    };
    let is_in = match done.through_line {
        0 => "nothing of the file is in the log".to_owned(),
        1 => "line 1 is in the log, nothing behind it; importing the file again skips what is in".to_owned(),
        last => format!(
            "lines 1 to {} are in the log, nothing behind them; importing the file again skips what is in",
            count(last)
        ),
    };
    error.hint(format!("{is_in}{skip}"))
}

fn text(done: &Done, took: Duration) -> String {
    let mut text = String::new();
    let bad: Vec<(&str, &Bad)> = done
        .files
        .iter()
        .flat_map(|file| file.bad_lines.iter().map(|bad| (file.file.as_str(), bad)))
        .collect();
    if !bad.is_empty() {
        let mut table = Table::new(&["file", "#line", "left out because"]);
        for (file, bad) in &bad {
            table.row([(*file).to_owned(), bad.line.to_string(), bad.what.clone()]);
        }
        text.push_str(&table.text(""));
        let shown = u64::try_from(bad.len()).unwrap_or(u64::MAX);
        if done.bad > shown {
            text.push_str(&format!("and {} more\n", count(done.bad - shown)));
        }
        text.push('\n');
    }
    for file in &done.files {
        text.push_str(&format!("{}: {} appended", plain(&file.file), count(file.appended)));
        if file.already_there > 0 {
            text.push_str(&format!(", {} there already", count(file.already_there)));
        }
        if file.bad > 0 {
            text.push_str(&format!(", {} left out", count(file.bad)));
        }
        text.push('\n');
    }
    let events = done.appended + done.already_there;
    let per_second = rate(events, took).map(|rate| format!(", {} events/s", count(rate))).unwrap_or_default();
    text.push_str(&format!("{} events in {}{per_second}", count(events), duration(took)));
    text
}

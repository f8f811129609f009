//! `highwater persist now`: the checkpoints of a running process's handlers are written before they are due.
//!
//! JSON: `{"flushed": […], "failed": [{"handler", "error"}], "timed_out": […], "not_attempted": […]}`, the names of
//! handlers. Codes: 0 all that was due is written, or nothing was; 1 some is not, or the process runs no handlers; 2 no
//! address is known; 4 nothing answers there, or the circuit breaker is open and was not overridden.

use crate::cli::args::{Global, Persist, PersistNow};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::http::{Persisted, Process};
use crate::cli::output::{Ui, count, plain};

pub(super) async fn run(global: &Global, args: Persist, ui: &Ui) -> Result<Exit, CliError> {
    let Persist::Now(PersistNow { at, deadline, override_breaker }) = args;
    let process = Process::find(global, at.at.as_deref())?;
    let done = process.persist(deadline, override_breaker).await?;
    ui.result(&done, text)?;
    Ok(if done.is_complete() { Exit::Ok } else { Exit::Failed })
}

fn text(done: &Persisted) -> String {
    if done.is_complete() && done.flushed.is_empty() {
        return "nothing was due: all checkpoints are stored".to_owned();
    }
    let lists = [
        (&done.flushed, "written"),
        (&done.timed_out, "without an answer in time, so perhaps written"),
        (&done.not_attempted, "not tried"),
    ];
    let mut lines = Vec::new();
    for (handlers, what) in lists {
        if !handlers.is_empty() {
            let number = u64::try_from(handlers.len()).unwrap_or(u64::MAX);
            lines.push(format!("{} {what}: {}", checkpoints(number), plain(&handlers.join(", "))));
        }
    }
    lines.extend(
        done.failed.iter().map(|failed| format!("{}: {}", plain(&failed.handler), plain(&failed.error))),
    );
    lines.join("\n")
}

fn checkpoints(number: u64) -> String {
    if number == 1 { "1 checkpoint".to_owned() } else { format!("{} checkpoints", count(number)) }
}

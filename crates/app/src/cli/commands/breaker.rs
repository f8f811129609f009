//! `highwater breaker`: the circuit breaker between a running process and its checkpoint store (C-7, C-8).
//!
//! JSON: `{"target", "state", "failures", "trips", "retry_in_ms", "pending", "last_error"}`; of `reset`:
//! `{"before": {…}, "after": {…}}`. Codes: 0 whatever its state, 1 where the process runs no handlers, 2 where no
//! address is known, 4 where nothing answers.

use std::time::Duration;

use crate::cli::args::{Breaker as Args, BreakerCommand, Global};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::http::{Breaker, Process};
use crate::cli::output::{Ui, count, duration, plain};

pub(super) async fn run(global: &Global, args: Args, ui: &Ui) -> Result<Exit, CliError> {
    let process = Process::find(global, args.at.at.as_deref())?;
    match args.command.unwrap_or(BreakerCommand::Show) {
        BreakerCommand::Show => ui.result(&process.breaker().await?, text)?,
        BreakerCommand::Reset => ui.result(&process.reset_breaker().await?, |reset| {
            format!("it was {}; now {}", reset.before.state, text(&reset.after))
        })?,
    }
    Ok(Exit::Ok)
}

fn text(breaker: &Breaker) -> String {
    let mut text = format!(
        "the circuit breaker in front of {} is {}: {} in a row failed, it has opened {}, {}",
        plain(&breaker.target),
        plain(&breaker.state),
        times(u64::from(breaker.failures), "call"),
        times(breaker.trips, "time"),
        match breaker.pending {
            1 => "1 checkpoint waits".to_owned(),
            pending => format!("{} checkpoints wait", count(pending)),
        },
    );
    if let Some(millis) = breaker.retry_in_ms {
        text.push_str(&format!("; it tries again in {}", duration(Duration::from_millis(millis))));
    }
    if let Some(error) = &breaker.last_error {
        text.push_str(&format!("\nlast failure: {}", plain(error)));
    }
    text
}

fn times(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_7_the_state_is_told_with_what_follows_from_it() {
        let open = Breaker {
            target: "localhost:6379/0".to_owned(),
            state: "open".to_owned(),
            failures: 5,
            trips: 1,
            retry_in_ms: Some(42_000),
            pending: 1,
            last_error: Some("connection refused\u{1b}".to_owned()),
        };
        assert_eq!(
            text(&open),
            "the circuit breaker in front of localhost:6379/0 is open: 5 calls in a row failed, it has opened 1 time, \
             1 checkpoint waits; it tries again in 42.0 s\nlast failure: connection refused\\u{1b}"
        );
    }
}

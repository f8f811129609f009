//! Progress: a bar with rate and time left on a terminal, log lines elsewhere.

use std::fmt;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::Ui;
use super::text::{count, rate};

/// How long between two log lines of progress.
const LOG_EVERY: Duration = Duration::from_secs(5);

/// The progress of one long operation. It also measures the time that it took.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
    shown: bool,
    logged: Duration,
}

impl Progress {
    /// Progress of `what` over events, of which there are `total` where that is known.
    pub(crate) fn events(ui: &Ui, what: &str, total: Option<u64>) -> Self {
        let known = "{msg:24} {wide_bar} {human_pos}/{human_len} {rate:>14} {eta:>5}";
        let unknown = "{msg:24} {spinner} {human_pos} events {rate}";
        Self::new(ui, what, total, known, unknown)
    }

    /// Progress of `what` over bytes, of which there are `total` where that is known; the text beside it is
    /// the caller's.
    pub(crate) fn bytes(ui: &Ui, what: &str, total: Option<u64>) -> Self {
        let known = "{msg:44} {wide_bar} {bytes}/{total_bytes} {eta:>5}";
        let unknown = "{msg} {spinner} {bytes}";
        Self::new(ui, what, total, known, unknown)
    }

    fn new(ui: &Ui, what: &str, total: Option<u64>, known: &str, unknown: &str) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let template = if total.is_some() { known } else { unknown };
        let style = ProgressStyle::with_template(template)
            .expect("the template is a constant that parses")
            .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                if let Some(rate) = rate(state.pos(), state.elapsed()) {
                    write!(out, "{}/s", count(rate)).expect("the bar's buffer takes every text");
                }
            });
        let bar = ui.bars().add(bar.with_style(style).with_message(what.to_owned()));
        Self { bar, what: what.to_owned(), shown: ui.bars_shown(), logged: Duration::ZERO }
    }

    /// Where it stands.
    pub(crate) fn set(&self, place: u64) {
        self.bar.set_position(place);
    }

    /// That so much more is done.
    pub(crate) fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    /// What is said beside the bar.
    pub(crate) fn message(&self, text: String) {
        self.bar.set_message(text);
    }

    /// Logs the progress where no bar is seen, now and then.
    pub(crate) fn log(&mut self, events: u64) {
        let elapsed = self.bar.elapsed();
        if self.shown || elapsed.saturating_sub(self.logged) < LOG_EVERY {
            return;
        }
        self.logged = elapsed;
        let per_second = rate(events, elapsed);
        tracing::info!(operation = self.what, events, per_second, "progress");
    }

    /// How long it has been going on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.bar.elapsed()
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

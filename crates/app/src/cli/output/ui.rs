//! Where output goes, decided once.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{MultiProgress, ProgressDrawTarget};
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::error::CliError;

/// Where output goes.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    json: bool,
    bars: MultiProgress,
    bars_shown: bool,
}

impl Ui {
    /// As the flags and the terminal say.
    pub(crate) fn new(global: &Global) -> Self {
        let bars_shown = io::stderr().is_terminal() && !global.quiet;
        let target = if bars_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { json: global.json, bars: MultiProgress::with_draw_target(target), bars_shown }
    }

    /// Whether results are JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// The progress bars.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Whether somebody sees the progress bars.
    pub(crate) fn bars_shown(&self) -> bool {
        self.bars_shown
    }

    /// Prints a result: as JSON, or as the text that `text` makes of it.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        self.write(self.rendered(value, text)?.as_bytes())
    }

    /// As [`Ui::result`], on standard error: for a command whose standard output carries something else.
    pub(crate) fn result_aside<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        let text = self.rendered(value, text)?;
        self.bars.suspend(|| io::stderr().write_all(text.as_bytes()))?;
        Ok(())
    }

    fn rendered<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<String, CliError> {
        let mut text = if self.json { serde_json::to_string_pretty(value)? } else { text(value) };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }

    /// Writes bytes to standard output.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), CliError> {
        self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()
        })?;
        Ok(())
    }

    /// A line for the person at the terminal, on standard error; nothing with `--json`.
    pub(crate) fn say(&self, line: &str) -> Result<(), CliError> {
        if self.json {
            return Ok(());
        }
        self.bars.suspend(|| writeln!(io::stderr(), "{line}"))?;
        Ok(())
    }

    /// Takes the progress bars away.
    pub(crate) fn finish(&self) {
        // A terminal that is gone needs no cleaning.
        drop(self.bars.clear());
    }
}

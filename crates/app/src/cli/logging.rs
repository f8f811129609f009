//! Logs: text for a terminal, JSON for machines, always on standard error.

use std::io::{self, IsTerminal as _, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::args::{Global, LogFormat};
use super::error::CliError;
use super::output::Ui;

/// Sets the process's logging up. `service` is a command that runs on and whose log is what one looks at.
///
/// The level is, in this order: `RUST_LOG`; `-q` (errors) or `-v`, `-vv` (more); `info` for a service and
/// wherever no terminal shows progress, else `warn`.
///
/// # Errors
/// When `RUST_LOG` cannot be understood.
pub(crate) fn init(global: &Global, service: bool, ui: &Ui) -> Result<(), CliError> {
    let terminal = io::stderr().is_terminal();
    let base: u8 = if service || !terminal { 2 } else { 1 };
    let level = match base.saturating_add(global.verbose) {
        _ if global.quiet => "error",
        0 | 1 => "warn",
        2 => "info",
        3 => "debug",
        _ => "trace",
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text)
            .map_err(|error| CliError::usage(format!("RUST_LOG={text} is no filter")).because(&error))?,
        _ => EnvFilter::new(level),
    };
    let text = match global.log_format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(AboveBars(ui.bars().clone()));
    let set = if text {
        builder.with_target(false).with_ansi(terminal).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    set.map_err(|error| CliError::failed("set up logging").because(&*error))
}

/// Writes log lines above the progress bars, so that neither garbles the other.
#[derive(Clone)]
struct AboveBars(MultiProgress);

impl<'w> MakeWriter<'w> for AboveBars {
    type Writer = Self;

    fn make_writer(&'w self) -> Self::Writer {
        self.clone()
    }
}

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

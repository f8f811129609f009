//! Asking before something is gone for good.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::cli::error::CliError;

use super::Ui;

/// Asks on the terminal whether to do `what`; `yes` answers beforehand. Without a terminal nobody can be
/// asked.
///
/// # Errors
/// When the answer is no, or nobody can be asked.
pub(crate) fn confirm(ui: &Ui, what: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() || ui.json() {
        return Err(CliError::usage(format!("{what} needs --yes where nobody can be asked")));
    }
    let mut answer = String::new();
    ui.bars().suspend(|| {
        write!(io::stderr(), "{what}? [y/N] ")?;
        io::stderr().flush()?;
        io::stdin().lock().read_line(&mut answer)
    })?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(CliError::failed("not confirmed: nothing was changed"))
}

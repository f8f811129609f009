//! Calling cargo, and saying which call failed.
//!
//! Every error names the whole command line, so that it can be copied and run alone.

use std::{
    env,
    error::Error,
    ffi::OsStr,
    fmt,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::Context;

/// A call of the cargo that started us (`CARGO`), else of the one on the path.
pub(crate) fn cargo<I, A>(args: I) -> Command
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Runs `command` with our own standard streams.
///
/// # Errors
/// [`ChildFailed`] when it ends unsuccessfully; an I/O error when it cannot be started.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", Shown(command)))?;
    ensure_success(command, status)
}

/// Runs `command` and returns what it wrote to its standard output; its standard error is ours.
///
/// # Errors
/// As [`run`], and when the output is not UTF-8.
pub(crate) fn stdout_of(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", Shown(command)))?;
    ensure_success(command, output.status)?;
    String::from_utf8(output.stdout).with_context(|| format!("`{}` did not print UTF-8", Shown(command)))
}

/// Whether the cargo subcommand `name` is installed.
///
/// # Errors
/// When cargo itself cannot be started.
pub(crate) fn has_subcommand(name: &str) -> anyhow::Result<bool> {
    let mut command = cargo([name, "--version"]);
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", Shown(&command)))?;
    Ok(status.success())
}

fn ensure_success(command: &Command, status: ExitStatus) -> anyhow::Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(ChildFailed { command: Shown(command).to_string(), status }.into())
}

/// A command ended unsuccessfully.
#[derive(Debug)]
pub(crate) struct ChildFailed {
    command: String,
    status: ExitStatus,
}

impl ChildFailed {
    /// The exit code to hand on: the child's own; 128 + n when signal n ended it, as shells have it.
    pub(crate) fn code(&self) -> u8 {
        let code = self.status.code().or_else(|| signal(self.status).map(|signal| 128 + signal));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }
}

impl fmt::Display for ChildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` failed ({})", self.command, self.status)
    }
}

impl Error for ChildFailed {}

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

/// A command as one would type it: the variables set for it, the program's name, its arguments.
struct Shown<'a>(&'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.0.get_envs() {
            if let Some(value) = value {
                write!(f, "{}={} ", name.display(), quoted(value))?;
            }
        }
        let program = std::path::Path::new(self.0.get_program());
        write!(f, "{}", program.file_stem().unwrap_or(program.as_os_str()).display())?;
        for arg in self.0.get_args() {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    if text.is_empty() || text.contains(char::is_whitespace) {
        format!("\"{text}\"")
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_a_line_that_can_be_run_again() {
        let mut command = Command::new("/toolchain/bin/cargo");
        command.args(["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(Shown(&command).to_string(), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = run(&mut Command::new("no-such-program-anywhere")).unwrap_err();
        assert!(error.to_string().contains("no-such-program-anywhere"), "{error:#}");
        assert!(error.downcast_ref::<ChildFailed>().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_becomes_the_code_a_shell_would_give() {
        let error = run(Command::new("sh").args(["-c", "kill -9 $$"])).unwrap_err();
        let failed = error.downcast_ref::<ChildFailed>().expect("a child that was killed");
        assert_eq!(failed.code(), 137);
    }
}

//! How a program is run.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use highwater_core::settings::Violation;

/// How a program is run. Only the command has no default.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecSettings {
    /// The program and its arguments. No shell takes part, so nothing in them is expanded or split; who wants
    /// one writes `["sh", "-c", "…"]`. A program without a `/` is looked up in `PATH`. Only the program's
    /// name is ever printed: arguments may hold secrets.
    pub command: Vec<String>,
    /// Variables added to the environment, which is otherwise this process's. Values may be secrets and are
    /// never printed. Default: none.
    pub env: Vec<(String, String)>,
    /// The folder in which the program runs. Default `None`: this process's.
    pub working_dir: Option<PathBuf>,
    /// How long the answer to one event may take, from handing over its line; for the first event of a
    /// process that includes its start. Default 10 s: below the 20 s that a runner gives a handler, so that
    /// this limit, which ends the program, is met first. Not 0.
    pub timeout: Duration,
    /// How long the program may go on after its standard input was closed, to finish what it does, before it
    /// is killed. Default 5 s: enough to flush, well within the 20 s of a stop. 0 = killed at once. After a
    /// time-out there is no grace, after a broken protocol at most 1 s.
    pub grace: Duration,
}

impl ExecSettings {
    /// Runs this program with these arguments, with the defaults.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            working_dir: None,
            timeout: Duration::from_secs(10),
            grace: Duration::from_secs(5),
        }
    }

    /// Checks the settings against their bounds. Whether the program is there is seen when it is started.
    ///
    /// # Errors
    /// All violations, in the order of the settings; none prints a secret.
    pub fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut wrong = Vec::new();
        let mut require = |setting, holds: bool, problem: &str| {
            if !holds {
                wrong.push(Violation { setting, problem: problem.to_owned() });
            }
        };
        require("command", !self.program().is_empty(), "is empty: give the program and its arguments");
        let nul = self.command.iter().any(|word| word.contains('\0'));
        require("command", !nul, "has a NUL character, which no system passes on");
        for (name, value) in &self.env {
            let named = !name.is_empty() && !name.contains(['=', '\0']);
            require("env", named, "has a name that is empty or has a `=` or a NUL character");
            require(
                "env",
                !value.contains('\0'),
                "has a value with a NUL character, which no system passes on",
            );
        }
        require("timeout", !self.timeout.is_zero(), "is 0: no answer could come in time");
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// The program, as it was given.
    pub(super) fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }
}

/// Without what may be a secret.
impl fmt::Debug for ExecSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ExecSettings")
            .field("program", &self.program())
            .field("arguments", &self.command.len().saturating_sub(1))
            .field("env", &names)
            .field("working_dir", &self.working_dir)
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_7_the_defaults_pass_the_validator() {
        assert_eq!(ExecSettings::new(["cat"]).validate(), Ok(()));
    }

    #[test]
    fn x_12_every_violation_is_named_and_no_secret_is_printed() {
        let wrong = ExecSettings {
            env: vec![("A=B".into(), "s3cr3t".into()), ("OK".into(), "s3cr3t\0".into())],
            timeout: Duration::ZERO,
            ..ExecSettings::new(["", "s3cr3t\0"])
        };
        let violations = wrong.validate().unwrap_err();
        let named: Vec<&str> = violations.iter().map(|violation| violation.setting).collect();
        assert_eq!(named, ["command", "command", "env", "env", "timeout"]);
        let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(!texts.concat().contains("s3cr3t"));
        assert!(!format!("{wrong:?}").contains("s3cr3t"));
        assert!(ExecSettings::new(Vec::<String>::new()).validate().is_err());
    }
}

//! What went wrong, told once: the failed operation, its causes, what to do.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, Write as _};

use serde_json::json;

use highwater_core::{Error, ErrorKind};

use super::config::ConfigError;
use super::exit::Exit;
use super::kinds;
use super::output::plain_lines;

/// An error of the program.
#[derive(Debug)]
pub(crate) struct CliError {
    exit: Exit,
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    broken_pipe: bool,
    full_disk: bool,
}

impl CliError {
    fn new(exit: Exit, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            kind,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            broken_pipe: false,
            full_disk: false,
        }
    }

    /// Something was not done; `what` names the operation.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", what)
    }

    /// A mistake of the caller.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", what)
    }

    /// A name that is not known.
    pub(crate) fn unknown(what: impl Into<String>) -> Self {
        Self::new(Exit::UnknownName, "not_found", what)
    }

    /// A backend that cannot be used now.
    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, "unavailable", what)
    }

    /// An error of a port.
    pub(crate) fn port(error: &Error) -> Self {
        let mut this = Self::new(Exit::of(error.kind()), kinds::name(error.kind()), error.to_string());
        this.full_disk = error.backend_code() == Some("SQLITE_FULL");
        let hint = kinds::hint(error.kind());
        let no_room = this.full_disk.then_some("make room on its disk; nothing was lost or half done");
        this.hint = no_room.or(hint).map(str::to_owned);
        if let Some(source) = error.source() {
            this = this.because(source);
        }
        if let Some(code) = error.backend_code() {
            this.causes.push(format!("code {code}"));
        }
        this
    }

    /// Adds the causes; one whose text already stands there is left out, since many repeat their source.
    pub(crate) fn because(mut self, source: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(source);
        while let Some(cause) = next {
            let text = cause.to_string();
            let known = |said: &String| said.contains(&text);
            if !text.is_empty() && !known(&self.message) && !self.causes.iter().any(known) {
                self.causes.push(text);
            }
            next = cause.source();
        }
        self
    }

    /// Says what was being done; what is there already becomes its cause.
    pub(crate) fn while_doing(mut self, what: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, what.into());
        self.causes.insert(0, inner);
        self
    }

    /// Says what to do; instead of what the kind suggests.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Nobody reads our output any more: that is no error of ours.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// What went wrong, for a log line.
    pub(crate) fn in_one_line(&self) -> String {
        [&self.message].into_iter().chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// Nothing is wrong but that there is no room left on the disk of the backend.
    pub(crate) fn is_full_disk(&self) -> bool {
        self.full_disk
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints it on standard error.
    pub(crate) fn print(&self, json: bool) {
        let text = if json { format!("{}\n", self.json()) } else { self.to_string() };
        // Where standard error is gone there is nobody left to tell; the exit code still says it.
        drop(io::stderr().write_all(text.as_bytes()));
    }

    fn json(&self) -> serde_json::Value {
        json!({ "error": {
            "kind": self.kind,
            "message": self.message,
            "causes": self.causes,
            "hint": self.hint,
        }})
    }
}

impl fmt::Display for CliError {
    /// For a terminal, which nothing that stands in a config, a name or a server's answer may drive.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", plain_lines(&self.message))?;
        for cause in &self.causes {
            writeln!(f, "  caused by: {}", plain_lines(cause))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "  hint: {}", plain_lines(hint))?;
        }
        Ok(())
    }
}

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        Self::port(&error)
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let ConfigError { mut problems } = error;
        if problems.len() == 1 {
            return Self::new(Exit::Usage, "config", problems.swap_remove(0));
        }
        let mut this =
            Self::new(Exit::Usage, "config", format!("the config has {} problems", problems.len()));
        this.causes = problems;
        this
    }
}

impl From<io::Error> for CliError {
    /// For the output of results; other I/O says what it was doing.
    fn from(error: io::Error) -> Self {
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { broken_pipe, ..Self::failed("write the result").because(&error) }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::from(io::Error::from(error))
    }
}

/// The error of several violations.
pub(crate) fn violations(what: &str, violations: Vec<String>) -> CliError {
    let mut error = CliError::new(Exit::Usage, "invalid", what);
    error.causes = violations;
    error
}

/// Whether an error says that a thing is not there.
pub(crate) fn is_not_found(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_told_once_with_a_hint() {
        let driver = io::Error::other("connection refused");
        let error = Error::new(ErrorKind::Unavailable, "open the log").with("file", "a.db").because(driver);
        let error = CliError::from(error);
        assert_eq!(error.exit(), Exit::Unavailable);
        let text = error.to_string();
        assert_eq!(text.matches("connection refused").count(), 1);
        assert!(
            text.starts_with("error: open the log (file a.db)\n  caused by: connection refused\n  hint: "),
            "{text}"
        );
    }

    #[test]
    fn x_12_foreign_text_in_an_error_cannot_drive_the_terminal() {
        let error = CliError::unknown("no `a\u{1b}[2J`\nin two lines").hint("b\u{7}");
        assert_eq!(error.to_string(), "error: no `a\\u{1b}[2J`\nin two lines\n  hint: b\\u{7}\n");
    }

    #[test]
    fn json_names_kind_message_and_hint() {
        let error = CliError::from(Error::new(ErrorKind::Busy, "rebuild").with("projection", "p"));
        let json = error.json();
        assert_eq!(json["error"]["kind"], "busy");
        assert_eq!(json["error"]["message"], "rebuild (projection p)");
        assert!(json["error"]["hint"].as_str().is_some_and(|hint| hint.contains("status")));
    }

    #[test]
    fn problems_of_a_config_are_listed() {
        let two = ConfigError { problems: vec!["a:1: x".to_owned(), "a:2: y".to_owned()] };
        let error = CliError::from(two);
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("2 problems") && error.to_string().contains("a:2: y"));
        assert!(CliError::from(ConfigError::one("a:1: x")).to_string().starts_with("error: a:1: x"));
    }
}

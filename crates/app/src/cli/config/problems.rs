//! Everything that is wrong with a config.

use std::fmt;

use super::node::Origin;

/// A problem with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    origin: Origin,
    text: String,
}

/// Collects problems.
#[derive(Debug)]
pub(crate) struct Problems {
    file: String,
    found: Vec<Problem>,
}

impl Problems {
    /// No problems yet; `file` is how the config file is called in messages.
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    /// Notes a problem.
    pub(crate) fn add(&mut self, origin: &Origin, text: impl Into<String>) {
        self.found.push(Problem { origin: origin.clone(), text: text.into() });
    }

    /// How the config file is called.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// The error, if there is anything wrong: by place.
    pub(crate) fn into_result<T>(mut self, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                self.found.sort_by(|a, b| a.origin.cmp(&b.origin));
                let texts = self.found.iter().map(|problem| match &problem.origin {
                    Origin::Default => format!("{}: {}", self.file, problem.text),
                    origin => format!("{}: {}", origin.place(&self.file), problem.text),
                });
                Err(ConfigError { problems: texts.collect() })
            }
        }
    }
}

/// A config that cannot be used: all that is wrong with it, each with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// One line a problem.
    pub(crate) problems: Vec<String>,
}

impl ConfigError {
    /// A single problem.
    pub(crate) fn one(problem: impl Into<String>) -> Self {
        Self { problems: vec![problem.into()] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the config is not valid")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

//! An error that the server caught itself.

use std::error::Error as StdError;
use std::fmt;

/// What an event's SQL failed with inside the server, where it was caught so that the transaction goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    code: String,
    message: String,
}

impl Raised {
    /// The hint is what the server advises, which is often nothing.
    pub(super) fn new(code: String, message: String, hint: Option<String>) -> Self {
        let message = match hint.filter(|hint| !hint.is_empty()) {
            Some(hint) => format!("{message}: {hint}"),
            None => message,
        };
        Self { code, message }
    }

    /// The SQLSTATE.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Raised {}

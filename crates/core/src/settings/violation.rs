//! What is wrong with a setting.

use std::fmt;

/// What is wrong with a setting, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The setting's name.
    pub setting: &'static str,
    /// What is wrong with it and what it may be.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.setting, self.problem)
    }
}

impl std::error::Error for Violation {}

//! The four classes of failure: one table for all runners.

use std::fmt;
use std::str::FromStr;

/// What kind of trouble a failure is; decides what happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A passing fault of the surroundings: never counts, never parks; waits until it heals.
    Transient,
    /// The event can never be applied: the failure policy acts at the first attempt.
    Permanent,
    /// Nobody knows: counted and retried in order; at the limit the failure policy acts.
    Unclassified,
    /// The runner itself cannot go on: `Faulted`.
    Fatal,
}

impl Class {
    /// The stored text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Unclassified => "unclassified",
            Self::Fatal => "fatal",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Transient, Self::Permanent, Self::Unclassified, Self::Fatal]
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no failure class"))
    }
}

//! Validated names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::model::ProjectionPart;

/// The name of a projection: 1 to 100 of the characters `A-Z a-z 0-9 _ . -`, starting with a letter or digit.
///
/// It becomes part of lock and file names, so it is kept to what every system takes. Two names that differ in
/// case only are two projections, but share a lock file on file systems that fold case: avoid it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionName(Arc<str>);

/// A text is not a projection name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a projection name: 1 to 100 characters of A-Z a-z 0-9 _ . -, starting with a letter or a digit"
)]
pub struct NameError {
    text: String,
}

impl ProjectionName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is not 1 to 100 of the permitted characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let fits = (1..=100).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
            && name.starts_with(|first: char| first.is_ascii_alphanumeric());
        if fits { Ok(Self(name.into())) } else { Err(NameError { text: name.chars().take(120).collect() }) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ProjectionName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

/// What a state row belongs to: a projection at a version, and a partition of it.
///
/// A raised version is another read model with a row of its own; the partition is 0 where a projection is not
/// partitioned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionKey {
    /// The projection.
    pub name: ProjectionName,
    /// The version number of its definition.
    pub version: u32,
    /// The partition.
    pub partition: u32,
}

impl ProjectionKey {
    /// What its owner has.
    #[must_use]
    pub fn part(&self) -> ProjectionPart {
        ProjectionPart::new(self.name.clone(), self.partition)
    }
}

impl fmt::Display for ProjectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} v{}", self.name, self.version)?;
        if self.partition > 0 {
            write!(f, " partition {}", self.partition)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_files_and_locks() {
        for good in ["a", "airport_delays", "Orders.v2", "9-lives"] {
            assert!(ProjectionName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\0", &"a".repeat(101)] {
            assert!(ProjectionName::new(bad).is_err(), "{bad:?}");
        }
    }
}

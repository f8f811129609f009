//! Where a backend is.

use std::fmt;

/// The address of a backend, with what a URL has no place for.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) url: String,
    pub(super) schema: Option<String>,
}

impl Address {
    /// The backend at this URL: `sqlite:events.db`, `postgres://user:password@host/database`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), schema: None }
    }

    /// The schema of our own tables, where the backend has such a thing (PostgreSQL: default `highwater`).
    #[must_use]
    pub fn schema(mut self, schema: Option<String>) -> Self {
        self.schema = schema;
        self
    }

    /// What stands before the first `:`.
    pub(super) fn scheme(&self) -> &str {
        self.url.split(':').next().unwrap_or_default()
    }
}

impl From<&str> for Address {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<&String> for Address {
    fn from(url: &String) -> Self {
        Self::new(url)
    }
}

impl fmt::Debug for Address {
    /// A URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("scheme", &self.scheme()).field("schema", &self.schema).finish()
    }
}

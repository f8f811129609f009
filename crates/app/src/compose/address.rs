//! Where a backend is.

use std::fmt;
use std::time::Duration;

/// How the owners of projections are told apart, where a backend gives the choice (PostgreSQL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership {
    /// By locks of a session: the default.
    #[default]
    Session,
    /// By rows that run out, for a connection pooler in transaction mode.
    Lease {
        /// How long after its end a vanished owner is followed.
        term: Duration,
    },
}

/// The address of a backend, with what a URL has no place for.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) url: String,
    pub(super) schema: Option<String>,
    pub(super) ownership: Ownership,
    pub(super) max_connections: Option<u32>,
    pub(super) prefix: Option<String>,
}

impl Address {
    /// The backend at this URL: `sqlite:events.db`, `postgres://user:password@host/database`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: None,
            ownership: Ownership::Session,
            max_connections: None,
            prefix: None,
        }
    }

    /// The schema of our own tables, where the backend has such a thing (PostgreSQL: default `highwater`).
    #[must_use]
    pub fn schema(mut self, schema: Option<String>) -> Self {
        self.schema = schema;
        self
    }

    /// How owners are told apart (PostgreSQL).
    #[must_use]
    pub fn ownership(mut self, ownership: Ownership) -> Self {
        self.ownership = ownership;
        self
    }

    /// Connections in the pool at most (PostgreSQL: default 8); `None` = the default.
    #[must_use]
    pub fn max_connections(mut self, connections: Option<u32>) -> Self {
        self.max_connections = connections;
        self
    }

    /// What all our names begin with, where the backend has one space of names (Redis: default nothing).
    #[must_use]
    pub fn prefix(mut self, prefix: Option<String>) -> Self {
        self.prefix = prefix;
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
        f.debug_struct("Address")
            .field("scheme", &self.scheme())
            .field("schema", &self.schema)
            .field("ownership", &self.ownership)
            .field("max_connections", &self.max_connections)
            .field("prefix", &self.prefix)
            .finish()
    }
}

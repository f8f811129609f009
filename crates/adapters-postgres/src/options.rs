//! How a database is opened.

use std::time::Duration;

/// How the owner of a projection is told apart from the ones that stand by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership {
    /// By advisory locks of the control connection's session: given up by the server the moment that the
    /// connection is gone. An owner that stands still as a whole for a second and a half, frozen or cut off, is
    /// taken over as well: those who stand by end its sessions, for which all instances have to use one role or
    /// have `pg_signal_backend`. The default.
    #[default]
    Session,
    /// By rows that are renewed and run out: for a connection pooler in transaction mode, behind which a session
    /// is not ours. A vanished owner is noticed when its row has run out, by default ten seconds later.
    Lease,
}

/// How a database is opened. All of the ports over one database should be made from one `Database`.
#[derive(Debug, Clone)]
pub struct PgOptions {
    pub(crate) schema: String,
    pub(crate) max_connections: u32,
    pub(crate) connect_timeout: Duration,
    pub(crate) migrate: bool,
    pub(crate) ownership: Ownership,
    pub(crate) notify: bool,
    pub(crate) application_name: Option<String>,
    pub(crate) lease_term: Duration,
}

impl Default for PgOptions {
    fn default() -> Self {
        Self {
            schema: "highwater".to_owned(),
            max_connections: 8,
            connect_timeout: Duration::from_secs(5),
            migrate: true,
            ownership: Ownership::Session,
            notify: true,
            application_name: None,
            lease_term: Duration::from_secs(10),
        }
    }
}

impl PgOptions {
    /// The schema of our own tables and functions. Default `highwater`. Two logs in one database need two.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// Connections in the pool at most, the control connection not counted; at least 1. Default 8. A running
    /// batch takes one, a reader that reads ahead of it another one for the time of a read.
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a caller waits for a connection, a new one included, before the server counts as unavailable.
    /// Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Whether opening may create and update our own tables. Default true.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// How owners are told apart. Default [`Ownership::Session`].
    #[must_use]
    pub fn ownership(mut self, ownership: Ownership) -> Self {
        self.ownership = ownership;
        self
    }

    /// Whether the control connection listens for and sends notifications. Default true. Without them new events
    /// are found by polling alone.
    #[must_use]
    pub fn notify(mut self, notify: bool) -> Self {
        self.notify = notify;
        self
    }

    /// What the server shows as the name of our sessions, with an id of this instance behind it. Default
    /// `highwater`.
    #[must_use]
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = Some(name.into());
        self
    }

    /// How long a lease row lasts unless it is renewed, which is done when three tenths of it have passed: so long
    /// after its end a vanished owner is followed, and a process that stands still for longer loses what it owns.
    /// Default 10 s. Counts only with [`Ownership::Lease`].
    #[must_use]
    pub fn lease_term(mut self, term: Duration) -> Self {
        self.lease_term = term;
        self
    }
}

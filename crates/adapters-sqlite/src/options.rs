//! How a database file is opened.

use std::time::Duration;

/// When a commit counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// When the disk has it: what was confirmed survives a power cut. The default.
    #[default]
    Full,
    /// When the operating system has it: a killed process loses nothing, a power cut may lose the last
    /// commits. The file stays sound, and log and read models in one file stay in step.
    Normal,
}

impl Synchronous {
    pub(crate) fn as_sql(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// How a database file is opened. All of the ports over one file should be opened with the same options.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub(crate) synchronous: Synchronous,
    pub(crate) busy_timeout: Duration,
    pub(crate) statement_cache: usize,
    pub(crate) cache_kib: u32,
    pub(crate) max_pages: Option<u32>,
    pub(crate) create: bool,
    pub(crate) migrate: bool,
    pub(crate) isolated: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(1),
            statement_cache: 128,
            cache_kib: 16 << 10,
            max_pages: None,
            create: true,
            migrate: true,
            isolated: false,
        }
    }
}

impl SqliteOptions {
    /// When a commit counts as durable. Default [`Synchronous::Full`].
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How long a write waits for a writer in *another* process before it fails with `Contention`; within one
    /// process writers queue and never fail so. Default 1 s, at most an hour; 0 does not wait. Kept short,
    /// because SQLite cannot be woken out of this wait: who wants to wait longer tries again.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout.min(Duration::from_secs(3600));
        self
    }

    /// How many prepared statements a connection keeps. Default 128: more than a projection with an entry for
    /// each of a hundred event types needs.
    #[must_use]
    pub fn statement_cache(mut self, statements: usize) -> Self {
        self.statement_cache = statements;
        self
    }

    /// How much of the file a writing connection may keep in memory, in KiB. Default 16 MiB: the pages of two
    /// indexes over some hundred thousand events. Each projection has a connection of its own.
    #[must_use]
    pub fn cache_kib(mut self, kib: u32) -> Self {
        self.cache_kib = kib;
        self
    }

    /// How far this handle may let the file grow, in pages of 4 KiB; beyond it writes fail as on a full disk.
    /// Default unlimited. It never cuts what is there.
    #[must_use]
    pub fn max_pages(mut self, pages: u32) -> Self {
        self.max_pages = Some(pages);
        self
    }

    /// Whether a file that does not exist is created. Default yes; no for commands that only look.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether our own tables are created and brought up to date. Default yes; if not, a file that needs it
    /// is refused.
    #[must_use]
    pub fn migrate(mut self, migrate: bool) -> Self {
        self.migrate = migrate;
        self
    }

    /// Shares nothing with other handles to the file in this process, as if it were in another process: for
    /// tests of what happens between processes.
    #[doc(hidden)]
    #[must_use]
    pub fn as_another_process(mut self) -> Self {
        self.isolated = true;
        self
    }
}

//! How a server is used.

use std::time::Duration;

/// How a server is used. All of the ports over one server should be made from one [`Redis`](crate::Redis).
#[derive(Debug, Clone)]
pub struct RedisOptions {
    pub(crate) prefix: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) page: usize,
    pub(crate) max_letters: u64,
    pub(crate) replicas: u32,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            max_connections: 4,
            page: 500,
            max_letters: 10_000,
            replicas: 0,
        }
    }
}

impl RedisOptions {
    /// What all our names in the server begin with, literally: one per environment, such as `prod:`. Default none.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long making a connection may take, the log-in included, before the server counts as unavailable. Default
    /// 2 s. A call makes at most one, and one more where the connection that it had turned out to be dead.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may take for one flight of at most a hundred commands. Default 2 s: a thousand times what
    /// it takes. Whether a flight that took longer had an effect is unknown, and trying again is safe.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Connections at most, beside the one for checkpoints; at least 1. Default 4. A scan takes one, and so does
    /// publishing a dead letter.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How many keys of the server a scan looks at in one flight, ours or not; at least 1. Default 500: the server
    /// answers nobody else meanwhile, for a fraction of a millisecond.
    #[must_use]
    pub fn page(mut self, keys: usize) -> Self {
        self.page = keys.max(1);
        self
    }

    /// Dead letters of one group at most; at least 1. Default 10,000: the memory of the server is what they take. A
    /// group that is full refuses (`Backpressure`), and its runner waits.
    #[must_use]
    pub fn max_letters(mut self, letters: u64) -> Self {
        self.max_letters = letters.max(1);
        self
    }

    /// How many replicas have to have a dead letter before it counts as published. Default 0: it is as durable as
    /// the server's own settings make it (`appendonly`, `appendfsync`).
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }
}

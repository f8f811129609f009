//! What `config show` prints: each effective value with its origin.

/// One effective value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Shown {
    /// The whole key: `log.url`, `projection.airport_delays.batch`.
    pub(crate) key: String,
    /// The value as it may be written; secrets are left out.
    pub(crate) value: String,
    /// `default`, `highwater.toml:12`, the environment variable, or the flag.
    pub(crate) origin: String,
}

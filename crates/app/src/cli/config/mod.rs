//! The config file: what it may say, where each value comes from, and everything that is wrong with it at
//! once.
//!
//! A config is read in layers: default < file < environment < per-projection table < flags (`--set`). Each
//! value keeps its origin, down to the line of the file, because the person who has to find a wrong value has
//! only that. So this does not stop at the first problem: it reads on and lists all of them.
//!
//! * Environment: `HIGHWATER_LOG__URL` is `log.url`, `HIGHWATER_DEFAULTS__BATCH` is `defaults.batch`; two
//!   underscores part the keys.
//! * Flags: `--set log.url=sqlite:flights.db`.
//! * A key of `[defaults]` counts for every projection; the same key in a `[[projection]]` wins for that one;
//!   a flag wins over both. So do `[handler_defaults]` and `[[handler]]`.

mod checkpoints;
mod document;
mod durations;
mod handler;
mod handler_settings;
mod keys;
mod layers;
mod load;
mod node;
mod problems;
mod projection;
mod server;
mod settings;
mod shown;
mod sink;
mod sql;
mod table;
#[cfg(test)]
mod tests;
mod url;

pub(crate) use handler::HandlerConfig;
pub(crate) use keys::nearest;
pub(crate) use load::{Config, ConfigSource, MigrateMode, load};
pub(crate) use problems::ConfigError;
pub(crate) use projection::ProjectionConfig;
pub(crate) use url::BackendUrl;

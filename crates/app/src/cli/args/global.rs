//! Flags of every command.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The config file [default: highwater.toml in this folder]
    #[arg(long, short, global = true, value_name = "FILE", env = "HIGHWATER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Set a key of the config over the file and the environment: log.url=sqlite:events.db
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print results and errors as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The form of log lines (standard error): text on a terminal, else JSON, unless said otherwise
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Auto)]
    pub(crate) log_format: LogFormat,
    /// Log more; twice: even more (RUST_LOG overrides)
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log errors only, and show no progress
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Auto,
    Text,
    Json,
}

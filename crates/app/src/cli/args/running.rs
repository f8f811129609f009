//! Arguments of the commands that speak to a process that runs.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::projections::parse_timeout;

/// Which process is meant.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct At {
    /// Where it serves metrics and health, such as http://10.0.0.7:9464 [default: http.listen of the config]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) at: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Breaker {
    #[command(flatten)]
    pub(crate) at: At,
    #[command(subcommand)]
    pub(crate) command: Option<BreakerCommand>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub(crate) enum BreakerCommand {
    /// Show it: the default
    Show,
    /// Close it, for whoever knows that the store is well again; what is due is tried at once
    Reset,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Persist {
    /// Write the checkpoints of all handlers of a running process now, and wait for it
    Now(PersistNow),
}

#[derive(Debug, Args)]
pub(crate) struct PersistNow {
    #[command(flatten)]
    pub(crate) at: At,
    /// Give up after this time
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = parse_timeout)]
    pub(crate) deadline: Duration,
    /// Try although the circuit breaker is open; it learns nothing from it
    #[arg(long)]
    pub(crate) override_breaker: bool,
}

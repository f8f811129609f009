//! Arguments of the commands that set projections up and run them.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};

use highwater_core::model::{ParsePositionError, Position, ProjectionName};

use super::operate::Consent;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The folder to write; one that an earlier demo wrote is gone on with
    #[arg(default_value = "highwater-demo", value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to write into; nothing in it is overwritten
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// End when everything that the log holds at the start is settled
    #[arg(long)]
    pub(crate) until_caught_up: bool,
    /// Run only these projections and handlers
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) only: Vec<ProjectionName>,
    /// Go on with these projections although their SQL or filter has changed at the same version
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) accept: Vec<ProjectionName>,
    /// Go on with these projections and handlers although their stored position does not belong to this log
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) trust: Vec<ProjectionName>,
    /// End with code 6 if events of what ran are set aside (parked, held, recorded, or dead letters)
    #[arg(long)]
    pub(crate) fail_on_parked: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The projection
    pub(crate) name: ProjectionName,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// The projection or handler
    pub(crate) name: ProjectionName,
    /// The position, such as 12:0, or head for the log's end as it is now
    pub(crate) position: Target,
    /// Give up after this time
    #[arg(long, default_value = "30s", value_name = "TIME")]
    #[arg(value_parser = parse_timeout)]
    pub(crate) timeout: Duration,
}

/// A position, or the log's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Head,
    Position(Position),
}

impl FromStr for Target {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "head" { Ok(Self::Head) } else { text.parse().map(Self::Position) }
    }
}

pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a time such as 500ms, 30s or 5min"))
}

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// The projection
    pub(crate) name: ProjectionName,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rewind {
    /// The projection
    pub(crate) name: ProjectionName,
    /// The last position that is to count as applied, such as 12:0; head for the log's end as it is now, start for
    /// before its first event
    #[arg(long, value_name = "POSITION|head|start")]
    pub(crate) to: RewindTarget,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// A position, the log's end, or before its first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RewindTarget {
    Start,
    Head,
    Position(Position),
}

impl FromStr for RewindTarget {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "start" => Ok(Self::Start),
            "head" => Ok(Self::Head),
            position => position.parse().map(Self::Position),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The projection
    pub(crate) name: ProjectionName,
    /// Columns that are left out, beside those of `verify.ignore` in the config
    #[arg(long, value_name = "COLUMN", num_args = 1.., value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the config and its SQL without running anything
    Check {
        /// Apply this file of JSON lines one by one, by sevens and as a whole, and compare the read models
        #[arg(long, value_name = "FILE")]
        sample: Option<PathBuf>,
    },
    /// Show each effective value with its origin; secrets are left out
    Show,
}

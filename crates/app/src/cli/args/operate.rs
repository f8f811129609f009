//! Arguments of the operator's commands.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand, ValueEnum};

use highwater_core::model::{FailedState, Position, ProjectionName};

#[derive(Debug, Subcommand)]
pub(crate) enum Checkpoints {
    /// List checkpoints; projections keep theirs with their read model and are shown as such
    List {
        /// Only keys that begin so
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Show one
    Get {
        /// Its key
        key: String,
    },
    /// Move one forward, or create it; never back
    Set {
        /// Its key
        key: String,
        /// The position, such as 12:0
        position: Position,
    },
    /// Move one anywhere, back included, if it stands where you expect it
    Reset {
        /// Its key
        key: String,
        /// Where to
        position: Position,
        /// Where it stands now
        #[arg(long, value_name = "POSITION")]
        expected: Position,
        #[command(flatten)]
        consent: Consent,
    },
    /// Delete one
    Delete {
        /// Its key
        key: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Delete all whose keys begin with a prefix
    Clear {
        /// The prefix, taken literally: prod: does not mean prod-eu:
        prefix: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Take over checkpoints that an older program has kept as strings in this Redis; the strings stay
    Migrate(MigrateOlder),
}

#[derive(Debug, Args)]
pub(crate) struct MigrateOlder {
    /// What the names of the strings begin with, literally; the rest becomes the key [default: checkpoints.prefix]
    pub(crate) prefix: Option<String>,
    /// Only strings of this form
    #[arg(long, value_enum, value_name = "FORMAT", value_delimiter = ',')]
    pub(crate) from: Vec<OlderForm>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// How an older program has written a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OlderForm {
    #[value(name = "commit@prepare")]
    At,
    #[value(name = "commit:prepare")]
    Colon,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Consent {
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Listed {
    /// Only of this projection
    #[arg(long, value_name = "NAME")]
    pub(crate) projection: Option<ProjectionName>,
    #[command(flatten)]
    pub(crate) versions: Versions,
    /// Only behind this position
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<Position>,
    /// At most so many
    #[arg(long, default_value = "100", value_name = "N")]
    pub(crate) limit: NonZeroUsize,
}

/// Which versions of a projection are meant.
#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub(crate) struct Versions {
    /// Of this version [default: the one in the config]
    #[arg(long, value_name = "N", conflicts_with = "all_versions")]
    pub(crate) version: Option<u32>,
    /// Of all versions, older ones included, which nobody runs any more
    #[arg(long)]
    pub(crate) all_versions: bool,
}

impl Versions {
    /// The one that is named; else the one in the config.
    pub(crate) fn one(version: Option<u32>) -> Self {
        Self { version, all_versions: false }
    }
}

/// One event of a projection, or all.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Selected {
    /// The projection, or for dead letters the handler
    pub(crate) name: ProjectionName,
    /// The event's position
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) position: Option<Position>,
    /// All of it
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) versions: Versions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FailedEvents {
    /// List events that are not applied, with the reason
    List {
        #[command(flatten)]
        listed: Listed,
        /// Only in this state: retrying, parked, recorded, held
        #[arg(long, value_name = "STATE")]
        state: Vec<FailedState>,
    },
    /// Show one
    Show {
        /// The projection
        name: ProjectionName,
        /// The event's position
        position: Position,
        /// Of this version [default: the one in the config]
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Ask the projection's owner for another try
    Retry(Selected),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List parked and held events, or with --handler what a handler gave up
    List {
        #[command(flatten)]
        listed: Listed,
        /// Of this handler
        #[arg(long, value_name = "NAME", conflicts_with_all = ["projection", "version", "all_versions"])]
        handler: Option<ProjectionName>,
    },
    /// Show one with its payload
    Show {
        /// The projection or handler
        name: ProjectionName,
        /// The event's position
        position: Position,
        /// Of this version [default: the one in the config]
        #[arg(long, value_name = "N")]
        version: Option<u32>,
        /// Write the payload alone, byte for byte
        #[arg(long)]
        raw: bool,
    },
    /// Ask the projection's owner for another try; give a handler's to its sink again, here and now
    Retry(Selected),
    /// Give events up: their rows and payloads are deleted, the events stay in the log
    Discard {
        #[command(flatten)]
        selected: Selected,
        #[command(flatten)]
        consent: Consent,
    },
}

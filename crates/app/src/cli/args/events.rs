//! Arguments of the commands that write and read events.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use uuid::Uuid;

use highwater_core::model::{Expected, Position};

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Files of JSON lines, plain or gzip; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Leave out lines that are no events, and events that the log refuses for what they are
    #[arg(long)]
    pub(crate) skip_bad_lines: bool,
    /// Events per append call: all of them get into the log, or none
    #[arg(long, default_value = "1000", value_name = "N")]
    pub(crate) batch: NonZeroUsize,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file to write; - is standard output
    #[arg(default_value = "-", value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only events of this type; a trailing * makes a prefix; may be given several times
    #[arg(long, value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// Only events of this stream; a trailing * makes a prefix; may be given several times
    #[arg(long, value_name = "STREAM")]
    pub(crate) streams: Vec<String>,
    /// Only events behind this position
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<Position>,
    /// At most so many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Compress; a file name that ends in .gz does so, too
    #[arg(long)]
    pub(crate) gzip: bool,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Append {
    /// The stream
    #[arg(long, short, value_name = "STREAM")]
    pub(crate) stream: String,
    /// The event's type
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    pub(crate) event_type: String,
    /// The payload: JSON, or @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON|@FILE|-")]
    pub(crate) data: String,
    /// The metadata, in the same forms
    #[arg(long, short, default_value = "{}", value_name = "JSON|@FILE|-")]
    pub(crate) metadata: String,
    /// The event's id; appending the same id with the same content again changes nothing [default: random]
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<Uuid>,
    /// The category [default: what stands before the first - of the stream's name]
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<String>,
    /// The sequence that the event must get; none = the stream must be new, any = do not check
    #[arg(long, default_value = "any", value_name = "N|any|none")]
    pub(crate) expected: ExpectedSequence,
}

/// `any`, `none`, or a sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpectedSequence(pub(crate) Expected);

impl FromStr for ExpectedSequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "any" => Ok(Self(Expected::Any)),
            "none" => Ok(Self(Expected::Next(0))),
            number => number
                .parse()
                .map(|sequence| Self(Expected::Next(sequence)))
                .map_err(|_| "write a sequence (0, 1, 2, …), any, or none".to_owned()),
        }
    }
}

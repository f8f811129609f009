//! Ways in which a program breaks the protocol, and the way it ended.

use std::fmt;
use std::io;
use std::process::ExitStatus;

use highwater_core::ErrorKind;

/// `EX_TEMPFAIL` of sysexits: try again later.
const TRY_LATER: i32 = 75;
/// `EX_CONFIG` of sysexits: the program is not set up.
const NOT_SET_UP: i32 = 78;

/// What happened instead of an answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// It takes no more lines.
    StdinClosed(io::Error),
    /// It says no more lines.
    StdoutClosed,
    /// It said something that is no answer to the event.
    NoAnswer(String),
    /// Its output cannot be read.
    Unreadable(io::Error),
}

/// How a program ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself, or by somebody else's signal.
    Exited(ExitStatus),
    /// We killed it, since it went on.
    Killed,
    /// It is gone, and the system does not say how.
    Unknown(io::Error),
}

impl Fault {
    /// Whether the program just left, satisfied, and said nothing to the event.
    pub(super) fn is_farewell(&self, end: &End) -> bool {
        let left = matches!(self, Self::StdinClosed(_) | Self::StdoutClosed);
        left && matches!(end, End::Exited(status) if status.success())
    }

    /// What kind of error it is for the event. Nobody knows whether it is the event's fault; unless the
    /// program says it by its exit code.
    pub(super) fn kind(&self, end: &End) -> ErrorKind {
        match (self, end) {
            (Self::StdinClosed(_) | Self::StdoutClosed, End::Exited(status)) => match status.code() {
                Some(TRY_LATER) => ErrorKind::Unavailable,
                Some(NOT_SET_UP) => ErrorKind::Invalid,
                _ => ErrorKind::Other,
            },
            _ => ErrorKind::Other,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StdinClosed(error) => write!(f, "it takes no more events: {error}"),
            Self::StdoutClosed => f.write_str("it closed its standard output before it answered"),
            Self::NoAnswer(why) => write!(f, "its standard output is not the answer: {why}"),
            Self::Unreadable(error) => write!(f, "its standard output cannot be read: {error}"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "{status}"),
            Self::Killed => f.write_str("went on and was killed"),
            Self::Unknown(error) => write!(f, "unknown: {error}"),
        }
    }
}

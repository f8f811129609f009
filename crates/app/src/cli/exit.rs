//! The one place that knows exit codes.

use std::process::ExitCode;

use highwater_core::ErrorKind;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Ok,
    /// Something was not done.
    Failed,
    /// The command line or the config is not valid.
    Usage,
    /// A name is not known: a projection, a checkpoint, a failed event.
    UnknownName,
    /// A backend cannot be reached, or does not answer in time.
    Unavailable,
    /// Another instance owns what was asked for, or has taken over.
    Busy,
    /// Done, but something is set aside (`--fail-on-parked`, and `wait` for an event that is parked).
    Parked,
}

impl Exit {
    /// The code of an error of a port.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::Contention
            | ErrorKind::Backpressure
            | ErrorKind::CircuitOpen => Self::Unavailable,
            ErrorKind::Busy | ErrorKind::LostOwnership => Self::Busy,
            ErrorKind::NotFound => Self::UnknownName,
            ErrorKind::Invalid | ErrorKind::AccessDenied | ErrorKind::Unsupported => Self::Usage,
            // Kinds that are added later are failures until somebody says otherwise here.
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        let code = match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::UnknownName => 3,
            Exit::Unavailable => 4,
            Exit::Busy => 5,
            Exit::Parked => 6,
        };
        Self::from(code)
    }
}

/// What a shell reports for a process that Ctrl-C ended: the code of the second signal, which ends at once.
pub(crate) const INTERRUPTED: i32 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_code() {
        for (kind, exit) in [
            (ErrorKind::Unavailable, Exit::Unavailable),
            (ErrorKind::Timeout, Exit::Unavailable),
            (ErrorKind::Contention, Exit::Unavailable),
            (ErrorKind::Busy, Exit::Busy),
            (ErrorKind::LostOwnership, Exit::Busy),
            (ErrorKind::OutcomeUnknown, Exit::Failed),
            (ErrorKind::NotFound, Exit::UnknownName),
            (ErrorKind::AlreadyExists, Exit::Failed),
            (ErrorKind::WrongExpectedSequence, Exit::Failed),
            (ErrorKind::EventIdReused, Exit::Failed),
            (ErrorKind::CheckpointMismatch, Exit::Failed),
            (ErrorKind::CheckpointLost, Exit::Failed),
            (ErrorKind::Backpressure, Exit::Unavailable),
            (ErrorKind::CircuitOpen, Exit::Unavailable),
            (ErrorKind::Corrupt, Exit::Failed),
            (ErrorKind::Unstorable, Exit::Failed),
            (ErrorKind::Constraint, Exit::Failed),
            (ErrorKind::Decode, Exit::Failed),
            (ErrorKind::Schema, Exit::Failed),
            (ErrorKind::AccessDenied, Exit::Usage),
            (ErrorKind::Unsupported, Exit::Usage),
            (ErrorKind::Invalid, Exit::Usage),
            (ErrorKind::TransactionEnded, Exit::Failed),
            (ErrorKind::Closed, Exit::Failed),
            (ErrorKind::Other, Exit::Failed),
        ] {
            assert_eq!(Exit::of(kind), exit, "{kind:?}");
        }
    }

    #[test]
    fn the_codes_are_the_documented_ones() {
        let codes = [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::UnknownName,
            Exit::Unavailable,
            Exit::Busy,
            Exit::Parked,
        ];
        for (exit, code) in codes.into_iter().zip(0_u8..) {
            assert_eq!(ExitCode::from(exit), ExitCode::from(code));
        }
    }
}

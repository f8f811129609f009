//! The stable names of error kinds, and what a person can do about each.

use highwater_core::ErrorKind;

/// The name in JSON.
pub(crate) fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Contention => "contention",
        ErrorKind::Busy => "busy",
        ErrorKind::LostOwnership => "lost_ownership",
        ErrorKind::OutcomeUnknown => "outcome_unknown",
        ErrorKind::NotFound => "not_found",
        ErrorKind::AlreadyExists => "already_exists",
        ErrorKind::WrongExpectedSequence => "wrong_expected_sequence",
        ErrorKind::EventIdReused => "event_id_reused",
        ErrorKind::CheckpointMismatch => "checkpoint_mismatch",
        ErrorKind::CheckpointLost => "checkpoint_lost",
        ErrorKind::Backpressure => "backpressure",
        ErrorKind::CircuitOpen => "circuit_open",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Unstorable => "unstorable",
        ErrorKind::Constraint => "constraint",
        ErrorKind::Decode => "decode",
        ErrorKind::Schema => "schema",
        ErrorKind::AccessDenied => "access_denied",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Invalid => "invalid",
        ErrorKind::TransactionEnded => "transaction_ended",
        ErrorKind::Closed => "closed",
        _ => "other",
    }
}

/// What to do, where the kind alone tells.
pub(crate) fn hint(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::Unavailable => "see that the backend runs and that its address in the config is right",
        ErrorKind::Contention => "others are writing; try again",
        ErrorKind::Busy => {
            "another instance owns it: stop that one first, or ask `highwater status` who it is"
        }
        ErrorKind::LostOwnership => {
            "another instance has taken over; nothing of this one's last batch is left"
        }
        ErrorKind::OutcomeUnknown => "look with `highwater status` before trying again",
        ErrorKind::WrongExpectedSequence => {
            "the stream is elsewhere than expected: leave the sequence out to append at its end"
        }
        ErrorKind::EventIdReused => {
            "an event with this id and other content is in the log: give new events new ids"
        }
        ErrorKind::CheckpointMismatch => {
            "the log is not the one that the projection read before: point `log.url` at the right one, \
             `highwater rebuild` or `highwater rewind` the projection, or, if you know better, run with --trust"
        }
        ErrorKind::AccessDenied => "see the user, the password and the privileges in the address",
        _ => return None,
    })
}

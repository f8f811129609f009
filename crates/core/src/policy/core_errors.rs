//! The error types that core itself knows.

use std::error::Error as StdError;
use std::io;

use crate::error::{Error, ErrorKind};
use crate::policy::{Class, Decided};

/// Who answered with the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The code that was to apply one event.
    Event,
    /// A port, of its own work.
    Port,
}

/// The class of this very error; `None` where its type says nothing and its cause may say more.
pub(crate) fn classify(error: &(dyn StdError + 'static), level: Level) -> Option<Decided> {
    if let Some(own) = error.downcast_ref::<Error>() {
        let code = own.backend_code().map(str::to_owned);
        return by_kind(own.kind(), level).map(|class| Decided { class, code, by: "error kind" });
    }
    if let Some(json) = error.downcast_ref::<serde_json::Error>() {
        // What failed may have been reading the text, not understanding it. The io error is not in the chain.
        return match json.io_error_kind() {
            Some(kind) => by_io_kind(kind).map(|class| Decided::new(class, "io")),
            None => Some(Decided::new(Class::Permanent, "json")),
        };
    }
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return by_io(io).map(|class| Decided::new(class, "io"));
    }
    decode(error).map(|by| Decided::new(Class::Permanent, by))
}

fn by_kind(kind: ErrorKind, level: Level) -> Option<Class> {
    Some(match kind {
        ErrorKind::Unavailable
        | ErrorKind::Contention
        | ErrorKind::Busy
        | ErrorKind::LostOwnership
        | ErrorKind::OutcomeUnknown
        | ErrorKind::Backpressure
        | ErrorKind::CircuitOpen
        | ErrorKind::Closed => Class::Transient,
        ErrorKind::Timeout if level == Level::Port => Class::Transient,
        ErrorKind::Timeout | ErrorKind::NotFound | ErrorKind::AlreadyExists => Class::Unclassified,
        ErrorKind::Constraint
        | ErrorKind::Decode
        | ErrorKind::Unstorable
        | ErrorKind::EventIdReused
        | ErrorKind::WrongExpectedSequence => Class::Permanent,
        ErrorKind::Schema
        | ErrorKind::AccessDenied
        | ErrorKind::Unsupported
        | ErrorKind::Invalid
        | ErrorKind::TransactionEnded
        | ErrorKind::CheckpointMismatch
        | ErrorKind::CheckpointLost
        | ErrorKind::Corrupt => Class::Fatal,
        ErrorKind::Other => return None,
    })
}

fn by_io(error: &io::Error) -> Option<Class> {
    // A wrapped error (`InvalidData` around a JSON error) knows more than a kind that says nothing.
    let opaque = || error.get_ref().is_none().then_some(Class::Unclassified);
    by_io_kind(error.kind()).or_else(opaque)
}

fn by_io_kind(kind: io::ErrorKind) -> Option<Class> {
    match kind {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::TimedOut
        | io::ErrorKind::NotConnected
        | io::ErrorKind::Interrupted => Some(Class::Transient),
        io::ErrorKind::PermissionDenied => Some(Class::Fatal),
        _ => None,
    }
}

fn decode(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    if error.is::<std::str::Utf8Error>() || error.is::<std::string::FromUtf8Error>() {
        Some("text")
    } else if error.is::<uuid::Error>() {
        Some("uuid")
    } else if error.is::<std::num::ParseIntError>()
        || error.is::<std::num::ParseFloatError>()
        || error.is::<std::num::TryFromIntError>()
    {
        Some("number")
    } else if error.is::<chrono::ParseError>() {
        Some("time")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(error: &(dyn StdError + 'static)) -> Option<Class> {
        classify(error, Level::Event).map(|decided| decided.class)
    }

    #[test]
    fn every_kind_has_a_class() {
        use ErrorKind as K;
        let table = [
            (K::Unavailable, Some(Class::Transient)),
            (K::Contention, Some(Class::Transient)),
            (K::Busy, Some(Class::Transient)),
            (K::LostOwnership, Some(Class::Transient)),
            (K::OutcomeUnknown, Some(Class::Transient)),
            (K::Backpressure, Some(Class::Transient)),
            (K::CircuitOpen, Some(Class::Transient)),
            (K::Closed, Some(Class::Transient)),
            (K::Timeout, Some(Class::Unclassified)),
            (K::NotFound, Some(Class::Unclassified)),
            (K::AlreadyExists, Some(Class::Unclassified)),
            (K::Constraint, Some(Class::Permanent)),
            (K::Decode, Some(Class::Permanent)),
            (K::Unstorable, Some(Class::Permanent)),
            (K::EventIdReused, Some(Class::Permanent)),
            (K::WrongExpectedSequence, Some(Class::Permanent)),
            (K::Schema, Some(Class::Fatal)),
            (K::AccessDenied, Some(Class::Fatal)),
            (K::Unsupported, Some(Class::Fatal)),
            (K::Invalid, Some(Class::Fatal)),
            (K::TransactionEnded, Some(Class::Fatal)),
            (K::CheckpointMismatch, Some(Class::Fatal)),
            (K::CheckpointLost, Some(Class::Fatal)),
            (K::Corrupt, Some(Class::Fatal)),
            (K::Other, None),
        ];
        for (kind, expected) in table {
            assert_eq!(class_of(&Error::new(kind, "x")), expected, "{kind:?}");
            let at_port = classify(&Error::new(kind, "x"), Level::Port).map(|decided| decided.class);
            let expected = if kind == K::Timeout { Some(Class::Transient) } else { expected };
            assert_eq!(at_port, expected, "{kind:?} of a port");
        }
    }

    #[test]
    fn the_code_of_an_error_is_kept() {
        let decided = classify(&Error::new(ErrorKind::Constraint, "x").code("23505"), Level::Event);
        assert_eq!(decided.unwrap().code.as_deref(), Some("23505"));
    }

    #[test]
    fn what_does_not_decode_is_permanent() {
        let no_utf8 = vec![0xff];
        let errors: [Box<dyn StdError>; 8] = [
            Box::new(serde_json::from_str::<u8>("{").unwrap_err()),
            Box::new(std::str::from_utf8(&no_utf8).unwrap_err()),
            Box::new(String::from_utf8(no_utf8.clone()).unwrap_err()),
            Box::new("x".parse::<uuid::Uuid>().unwrap_err()),
            Box::new("x".parse::<u8>().unwrap_err()),
            Box::new("x".parse::<f64>().unwrap_err()),
            Box::new(u8::try_from(300_u16).unwrap_err()),
            Box::new("x".parse::<chrono::NaiveDate>().unwrap_err()),
        ];
        for error in &errors {
            assert_eq!(class_of(&**error), Some(Class::Permanent), "{error}");
        }
    }

    #[test]
    fn io_errors_by_kind() {
        use io::ErrorKind as K;
        let transient = [
            K::ConnectionRefused,
            K::ConnectionReset,
            K::ConnectionAborted,
            K::BrokenPipe,
            K::TimedOut,
            K::NotConnected,
            K::Interrupted,
        ];
        for kind in transient {
            assert_eq!(class_of(&io::Error::from(kind)), Some(Class::Transient), "{kind:?}");
        }
        assert_eq!(class_of(&io::Error::from(K::PermissionDenied)), Some(Class::Fatal));
        assert_eq!(class_of(&io::Error::from(K::NotFound)), Some(Class::Unclassified));
        assert_eq!(class_of(&io::Error::other("something")), None, "the wrapped error is asked next");
    }

    #[test]
    fn an_io_error_while_reading_json_is_no_decode_error() {
        struct Broken(io::ErrorKind);
        impl io::Read for Broken {
            fn read(&mut self, _into: &mut [u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
        }
        let class = |kind| class_of(&serde_json::from_reader::<_, u8>(Broken(kind)).unwrap_err());
        assert_eq!(class(io::ErrorKind::ConnectionReset), Some(Class::Transient));
        assert_eq!(class(io::ErrorKind::NotFound), None);
    }
}

//! Driver errors as errors of the ports.

use highwater_core::error::{Error, ErrorKind};

use crate::fault::{Fault, code_of, fault_of};

/// The kind of a driver error that one of our own calls met.
fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    match fault_of(error).unwrap_or(Fault::Opaque) {
        Fault::Contention => ErrorKind::Contention,
        Fault::Unavailable => ErrorKind::Unavailable,
        Fault::Constraint | Fault::Value => ErrorKind::Constraint,
        Fault::TooBig => ErrorKind::Unstorable,
        Fault::Conversion | Fault::Corrupt => ErrorKind::Corrupt,
        Fault::Denied | Fault::Transaction => ErrorKind::TransactionEnded,
        Fault::Access => ErrorKind::AccessDenied,
        Fault::Interrupted => ErrorKind::Timeout,
        Fault::Schema => ErrorKind::Schema,
        Fault::Misuse | Fault::Opaque => ErrorKind::Other,
    }
}

/// The error of `operation` that `cause` makes.
pub(crate) fn sqlite_error(operation: &'static str, cause: rusqlite::Error) -> Error {
    let kind = kind_of(&cause);
    let error = Error::new(kind, operation);
    let error = match code_of(&cause) {
        Some(code) => error.code(code),
        None => error,
    };
    match kind {
        // Its type still tells the class.
        ErrorKind::Other => error.because(cause),
        // SQLite's own text, without the code's that rusqlite puts behind it: the code is said already.
        _ => error.because(cause.to_string()),
    }
}

/// Says what was done when the driver failed.
pub(crate) trait During<T> {
    /// Names the operation.
    fn during(self, operation: &'static str) -> Result<T, Error>;
}

impl<T> During<T> for rusqlite::Result<T> {
    fn during(self, operation: &'static str) -> Result<T, Error> {
        self.map_err(|cause| sqlite_error(operation, cause))
    }
}

/// Stored data that cannot be what we wrote.
pub(crate) fn corrupt(operation: &'static str, what: impl Into<highwater_core::BoxError>) -> Error {
    Error::new(ErrorKind::Corrupt, operation).because(what)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn an_error_says_operation_kind_and_code_and_the_cause_once() {
        let conn = Connection::open_in_memory().unwrap();
        let error = conn.execute_batch("SELECT * FROM missing").during("read the log").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert_eq!(error.backend_code(), Some("SQLITE_ERROR"));
        assert!(error.chain().starts_with("read the log: no such table: missing"), "{}", error.chain());
        let full = rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
            Some("database or disk is full".to_owned()),
        );
        let full = sqlite_error("append events", full);
        assert_eq!((full.kind(), full.backend_code()), (ErrorKind::Unavailable, Some("SQLITE_FULL")));
        assert_eq!(full.chain(), "append events: database or disk is full");
    }
}

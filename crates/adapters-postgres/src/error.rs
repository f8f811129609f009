//! From driver errors to the one error of the ports.

use highwater_core::error::{Error, ErrorKind};

use crate::fault::{Fault, code_of, fault_of};

/// What the server says of a prepared statement when a pooler in between mixes sessions up.
const POOLED: [&str; 2] = ["26000", "42P05"];
const POOLER: &str = "a pooler in transaction mode has to tell the prepared statements of its clients apart (PgBouncer: \
     1.21 or later, with max_prepared_statements above 0); or connect to the server itself";

/// Names the operation that failed.
pub(crate) trait During<T> {
    /// The port's error: its kind from what the driver said, its operation from here.
    fn during(self, operation: &'static str) -> Result<T, Error>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, operation: &'static str) -> Result<T, Error> {
        self.map_err(|error| failed(operation, error))
    }
}

/// The port's error for a driver error.
pub(crate) fn failed(operation: &'static str, error: sqlx::Error) -> Error {
    let mapped = Error::new(kind_of(fault_of(&error)), operation);
    let mapped = match code_of(&error) {
        Some(code) if POOLED.contains(&code.as_str()) => mapped.code(code).with("hint", POOLER),
        Some(code) => mapped.code(code),
        None => mapped,
    };
    mapped.because(error)
}

/// The port's kind for what a driver error means.
pub(crate) fn kind_of(fault: Fault) -> ErrorKind {
    match fault {
        Fault::Unavailable => ErrorKind::Unavailable,
        Fault::Contention | Fault::StalePlan => ErrorKind::Contention,
        Fault::Cancelled => ErrorKind::Timeout,
        Fault::Constraint => ErrorKind::Constraint,
        Fault::Value => ErrorKind::Unstorable,
        Fault::Conversion | Fault::Corrupt => ErrorKind::Corrupt,
        Fault::Schema => ErrorKind::Schema,
        Fault::Access => ErrorKind::AccessDenied,
        Fault::Unsupported => ErrorKind::Unsupported,
        Fault::TransactionEnded => ErrorKind::TransactionEnded,
        Fault::TransactionBroken | Fault::Misuse | Fault::Opaque => ErrorKind::Other,
    }
}

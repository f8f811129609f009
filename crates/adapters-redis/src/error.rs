//! From driver errors to the one error of the ports.

use deadpool_redis::redis::{RedisError, ServerError};
use deadpool_redis::{PoolError, TimeoutType};

use highwater_core::BoxError;
use highwater_core::error::{Error, ErrorKind};

use crate::fault::{Fault, code_of, fault_of, of_server};

/// The port's kind for what a driver error means.
fn kind_of(fault: Fault) -> ErrorKind {
    match fault {
        Fault::Unavailable => ErrorKind::Unavailable,
        Fault::Slow => ErrorKind::Timeout,
        Fault::Access => ErrorKind::AccessDenied,
        Fault::Corrupt | Fault::Conversion => ErrorKind::Corrupt,
        Fault::Unsupported => ErrorKind::Unsupported,
        Fault::Misuse => ErrorKind::Invalid,
        Fault::Opaque => ErrorKind::Other,
    }
}

/// The port's error for a driver error.
pub(crate) fn failed(operation: &'static str, error: RedisError) -> Error {
    let mapped = Error::new(kind_of(fault_of(&error)), operation);
    match code_of(&error) {
        Some(code) => mapped.code(code).because(error),
        None => mapped.because(error),
    }
}

/// The port's error for an answer of the server.
pub(crate) fn refused(operation: &'static str, error: &ServerError) -> Error {
    // The driver prints the code as its own name for it.
    let said = format!("the server said {} {}", error.code(), error.details().unwrap_or_default());
    let mapped = Error::new(kind_of(of_server(error)), operation).code(error.code());
    match mapped.kind() {
        // Its type still tells the class.
        ErrorKind::Other => mapped.because(RedisError::from(error.clone())),
        _ => mapped.because(said.trim_end().to_owned()),
    }
}

/// The port's error for a connection that the pool does not give.
pub(crate) fn no_connection(operation: &'static str, error: PoolError, most: usize) -> Error {
    let mapped = |kind, because: String| Error::new(kind, operation).because(because);
    match error {
        PoolError::Backend(error) => failed(operation, error),
        PoolError::Timeout(TimeoutType::Wait) => {
            mapped(ErrorKind::Unavailable, format!("all {most} connections are in use: wait, or allow more"))
        }
        PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
            mapped(ErrorKind::Unavailable, "the server has not answered in time".to_owned())
        }
        PoolError::Closed => mapped(ErrorKind::Closed, "the connections are closed".to_owned()),
        error @ (PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
            mapped(ErrorKind::Other, error.to_string())
        }
    }
}

/// Stored data, or an answer, that cannot be what we wrote.
pub(crate) fn corrupt(operation: &'static str, what: impl Into<BoxError>) -> Error {
    Error::new(ErrorKind::Corrupt, operation).because(what)
}

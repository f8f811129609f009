//! The one error of all ports.
//!
//! An adapter knows what went wrong; the runtime has to decide what to do about it. So an [`Error`] says, beside
//! its text, of which [`ErrorKind`] it is and when the same call may succeed ([`Retry`]). Nothing above an
//! adapter ever reads an error's text to decide.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Any error that can cross a task.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What an operation failed of. The kind decides the failure class (`policy::classify`) and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The backend cannot be reached, is starting, shutting down, full or read-only for the moment.
    Unavailable,
    /// The operation took longer than it was allowed to; whether it had an effect is said by the operation.
    Timeout,
    /// Others work on the same data: a lock, a serialization failure, a deadlock. Waiting helps.
    Contention,
    /// Another instance owns what was asked for.
    Busy,
    /// This instance owned it, and another one has taken over since (E-12).
    LostOwnership,
    /// The answer to a commit was lost: it may or may not have happened (E-10).
    OutcomeUnknown,
    /// The thing that was named does not exist.
    NotFound,
    /// The thing exists already.
    AlreadyExists,
    /// An append expected another sequence than the stream has.
    WrongExpectedSequence,
    /// An event id was appended before with other content.
    EventIdReused,
    /// The stored checkpoint does not belong to this log (E-7).
    CheckpointMismatch,
    /// A checkpoint that was stored once is gone, and nobody has deleted it (D-9).
    CheckpointLost,
    /// Stored data cannot be understood, or was written by a newer version.
    Corrupt,
    /// The data is well formed, but this backend cannot store or take it.
    Unstorable,
    /// A constraint of the user's data model was violated, or a value did not fit.
    Constraint,
    /// A payload does not decode.
    Decode,
    /// A table, column or function that the statement needs is missing, or the statement does not parse.
    Schema,
    /// The backend refused: credentials, privileges.
    AccessDenied,
    /// The backend is of a version, or lacks a feature, that is needed.
    Unsupported,
    /// An argument, a setting or a file is not valid.
    Invalid,
    /// User code ended the transaction that it was lent (E-9).
    TransactionEnded,
    /// A queue of ours is full: nothing was taken (C-6).
    Backpressure,
    /// A circuit breaker is open: nothing was tried (C-8).
    CircuitOpen,
    /// The operation was cancelled or the component is closed.
    Closed,
    /// None of these; opaque.
    Other,
}

impl ErrorKind {
    /// When a call that failed so may succeed if nothing but time changes.
    #[must_use]
    pub fn default_retry(self) -> Retry {
        match self {
            Self::Contention | Self::LostOwnership => Retry::Now,
            Self::Unavailable | Self::Timeout | Self::Busy | Self::Backpressure | Self::CircuitOpen => {
                Retry::After(Duration::ZERO)
            }
            Self::OutcomeUnknown | Self::Other | Self::Closed => Retry::Unknown,
            Self::NotFound
            | Self::AlreadyExists
            | Self::WrongExpectedSequence
            | Self::EventIdReused
            | Self::CheckpointMismatch
            | Self::CheckpointLost
            | Self::Corrupt
            | Self::Unstorable
            | Self::Constraint
            | Self::Decode
            | Self::Schema
            | Self::AccessDenied
            | Self::Unsupported
            | Self::Invalid
            | Self::TransactionEnded => Retry::Never,
        }
    }
}

/// When the same call may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Never, unless something outside is changed by a person.
    Never,
    /// At once.
    Now,
    /// Not before this time has passed; zero leaves the pause to the caller's backoff.
    After(Duration),
    /// Nobody knows; look at the state first.
    Unknown,
}

/// What failed, at what, why, and whether trying again helps.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    operation: Cow<'static, str>,
    code: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<BoxError>,
}

impl Error {
    /// An error of `kind` in `operation`, which names the failed operation in lower case (`"read the log"`).
    pub fn new(kind: ErrorKind, operation: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: kind.default_retry(),
            operation: operation.into(),
            code: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// Attaches what caused it. The source's text is printed behind this error's, never repeated in it.
    #[must_use]
    pub fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds a fact that a person needs: `("stream", name)`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// The backend's own code: an SQLSTATE, an extended SQLite code, a gRPC status.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// Overrides when the call may be tried again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Of what it failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// When the same call may succeed.
    #[must_use]
    pub fn retryable(&self) -> Retry {
        self.0.retry
    }

    /// The backend's own code, if it gave one.
    #[must_use]
    pub fn backend_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The failed operation.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The facts, in the order in which they were added.
    #[must_use]
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// The whole chain in one line, each cause once.
    #[must_use]
    pub fn chain(&self) -> String {
        chain_text(self)
    }
}

/// An error and its causes in one line, outermost first; a cause whose text already stands in the line is left
/// out, since many drivers repeat their source.
#[must_use]
pub fn chain_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !cause_text.is_empty() && !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.operation)?;
        for (n, (key, value)) in self.0.context.iter().enumerate() {
            f.write_str(if n == 0 { " (" } else { ", " })?;
            write!(f, "{key} {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retry", &self.0.retry)
            .field("operation", &self.0.operation)
            .field("code", &self.0.code)
            .field("context", &self.0.context)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_operation_and_subject_and_the_chain_repeats_nothing() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::new(ErrorKind::Unavailable, "read the log").with("position", "3:0").because(cause);
        assert_eq!(error.to_string(), "read the log (position 3:0)");
        let outer = Error::new(ErrorKind::Other, "run disk on fire").because(error);
        assert_eq!(outer.chain(), "run disk on fire: read the log (position 3:0)");
    }

    #[test]
    fn a_kind_knows_whether_waiting_helps() {
        assert_eq!(Error::new(ErrorKind::Schema, "x").retryable(), Retry::Never);
        assert_eq!(Error::new(ErrorKind::Contention, "x").retryable(), Retry::Now);
        let busy = Error::new(ErrorKind::Busy, "x").retry(Retry::After(Duration::from_secs(1)));
        assert_eq!(busy.retryable(), Retry::After(Duration::from_secs(1)));
    }
}

//! From an error to its class, by type.
//!
//! What a text says changes with versions and languages; what type an error has does not. So the classifier
//! walks the chain of sources, outermost first, and asks at each node whoever may know the type: the
//! adapters' classifiers, then core's own. Changing a message never changes a class (B-9). Only where nobody
//! knows, and only if it was switched on, the texts themselves are read.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::failure::{Failure, Verdict};
use crate::policy::core_errors::{self, Level};
use crate::policy::{Class, MessagePatterns};

/// What a failure was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The class.
    pub class: Class,
    /// The backend's own code (an SQLSTATE, an extended SQLite code), where there is one.
    pub code: Option<String>,
    /// Who decided: `handler` (a stated verdict), `panic`, `error kind`, `json`, `text`, `uuid`, `number`,
    /// `time`, `io`, an adapter's name, `pattern`, or `default`. For logs; a decision by `pattern` is logged.
    pub by: &'static str,
}

impl Decided {
    /// This class, without a code.
    #[must_use]
    pub fn new(class: Class, by: &'static str) -> Self {
        Self { class, code: None, by }
    }
}

/// Knows the types of one driver or library.
///
/// Asked once for each node of a chain of sources: it looks at the node it is given and does not walk on by
/// itself, except into a wrapper that hides its content from `source()`.
pub trait ClassifyError: Send + Sync {
    /// The class of this very error, or `None` for a type that it does not know.
    fn classify(&self, error: &(dyn StdError + 'static)) -> Option<Decided>;
}

/// Finds the class of failures and errors. Cheap to clone.
#[derive(Clone, Default)]
pub struct Classifier {
    adapters: Vec<Arc<dyn ClassifyError>>,
    fallback: Option<Arc<dyn ClassifyError>>,
}

impl Classifier {
    /// Knows core's own types and nothing of any driver.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks this one, too: behind those that were added before it, before core's own.
    #[must_use]
    pub fn with(mut self, adapter: Arc<dyn ClassifyError>) -> Self {
        self.adapters.push(adapter);
        self
    }

    /// Reads the message ([`MessagePatterns`]) of an error whose type nobody knows. Off unless asked for: a
    /// text is a guess.
    #[must_use]
    pub fn with_patterns(self) -> Self {
        self.with_fallback(Arc::new(MessagePatterns))
    }

    /// Asks this one last, in a second walk, where no type was known; in place of
    /// [`Classifier::with_patterns`].
    #[must_use]
    pub fn with_fallback(mut self, fallback: Arc<dyn ClassifyError>) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// The class of what a projection or handler answered. A verdict that it states wins over every type. A
    /// time-out is unclassified here: with an event run alone, it is that event that takes too long.
    #[must_use]
    pub fn failure(&self, failure: &Failure) -> Decided {
        let stated = failure.stated().map(|verdict| match verdict {
            Verdict::Retry => Class::Transient,
            Verdict::Park | Verdict::Skip => Class::Permanent,
            Verdict::Stop => Class::Fatal,
        });
        let found = self.chain(failure.source(), Level::Event);
        match stated {
            Some(class) => Decided { class, by: "handler", ..found },
            None if failure.is_panic() => Decided { class: Class::Unclassified, by: "panic", ..found },
            None => found,
        }
    }

    /// The class of what a port answered. A time-out is transient here: a call took too long, and no event is
    /// to blame for it.
    #[must_use]
    pub fn error(&self, error: &Error) -> Decided {
        self.chain(error, Level::Port)
    }

    fn chain(&self, error: &(dyn StdError + 'static), level: Level) -> Decided {
        nodes(error)
            .find_map(|node| self.typed(node, level))
            .or_else(|| {
                self.fallback.as_ref().and_then(|last| nodes(error).find_map(|node| last.classify(node)))
            })
            .unwrap_or_else(|| Decided {
                code: nodes(error).find_map(code_of),
                ..Decided::new(Class::Unclassified, "default")
            })
    }

    fn typed(&self, node: &(dyn StdError + 'static), level: Level) -> Option<Decided> {
        let adapter = self.adapters.iter().find_map(|adapter| adapter.classify(node));
        adapter.or_else(|| core_errors::classify(node, level))
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classifier")
            .field("adapters", &self.adapters.len())
            .field("fallback", &self.fallback.is_some())
            .finish()
    }
}

/// An error and its causes, outermost first.
fn nodes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&node| {
        // An io error that wraps another one answers with *its* source and so leaves the wrapped one out.
        match node.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => node.source(),
        }
    })
}

fn code_of(node: &(dyn StdError + 'static)) -> Option<String> {
    node.downcast_ref::<Error>().and_then(Error::backend_code).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::{BoxError, ErrorKind};
    use crate::failure::OrVerdict;

    /// A user's error with a cause, whose text says nothing or the wrong thing.
    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Wrapped {
        text: &'static str,
        #[source]
        cause: BoxError,
    }

    fn wrapped(text: &'static str, cause: impl Into<BoxError>) -> Wrapped {
        Wrapped { text, cause: cause.into() }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("driver: {0}")]
    struct DriverError(&'static str);

    struct Driver(Class);

    impl ClassifyError for Driver {
        fn classify(&self, error: &(dyn StdError + 'static)) -> Option<Decided> {
            let code = error.downcast_ref::<DriverError>()?.0;
            Some(Decided { code: Some(code.to_owned()), ..Decided::new(self.0, "driver") })
        }
    }

    fn class(error: impl Into<BoxError>) -> Class {
        Classifier::new().failure(&Failure::new(error)).class
    }

    #[test]
    fn a_stated_verdict_wins_over_the_type_and_keeps_the_code() {
        let classifier = Classifier::new().with(Arc::new(Driver(Class::Fatal)));
        let said = |result: Result<(), Failure>| classifier.failure(&result.unwrap_err());
        let fails = || Err::<(), _>(DriverError("23505"));
        for (result, class) in [
            (fails().or_retry(), Class::Transient),
            (fails().or_park(), Class::Permanent),
            (fails().or_skip(), Class::Permanent),
            (fails().or_stop(), Class::Fatal),
        ] {
            assert_eq!(said(result), Decided { class, code: Some("23505".to_owned()), by: "handler" });
        }
    }

    #[test]
    fn a_panic_is_unclassified_whatever_it_says() {
        let failure = Failure::panicked(&"connection lost, invalid state");
        let decided = Classifier::new().with_patterns().failure(&failure);
        assert_eq!(decided, Decided::new(Class::Unclassified, "panic"));
    }

    #[test]
    fn an_opaque_error_is_unclassified_by_default() {
        let decided = Classifier::new().failure(&Failure::new("connection lost"));
        assert_eq!(decided, Decided::new(Class::Unclassified, "default"));
    }

    #[test]
    fn the_outermost_known_type_decides() {
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        let chain = wrapped("outer", wrapped("middle", json));
        let decided = Classifier::new().failure(&Failure::new(chain));
        assert_eq!(decided, Decided::new(Class::Permanent, "json"));

        let inner = io::Error::from(io::ErrorKind::ConnectionReset);
        let outer = Error::new(ErrorKind::Schema, "prepare the statement").because(inner);
        assert_eq!(class(wrapped("outer", outer)), Class::Fatal);
    }

    #[test]
    fn adapters_are_asked_in_order_and_before_core_at_each_node() {
        struct Io;
        impl ClassifyError for Io {
            fn classify(&self, error: &(dyn StdError + 'static)) -> Option<Decided> {
                error.is::<io::Error>().then(|| Decided::new(Class::Fatal, "io adapter"))
            }
        }
        let classifier = Classifier::new().with(Arc::new(Io)).with(Arc::new(Driver(Class::Permanent)));
        let reset = Failure::new(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(classifier.failure(&reset).by, "io adapter");
        let outer_driver = Failure::new(io::Error::other(DriverError("22012")));
        assert_eq!(classifier.failure(&outer_driver).by, "io adapter", "outermost first");
        let outer_unknown = Failure::new(wrapped("x", DriverError("22012")));
        assert_eq!(classifier.failure(&outer_unknown).code.as_deref(), Some("22012"));
        let first_wins = Classifier::new()
            .with(Arc::new(Driver(Class::Transient)))
            .with(Arc::new(Driver(Class::Permanent)));
        assert_eq!(first_wins.failure(&Failure::new(DriverError("40001"))).class, Class::Transient);
    }

    #[test]
    fn what_an_io_error_wraps_is_asked_too() {
        let classifier = Classifier::new().with(Arc::new(Driver(Class::Permanent)));
        let hidden = Failure::new(io::Error::other(DriverError("22012")));
        assert_eq!(classifier.failure(&hidden).code.as_deref(), Some("22012"));
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        assert_eq!(class(io::Error::from(json)), Class::Permanent);
    }

    #[test]
    fn a_timeout_blames_the_event_only_where_one_was_run() {
        let timeout = || Error::new(ErrorKind::Timeout, "apply the batch");
        assert_eq!(class(timeout()), Class::Unclassified);
        assert_eq!(class(wrapped("outer", timeout())), Class::Unclassified);
        assert_eq!(Classifier::new().error(&timeout()).class, Class::Transient);
        let outer = Error::new(ErrorKind::Other, "run").because(timeout());
        assert_eq!(Classifier::new().error(&outer).class, Class::Transient);
    }

    #[test]
    fn an_error_of_no_kind_is_what_its_cause_is() {
        let outer =
            |cause: BoxError| Error::new(ErrorKind::Other, "run the projection").code("XX").because(cause);
        let classifier = Classifier::new().with(Arc::new(Driver(Class::Permanent)));
        assert_eq!(classifier.error(&outer(DriverError("22012").into())).code.as_deref(), Some("22012"));
        let opaque = classifier.error(&outer("no idea".into()));
        assert_eq!(
            opaque,
            Decided { code: Some("XX".to_owned()), ..Decided::new(Class::Unclassified, "default") }
        );
    }

    #[test]
    fn b_9_changing_a_message_never_changes_a_class() {
        for text in ["invalid", "connection timeout", "business rule", "database is down", ""] {
            assert_eq!(class(text), Class::Unclassified, "{text}");
            let json = serde_json::from_str::<u8>("x").unwrap_err();
            assert_eq!(class(wrapped(text, json)), Class::Permanent, "{text}");
            let refused = io::Error::new(io::ErrorKind::ConnectionRefused, text);
            assert_eq!(class(refused), Class::Transient, "{text}");
            assert_eq!(class(Error::new(ErrorKind::Schema, text)), Class::Fatal, "{text}");
        }
    }

    #[test]
    fn patterns_come_last_and_only_when_asked_for() {
        let classifier = Classifier::new().with_patterns();
        let opaque = Failure::new(wrapped("could not book", "connection reset by peer"));
        assert_eq!(classifier.failure(&opaque), Decided::new(Class::Transient, "pattern"));
        assert_eq!(Classifier::new().failure(&opaque).by, "default");
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        let typed = Failure::new(wrapped("network trouble", json));
        assert_eq!(classifier.failure(&typed).by, "json", "a type below wins over a text above");
    }

    #[test]
    fn the_fallback_can_be_replaced() {
        struct AllFatal;
        impl ClassifyError for AllFatal {
            fn classify(&self, _error: &(dyn StdError + 'static)) -> Option<Decided> {
                Some(Decided::new(Class::Fatal, "mine"))
            }
        }
        let classifier = Classifier::new().with_patterns().with_fallback(Arc::new(AllFatal));
        assert_eq!(classifier.failure(&Failure::new("network")).by, "mine");
    }
}

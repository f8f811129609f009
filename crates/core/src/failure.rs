//! What a projection or handler answers when it cannot apply an event.
//!
//! [`Failure`] is deliberately *not* an `Error`: so `?` turns every error into one, and the failure's class is
//! found later from the error's own type (`policy::classify`). Code that knows better says so where it stands:
//! `.or_retry()?`, `.or_park()?`, `.or_skip()?`, `.or_stop()?`.

use std::any::Any;
use std::fmt;

use crate::error::{BoxError, chain_text};

/// What the code that failed says should happen, overriding the classification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A passing fault: wait and try again; never counts as an attempt.
    Retry,
    /// The event can never be applied: let the failure policy act at once.
    Park,
    /// Leave this event out, with a stored record.
    Skip,
    /// Stop the runner: it is `Faulted`, the event stays unapplied.
    Stop,
}

/// Why an event, or a slice of events, was not applied. Eight bytes in a `Result`.
pub struct Failure(Box<Inner>);

struct Inner {
    source: BoxError,
    verdict: Option<Verdict>,
    index: Option<usize>,
    panicked: bool,
}

impl Failure {
    /// A failure with `error` as its reason.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(Box::new(Inner { source: error.into(), verdict: None, index: None, panicked: false }))
    }

    /// A caught panic (its payload): counts as unclassified.
    #[must_use]
    pub fn panicked(payload: &(dyn Any + Send)) -> Self {
        let said = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        let mut failure = Self::new(format!("panicked: {said}"));
        failure.0.panicked = true;
        failure
    }

    /// Says that the event at `index` of the slice failed; those before it were applied. Knowing it saves the
    /// search for the culprit.
    #[must_use]
    pub fn at(mut self, index: usize) -> Self {
        self.0.index = Some(index);
        self
    }

    /// States what should happen.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.0.verdict = Some(verdict);
        self
    }

    /// The index of the culprit in the slice, where the projection knows it.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        self.0.index
    }

    /// What the failing code stated, if anything.
    #[must_use]
    pub fn stated(&self) -> Option<Verdict> {
        self.0.verdict
    }

    /// Whether the code panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        self.0.panicked
    }

    /// The reason.
    #[must_use]
    pub fn source(&self) -> &(dyn std::error::Error + 'static) {
        &*self.0.source
    }

    /// The reason and its causes in one line.
    #[must_use]
    pub fn message(&self) -> String {
        chain_text(self.source())
    }
}

impl<E: Into<BoxError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("source", &self.0.source)
            .field("verdict", &self.0.verdict)
            .field("index", &self.0.index)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

/// States at the call site what a failure should do.
///
/// ```
/// use highwater_core::{Failure, OrVerdict, Verdict};
///
/// fn charge(amount: &str) -> Result<u32, Failure> {
///     let amount = amount.parse::<u32>().or_park()?; // will never parse: park the event at once
///     Ok(amount)
/// }
/// assert_eq!(charge("12").unwrap(), 12);
/// assert_eq!(charge("no").unwrap_err().stated(), Some(Verdict::Park));
/// ```
pub trait OrVerdict<T> {
    /// A passing fault: retried until it heals, never counted, never parked.
    fn or_retry(self) -> Result<T, Failure>;
    /// A permanent fault of this event: the failure policy acts at the first attempt.
    fn or_park(self) -> Result<T, Failure>;
    /// Leaves the event out, with a stored record.
    fn or_skip(self) -> Result<T, Failure>;
    /// Stops the runner.
    fn or_stop(self) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> OrVerdict<T> for Result<T, E> {
    fn or_retry(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().verdict(Verdict::Retry))
    }

    fn or_park(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().verdict(Verdict::Park))
    }

    fn or_skip(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().verdict(Verdict::Skip))
    }

    fn or_stop(self) -> Result<T, Failure> {
        self.map_err(|error| error.into().verdict(Verdict::Stop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_failure_and_keeps_what_the_call_site_states() {
        fn fails() -> Result<(), Failure> {
            Err("no such customer")?;
            Ok(())
        }
        let failure = fails().or_skip().unwrap_err().at(3);
        assert_eq!(failure.stated(), Some(Verdict::Skip));
        assert_eq!(failure.index(), Some(3));
        assert_eq!(failure.message(), "no such customer");
    }

    #[test]
    fn a_panic_keeps_its_message() {
        let payload = std::panic::catch_unwind(|| std::panic::panic_any("boom".to_owned())).unwrap_err();
        let failure = Failure::panicked(&*payload);
        assert!(failure.is_panic());
        assert_eq!(failure.message(), "panicked: boom");
    }
}

//! One call of the target, and what came of it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::ports::Moment;
use highwater_core::{Error, ErrorKind, Failure};

use crate::persistence::queue::Key;

/// A call that is on its way.
#[derive(Debug)]
pub(super) struct Flight {
    /// Rises with every call.
    pub(super) number: u64,
    /// Oldest first.
    pub(super) keys: Vec<Key>,
    pub(super) began: Moment,
}

/// What came of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An answer for each key.
    Answered(Vec<Result<(), Error>>),
    /// None for any key.
    Failed(Error),
    /// None in time: whether the keys were written is not known.
    TimedOut { after: Duration },
}

/// What a call of the target returned; the outer error is a caught panic.
type Returned = Result<Result<Vec<Result<(), Error>>, Error>, Box<dyn Any + Send>>;

impl Outcome {
    /// Of what the target returned for so many keys.
    pub(super) fn of(returned: Returned, keys: usize) -> Self {
        match returned {
            // A target that loses count cannot be believed about any key (C-14).
            Ok(Ok(answers)) if answers.len() != keys => {
                let why = format!("the target answered for {} of {keys} keys", answers.len());
                Self::Failed(Error::new(ErrorKind::Other, "persist keys").because(why))
            }
            Ok(Ok(answers)) => Self::Answered(answers),
            Ok(Err(error)) => Self::Failed(error),
            Err(panic) => {
                let why = format!("the target {}", Failure::panicked(&*panic).message());
                Self::Failed(Error::new(ErrorKind::Other, "persist keys").because(why))
            }
        }
    }

    /// Whether the target answered for any key: the breaker's sample. A refusal is an answer (C-9), an error
    /// that says that nobody was there to ask is none.
    pub(super) fn answered(&self) -> bool {
        match self {
            Self::Answered(answers) => {
                answers.is_empty()
                    || answers.iter().any(|answer| {
                        answer.as_ref().err().is_none_or(|error| !nobody_answered(error.kind()))
                    })
            }
            Self::Failed(_) | Self::TimedOut { .. } => false,
        }
    }
}

fn nobody_answered(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::OutcomeUnknown
            | ErrorKind::CircuitOpen
            | ErrorKind::Closed
    )
}

/// What came of a call, for those who are to be told.
#[derive(Debug)]
pub(super) enum Landed {
    /// The target answered.
    Answered {
        flushed: usize,
        /// With the failures in a row.
        refused: Vec<(Key, Arc<Error>, u32)>,
        took: Duration,
        pending: usize,
    },
    /// The call failed as a whole.
    Failed { keys: usize, error: Arc<Error>, took: Duration },
    /// It took too long.
    TimedOut { keys: usize, after: Duration },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: ErrorKind) -> Result<(), Error> {
        Err(Error::new(kind, "persist a key"))
    }

    #[test]
    fn c_7_c_9_a_call_succeeds_if_the_target_answered_for_any_key() {
        use ErrorKind::{Contention, Timeout, Unavailable, Unstorable};
        for (answers, answered) in [
            (vec![], true),
            (vec![Ok(())], true),
            (vec![refused(Unavailable), Ok(())], true),
            (vec![refused(Unstorable)], true),
            (vec![refused(Contention), refused(Unavailable)], true),
            (vec![refused(Unavailable), refused(Timeout)], false),
        ] {
            let text = format!("{answers:?}");
            assert_eq!(Outcome::Answered(answers).answered(), answered, "{text}");
        }
        assert!(!Outcome::Failed(Error::new(Unstorable, "persist keys")).answered());
        assert!(!Outcome::TimedOut { after: Duration::ZERO }.answered());
    }

    #[test]
    fn c_14_an_answer_that_does_not_fit_the_keys_confirms_nothing() {
        for answers in [vec![], vec![Ok(())], vec![Ok(()), Ok(()), Ok(())]] {
            assert!(matches!(Outcome::of(Ok(Ok(answers)), 2), Outcome::Failed(_)));
        }
        assert!(matches!(Outcome::of(Ok(Ok(vec![Ok(()), Ok(())])), 2), Outcome::Answered(_)));
    }
}

//! Connections whose prepared statements have outlived a change of a table.
//!
//! A statement that was prepared once, such as `SELECT * FROM t`, is refused for good by its session when the table
//! has another shape now. Nothing is wrong with it: a session that prepares it anew takes it. The driver keeps
//! what it has prepared for as long as a connection lives, so from the first such refusal on, connections that are
//! older are closed when they come out of the pool, instead of being used again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::stopwatch::Stopwatch;

/// When the last one was refused, in whichever database: to close too many costs no more than opening others.
static REFUSED: Mutex<Option<Stopwatch>> = Mutex::new(None);

/// A server has refused one.
pub(crate) fn note() {
    *REFUSED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stopwatch::start());
}

/// Whether a connection of this age may have another one.
pub(crate) fn may_be_on(age: Duration) -> bool {
    let refused = *REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    refused.is_some_and(|since| age >= since.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_are_older_than_a_refusal_are_not_used_again() {
        note();
        assert!(may_be_on(Duration::from_secs(3600)));
        assert!(!may_be_on(Duration::ZERO));
    }
}

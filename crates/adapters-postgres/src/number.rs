//! Unsigned 64-bit numbers in a database that has none.
//!
//! The log's own positions fit a `bigint`, which is what its tables hold. What may come from another log, such as
//! a checkpoint or the state of a projection, is kept as `numeric(20, 0)` and travels as decimal text, so that no
//! bit is lost on the way.

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::Position;

/// A number that a `bigint` column holds.
///
/// # Errors
/// `Corrupt` below zero.
pub(crate) fn to_u64(number: i64, what: &'static str) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| {
        Error::new(ErrorKind::Corrupt, "read a number that is less than zero").with(what, number)
    })
}

/// A number that a `numeric(20, 0)` column holds, selected as text.
///
/// # Errors
/// `Corrupt` if it is no `u64`.
pub(crate) fn parse_u64(text: &str, what: &'static str) -> Result<u64, Error> {
    text.parse().map_err(|_| Error::new(ErrorKind::Corrupt, "read a number that is no u64").with(what, text))
}

/// A pair of columns of the log.
///
/// # Errors
/// `Corrupt` below zero.
pub(crate) fn position(commit: i64, prepare: i64) -> Result<Position, Error> {
    Ok(Position::new(to_u64(commit, "position")?, to_u64(prepare, "offset")?))
}

/// A position as the log's columns hold one, for comparisons: what lies beyond them is behind everything there.
pub(crate) fn clamped(position: Position) -> (i64, i64) {
    match i64::try_from(position.commit()) {
        Ok(commit) => (commit, i64::try_from(position.prepare()).unwrap_or(i64::MAX)),
        Err(_) => (i64::MAX, i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_5_what_does_not_fit_is_an_error_and_never_another_number() {
        assert_eq!(to_u64(-1, "n").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(parse_u64("18446744073709551615", "n").unwrap(), u64::MAX);
        assert_eq!(parse_u64("1.5", "n").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(clamped(Position::MAX), (i64::MAX, i64::MAX));
        assert_eq!(clamped(Position::new(3, u64::MAX)), (3, i64::MAX));
    }
}

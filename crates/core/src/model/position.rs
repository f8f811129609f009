//! A place in the whole log.

use std::fmt;
use std::str::FromStr;

/// A place in the whole log: a pair of `u64`, ordered by `commit`, then `prepare`.
///
/// In KurrentDB these are its commit and prepare positions; in SQL logs `commit` is the number of the append
/// call and `prepare` the offset of the event in it, so that several events of one call are told apart; in Redis
/// Streams they are the two halves of the server's id. A position is never a clock and never a float (E-5).
///
/// ```
/// use highwater_core::model::Position;
///
/// let position: Position = "12:3".parse().unwrap();
/// assert_eq!(position, Position::new(12, 3));
/// assert!(position < Position::new(13, 0));
/// assert!("012:3".parse::<Position>().is_err()); // one text a position
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    commit: u64,
    prepare: u64,
}

impl Position {
    /// The least position that can be.
    pub const MIN: Self = Self::new(0, 0);
    /// The greatest position that can be.
    pub const MAX: Self = Self::new(u64::MAX, u64::MAX);

    /// The place `commit:prepare`.
    #[must_use]
    pub const fn new(commit: u64, prepare: u64) -> Self {
        Self { commit, prepare }
    }

    /// The greater half.
    #[must_use]
    pub const fn commit(self) -> u64 {
        self.commit
    }

    /// The lesser half.
    #[must_use]
    pub const fn prepare(self) -> u64 {
        self.prepare
    }

    /// The greatest position that is less; `None` for the least one. What stands behind it begins here.
    #[must_use]
    pub const fn previous(self) -> Option<Self> {
        match (self.commit, self.prepare) {
            (0, 0) => None,
            (commit, 0) => Some(Self::new(commit - 1, u64::MAX)),
            (commit, prepare) => Some(Self::new(commit, prepare - 1)),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.commit, self.prepare)
    }
}

/// A text is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a position: write commit:prepare, two whole numbers without leading zeros, such as 12:0"
)]
pub struct ParsePositionError {
    text: String,
}

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| -> Option<u64> {
            let canonical = digits == "0" || !digits.starts_with('0');
            let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            (canonical && all_digits).then(|| digits.parse().ok()).flatten()
        };
        text.split_once(':')
            .and_then(|(commit, prepare)| Some(Self::new(number(commit)?, number(prepare)?)))
            .ok_or_else(|| ParsePositionError { text: text.to_owned() })
    }
}

impl serde::Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_position_before_one_is_the_greatest_that_is_less() {
        assert_eq!(Position::MIN.previous(), None);
        assert_eq!(Position::new(7, 0).previous(), Some(Position::new(6, u64::MAX)));
        assert_eq!(Position::new(7, 3).previous(), Some(Position::new(7, 2)));
    }

    proptest! {
        #[test]
        fn every_position_has_one_text(commit: u64, prepare: u64) {
            let position = Position::new(commit, prepare);
            prop_assert_eq!(position.to_string().parse::<Position>(), Ok(position));
        }

        #[test]
        fn x_5_order_is_commit_then_prepare(a: (u64, u64), b: (u64, u64)) {
            prop_assert_eq!(Position::new(a.0, a.1).cmp(&Position::new(b.0, b.1)), a.cmp(&b));
        }
    }

    #[test]
    fn refuses_what_is_not_canonical() {
        for text in ["", ":", "1", "1:", ":1", "01:0", "1:00", "+1:0", "1:-1", " 1:0", "1:0 ", "1:0:0"] {
            assert!(text.parse::<Position>().is_err(), "{text:?} must not parse");
        }
        assert!("18446744073709551616:0".parse::<Position>().is_err());
        assert_eq!("18446744073709551615:18446744073709551615".parse(), Ok(Position::MAX));
    }
}

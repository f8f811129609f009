//! What a catch-up runner does with an event that its handler cannot take.

use std::fmt;
use std::str::FromStr;

use crate::policy::OnFailure;

/// What happens to an event that its handler cannot take, once that is certain: at the first attempt of a
/// permanent failure, at the last one of an unclassified failure. Transient failures wait under every policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnPermanent {
    /// It goes to the dead letters, with its payload, and the runner goes on. The default: nothing is lost,
    /// and one bad event does not stop the rest. Without a place for dead letters it is as
    /// [`OnPermanent::Halt`].
    #[default]
    DeadLetter,
    /// It is left out, and the runner goes on. Where there is a place for dead letters, the record of it is
    /// kept there, and counts as an open one; where there is none, all that is left of it is a line in the
    /// log.
    Skip,
    /// The runner stops before it: for handlers that must not leave anything out.
    Halt,
}

impl OnPermanent {
    const ALL: [Self; 3] = [Self::DeadLetter, Self::Skip, Self::Halt];

    /// The text in a config file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead-letter",
            Self::Skip => "skip",
            Self::Halt => "halt",
        }
    }

    /// The row of the one table of failures that this policy stands for, for a runner that has a place for
    /// dead letters or has none.
    #[must_use]
    pub fn as_on_failure(self, has_dead_letters: bool) -> OnFailure {
        match self {
            Self::DeadLetter if has_dead_letters => OnFailure::RetryInOrder,
            Self::DeadLetter | Self::Halt => OnFailure::Halt,
            Self::Skip => OnFailure::RecordAndContinue,
        }
    }
}

impl fmt::Display for OnPermanent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnPermanent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is no policy for permanent failures: write one of {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_12_policies_have_texts_and_an_unknown_one_names_them() {
        for policy in OnPermanent::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        let error = "park".parse::<OnPermanent>().unwrap_err();
        assert!(OnPermanent::ALL.iter().all(|policy| error.contains(policy.as_str())), "{error}");
    }

    #[test]
    fn a_dead_letter_that_has_no_place_halts() {
        assert_eq!(OnPermanent::default().as_on_failure(true), OnFailure::RetryInOrder);
        assert_eq!(OnPermanent::default().as_on_failure(false), OnFailure::Halt);
        for has_dead_letters in [true, false] {
            assert_eq!(OnPermanent::Halt.as_on_failure(has_dead_letters), OnFailure::Halt);
            assert_eq!(OnPermanent::Skip.as_on_failure(has_dead_letters), OnFailure::RecordAndContinue);
        }
    }
}

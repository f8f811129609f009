//! What a failure does to its event and to the runner: one table for all runners.

use std::fmt;
use std::str::FromStr;

use crate::failure::Verdict;
use crate::model::FailedState;
use crate::policy::{Class, Decided};

/// What happens to an event that cannot be applied, once that is certain (E-15): at the first attempt of a
/// permanent failure, at the last one of an unclassified failure. Transient failures wait under every policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnFailure {
    /// Park it with its payload and go on. The default: order is kept while there is hope, nothing is lost,
    /// and one bad event does not stop the rest.
    #[default]
    RetryInOrder,
    /// Note it without its payload and go on: for read models that may leave events out.
    RecordAndContinue,
    /// Park it, and hold later events of its stream behind it: for read models in which order in the stream
    /// matters more than being complete.
    ParkStream,
    /// Stop the runner: for read models that must not leave anything out.
    Halt,
}

impl OnFailure {
    const ALL: [Self; 4] = [Self::RetryInOrder, Self::RecordAndContinue, Self::ParkStream, Self::Halt];

    /// The text in a config file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetryInOrder => "retry-in-order",
            Self::RecordAndContinue => "record-and-continue",
            Self::ParkStream => "park-stream",
            Self::Halt => "halt",
        }
    }

    /// How this policy sets an event aside; `None` where it does not.
    fn sets_aside(self) -> Option<FailedState> {
        match self {
            Self::RetryInOrder | Self::ParkStream => Some(FailedState::Parked),
            Self::RecordAndContinue => Some(FailedState::Recorded),
            Self::Halt => None,
        }
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OnFailure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is no failure policy: write one of {known}")
        })
    }
}

/// What to do about an event that failed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Wait with backoff until the surroundings heal. The attempt does not count, and nothing is recorded.
    Wait,
    /// Record the attempt and try again later, in order.
    RetryLater,
    /// Set the event aside in this state and go on.
    SetAside(FailedState),
    /// Its attempts are used up. Try following events first: if they fail alike, it is an outage
    /// ([`is_outage`](super::is_outage)) and nothing is set aside; else set the event aside in this state.
    Probe(FailedState),
    /// Stop the runner; the event stays unapplied.
    Fault,
}

/// What to do about an event that failed alone.
///
/// `verdict` is what the failing code stated, `attempts` counts this attempt, too, and `max_failures` is how
/// many an unclassified failure may use up.
///
/// | class | action |
/// |---|---|
/// | (stated skip) | set aside as recorded, under every policy |
/// | transient | wait |
/// | fatal | fault |
/// | permanent | what the policy says, at the first attempt |
/// | unclassified | retry later; at `max_failures` probe, or fault under `halt` |
#[must_use]
pub fn decide(
    on_failure: OnFailure,
    decided: &Decided,
    verdict: Option<Verdict>,
    attempts: u32,
    max_failures: u32,
) -> Action {
    if verdict == Some(Verdict::Skip) {
        return Action::SetAside(FailedState::Recorded);
    }
    match decided.class {
        Class::Transient => Action::Wait,
        Class::Fatal => Action::Fault,
        Class::Permanent => on_failure.sets_aside().map_or(Action::Fault, Action::SetAside),
        Class::Unclassified if attempts < max_failures => Action::RetryLater,
        Class::Unclassified => on_failure.sets_aside().map_or(Action::Fault, Action::Probe),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 5;

    fn act(on_failure: OnFailure, class: Class, attempts: u32) -> Action {
        decide(on_failure, &Decided::new(class, "test"), None, attempts, MAX)
    }

    #[test]
    fn e_15_what_each_policy_does_with_each_class() {
        use OnFailure as P;
        let table = [
            (P::RetryInOrder, Action::SetAside(FailedState::Parked), Action::Probe(FailedState::Parked)),
            (
                P::RecordAndContinue,
                Action::SetAside(FailedState::Recorded),
                Action::Probe(FailedState::Recorded),
            ),
            (P::ParkStream, Action::SetAside(FailedState::Parked), Action::Probe(FailedState::Parked)),
            (P::Halt, Action::Fault, Action::Fault),
        ];
        for (policy, permanent, exhausted) in table {
            assert_eq!(act(policy, Class::Permanent, 1), permanent, "{policy}");
            assert_eq!(act(policy, Class::Unclassified, 1), Action::RetryLater, "{policy}");
            assert_eq!(act(policy, Class::Unclassified, MAX - 1), Action::RetryLater, "{policy}");
            assert_eq!(act(policy, Class::Unclassified, MAX), exhausted, "{policy}");
            assert_eq!(act(policy, Class::Unclassified, u32::MAX), exhausted, "{policy}");
        }
    }

    #[test]
    fn transient_never_parks_and_fatal_never_waits() {
        for policy in OnFailure::ALL {
            for attempts in [1, MAX, u32::MAX] {
                assert_eq!(act(policy, Class::Transient, attempts), Action::Wait, "{policy}");
                assert_eq!(act(policy, Class::Fatal, attempts), Action::Fault, "{policy}");
            }
        }
    }

    #[test]
    fn a_stated_skip_leaves_a_record_under_every_policy() {
        let decided = Decided::new(Class::Permanent, "handler");
        for policy in OnFailure::ALL {
            let action = decide(policy, &decided, Some(Verdict::Skip), 1, MAX);
            assert_eq!(action, Action::SetAside(FailedState::Recorded), "{policy}");
        }
    }

    #[test]
    fn x_12_policies_have_texts_and_an_unknown_one_names_them() {
        for policy in OnFailure::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        let error = "park".parse::<OnFailure>().unwrap_err();
        for policy in OnFailure::ALL {
            assert!(error.contains(policy.as_str()), "{error}");
        }
        assert_eq!(OnFailure::default(), OnFailure::RetryInOrder);
    }
}

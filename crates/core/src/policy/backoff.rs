//! How long to wait before the next attempt (B-10).

use std::time::Duration;

/// The least pause: below it, trying again is a busy loop over the network.
const FLOOR: Duration = Duration::from_millis(100);

/// Exponential backoff with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause before the first repetition, before jitter.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
}

impl Backoff {
    /// The pause behind failed attempt number `attempt`, from 0: `base` × 2^`attempt`, at most `cap`, and of
    /// the values within ±25 % of it that lie in [100 ms, `cap`] the one that `random` picks (all of [`cap`,
    /// `cap`] if the cap is below 100 ms).
    ///
    /// The interval is cut, not the value: at the cap, runners still spread over a quarter of it instead of
    /// half of them waking at the same time.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let cap = self.cap.as_nanos();
        let factor = 1_u128.checked_shl(attempt).unwrap_or(u128::MAX);
        let aim = self.base.as_nanos().saturating_mul(factor).min(cap);
        let low = (aim - aim / 4).max(FLOOR.as_nanos().min(cap));
        let high = (aim + aim / 4).min(cap).max(low);
        between(low, high, random)
    }
}

/// `duration` ± 25 %, as `random` picks: for timers that must not beat in step.
#[must_use]
pub fn jittered(duration: Duration, random: u64) -> Duration {
    let aim = duration.as_nanos();
    between(aim - aim / 4, aim + aim / 4, random)
}

/// A duration between these nanoseconds, both included. Half of `random` is used: 32 bits of chance are
/// plenty, and the product of the longest duration (94 bits) with them still fits.
pub(crate) fn between(low: u128, high: u128, random: u64) -> Duration {
    let nanos = low + (high - low) * u128::from(random >> 32) / u128::from(u32::MAX);
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    match (u64::try_from(seconds), u32::try_from(rest)) {
        (Ok(seconds), Ok(rest)) => Duration::new(seconds, rest),
        _ => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };

    fn durations() -> impl Strategy<Value = Duration> {
        prop_oneof![
            (0_u64..60_000).prop_map(Duration::from_millis),
            (any::<u64>(), 0_u32..1_000_000_000).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
        ]
    }

    proptest! {
        #[test]
        fn b_10_stays_inside_the_bounds(base in durations(), cap in durations(), attempt: u32, random: u64) {
            let delay = Backoff { base, cap }.delay(attempt, random);
            prop_assert!(delay <= cap);
            prop_assert!(delay >= FLOOR.min(cap));
        }

        #[test]
        fn b_10_jitter_is_at_most_a_quarter(attempt in 0_u32..8, random: u64) {
            let aim = Duration::from_millis(200) * 2_u32.pow(attempt);
            let delay = USUAL.delay(attempt, random);
            prop_assert!(delay >= (aim.min(USUAL.cap) * 3 / 4).max(FLOOR));
            prop_assert!(delay <= aim * 5 / 4);
        }

        #[test]
        fn b_10_is_pure_and_rises_with_the_attempt(attempt in 0_u32..100, random: u64) {
            prop_assert_eq!(USUAL.delay(attempt, random), USUAL.delay(attempt, random));
            prop_assert!(USUAL.delay(attempt + 1, random) >= USUAL.delay(attempt, random));
        }

        #[test]
        fn b_10_jittered_is_within_a_quarter_and_never_overflows(duration in durations(), random: u64) {
            let chosen = jittered(duration, random);
            prop_assert!(chosen >= duration - duration / 4 - Duration::from_nanos(1));
            prop_assert!(chosen <= duration.saturating_add(duration / 4));
        }
    }

    #[test]
    fn b_10_doubles_up_to_the_cap_and_saturates() {
        let middle = u64::MAX / 2;
        for (attempt, aim) in [(0, 200), (1, 400), (2, 800), (5, 6_400)] {
            let off = USUAL.delay(attempt, middle).abs_diff(Duration::from_millis(aim));
            assert!(off < Duration::from_micros(1), "attempt {attempt} is off by {off:?}");
        }
        assert_eq!(USUAL.delay(8, u64::MAX), USUAL.cap);
        assert_eq!(USUAL.delay(u32::MAX, 0), USUAL.cap * 3 / 4);
    }

    #[test]
    fn b_10_chance_reaches_both_ends() {
        assert_eq!(jittered(Duration::from_secs(4), 0), Duration::from_secs(3));
        assert_eq!(jittered(Duration::from_secs(4), u64::MAX), Duration::from_secs(5));
        let short = Backoff { base: Duration::from_millis(1), cap: Duration::from_millis(20) };
        assert_eq!(short.delay(0, 7), Duration::from_millis(20), "a cap below the floor is the pause");
    }
}

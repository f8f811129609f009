//! Chance, as an argument.

/// Random numbers for jitter; not for secrets.
///
/// # Laws
/// 1. Numbers are spread over all of `u64`.
/// 2. A scripted implementation replays the same numbers, so that a decision can be tested.
pub trait Jitter: Send + Sync {
    /// The next number.
    fn next_u64(&self) -> u64;
}

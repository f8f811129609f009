//! Time, as an argument.

use std::time::Duration;

use async_trait::async_trait;

/// A monotonic instant: the time since an origin that one process shares. Mintable in a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The moment this long after the origin.
    #[must_use]
    pub const fn at(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// How long after the origin.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// How long after `earlier`; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// The clock of a process.
///
/// # Laws
/// 1. `now` never goes back, whatever the wall clock does.
/// 2. `wall_micros` is for rows and people; nothing is ordered by it.
/// 3. `sleep` ends not before the duration has passed by `now`; dropping it ends the wait at once.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The monotonic time.
    fn now(&self) -> Moment;

    /// The wall clock: microseconds since 1970-01-01T00:00:00Z.
    fn wall_micros(&self) -> i64;

    /// Waits.
    async fn sleep(&self, duration: Duration);
}

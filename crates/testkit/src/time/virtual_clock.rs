//! A clock over tokio's time, with a wall clock that can be set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use highwater_core::ports::{Clock, Moment};

/// 2024-01-01T00:00:00Z, in microseconds since 1970.
const WALL_AT_START: i64 = 1_704_067_200_000_000;

/// Tokio's time as a [`Clock`]: virtual in a test with paused time, real otherwise.
///
/// The wall clock starts at 2024-01-01T00:00:00Z, goes with the monotonic time, and can be stepped in either
/// direction. Share one clock within a test: the origin of its moments is its creation.
#[derive(Debug)]
pub struct VirtualClock {
    origin: Instant,
    wall_at_origin: AtomicI64,
}

impl VirtualClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: instant_now(), wall_at_origin: AtomicI64::new(WALL_AT_START) }
    }

    /// Sets the wall clock; the monotonic time does not notice.
    pub fn set_wall_micros(&self, micros: i64) {
        self.wall_at_origin.store(micros.saturating_sub(self.elapsed_micros()), Ordering::SeqCst);
    }

    /// Steps the wall clock back.
    pub fn step_wall_back(&self, by: Duration) {
        self.set_wall_micros(self.wall_micros().saturating_sub(micros(by)));
    }

    /// Steps the wall clock forward.
    pub fn step_wall_forward(&self, by: Duration) {
        self.set_wall_micros(self.wall_micros().saturating_add(micros(by)));
    }

    /// Lets this much time pass, for everything that sleeps on tokio's time.
    ///
    /// # Panics
    /// When the time of the runtime is not paused.
    pub async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }

    fn elapsed_micros(&self) -> i64 {
        micros(instant_now().saturating_duration_since(self.origin))
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Moment {
        Moment::at(instant_now().saturating_duration_since(self.origin))
    }

    fn wall_micros(&self) -> i64 {
        self.wall_at_origin.load(Ordering::SeqCst).saturating_add(self.elapsed_micros())
    }

    async fn sleep(&self, duration: Duration) {
        pause(duration).await;
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Tokio's present instant, for the parts of this crate that simulate a server's time-outs.
#[expect(clippy::disallowed_methods, reason = "this is the clock of the simulated servers")]
pub(crate) fn instant_now() -> Instant {
    Instant::now()
}

/// The instant this long from now; `None` where that is beyond what can be represented.
pub(crate) fn instant_after(duration: Duration) -> Option<Instant> {
    instant_now().checked_add(duration)
}

/// Waits by tokio's time.
#[expect(clippy::disallowed_methods, reason = "this is the clock of the simulated servers")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

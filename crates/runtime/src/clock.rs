//! The production clock and jitter.

use std::time::Duration;

use async_trait::async_trait;
use highwater_core::ports::{Clock, Jitter, Moment};

/// Tokio's time: in a test with paused time it is a virtual clock.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// A clock whose origin is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for TokioClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Moment {
        Moment::at(tokio::time::Instant::now().saturating_duration_since(self.origin))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn wall_micros(&self) -> i64 {
        // A wall clock before 1970 or past the year 292,000 is a broken one; rows then say 1970.
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_micros()).ok())
            .unwrap_or(0)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Jitter from the process's random generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct FastJitter;

impl Jitter for FastJitter {
    fn next_u64(&self) -> u64 {
        fastrand::u64(..)
    }
}

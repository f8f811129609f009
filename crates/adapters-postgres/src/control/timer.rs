//! The one place here that reads a clock.
//!
//! How long a heartbeat has stood still is a matter of the time that really passes between two answers of a
//! server, which no virtual time reaches.

use tokio::time::Instant;

use highwater_core::ports::Moment;

/// Monotonic time since the task began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timer(Instant);

impl Timer {
    #[expect(clippy::disallowed_methods, reason = "paces the questions to a server; see the module")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Moment {
        Moment::at(self.0.elapsed())
    }

    /// Returns at the moment, or at once if it has passed.
    pub(super) async fn until(self, moment: Moment) {
        // Beyond what the clock can express is never.
        match self.0.checked_add(moment.since_origin()) {
            Some(instant) => tokio::time::sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }
}

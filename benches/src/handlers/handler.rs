//! What the runners run: a handler that does nothing, and one that waits for somebody else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use highwater::core::ports::Clock;
use highwater::{Failure, Handler, RecordedEvent, TokioClock};

/// Counts its calls, so that nobody can leave one out, and may wait in each.
pub(super) struct Counting {
    calls: AtomicU64,
    wait: Option<(TokioClock, Duration)>,
}

impl Counting {
    /// One that answers at once.
    pub(super) fn at_once() -> Self {
        Self { calls: AtomicU64::new(0), wait: None }
    }

    /// One that waits so long with each event.
    pub(super) fn after(wait: Duration) -> Self {
        Self { wait: Some((TokioClock::new(), wait)), ..Self::at_once() }
    }

    /// How many events it has taken.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Handler for Counting {
    async fn handle(&self, _: &RecordedEvent) -> Result<(), Failure> {
        if let Some((clock, wait)) = &self.wait {
            clock.sleep(*wait).await;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

//! The one place that reads a clock.
//!
//! A statement that runs for ever can be stopped only by the handler that SQLite calls from inside it, on a
//! blocking thread that no virtual time reaches. What it must be measured by is the time that really passes.

use std::time::{Duration, Instant};

/// Measures how long something takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "bounds a statement that runs inside SQLite; see the module"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

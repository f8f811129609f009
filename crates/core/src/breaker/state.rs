//! What a breaker is told, and what it tells.

use std::fmt;
use std::time::Duration;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRule {
    /// So many failed calls in a row open it. Default 5; 0 counts as 1.
    pub failure_threshold: u32,
    /// So long it refuses every call before it admits a probe. Default 60 s.
    pub open_time: Duration,
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self { failure_threshold: 5, open_time: Duration::from_secs(60) }
    }
}

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused. It stays so until a call asks after the open time is over.
    Open,
    /// One probe passes, and decides.
    HalfOpen,
}

impl BreakerState {
    /// One word for tables and log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change of state, for whoever is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerChange {
    /// The state before.
    pub from: BreakerState,
    /// The state now.
    pub to: BreakerState,
    /// How often it has opened so far, this change counted.
    pub trips: u64,
}

/// A call was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// After this time a probe is admitted; `None` while one is on its way, whose result decides.
    pub retry_in: Option<Duration>,
}

/// A breaker at one moment, for statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSnapshot {
    /// The state.
    pub state: BreakerState,
    /// How many calls have failed in a row; 0 after a success, and after a reset by hand.
    pub failures: u32,
    /// How often it has opened: every entry into open counts, a reset by hand does not undo it.
    pub trips: u64,
    /// How long it refuses every call from now on; zero unless it is open.
    pub refuses_for: Duration,
}

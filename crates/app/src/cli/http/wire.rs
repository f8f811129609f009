//! What travels between a process that runs and the commands that speak to it: each is JSON, and what the commands
//! print with `--json`.

use serde::{Deserialize, Serialize};

use highwater::{ForceReport, PersistenceStats};
use highwater_core::breaker::BreakerState;

use crate::cli::kinds;

/// The circuit breaker in front of the checkpoint store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Breaker {
    /// Where the checkpoints are, without secrets.
    pub(crate) target: String,
    /// `closed`, `open` or `half-open`.
    pub(crate) state: String,
    /// How many calls have failed in a row.
    pub(crate) failures: u32,
    /// How often it has opened.
    pub(crate) trips: u64,
    /// While it is open: in how many milliseconds it lets a probe through.
    pub(crate) retry_in_ms: Option<u64>,
    /// How many checkpoints wait to be written.
    pub(crate) pending: u64,
    /// The last failure of the store, kept after it healed.
    pub(crate) last_error: Option<String>,
}

/// The breaker before and after it was closed by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BreakerReset {
    pub(crate) before: Breaker,
    pub(crate) after: Breaker,
}

/// Which checkpoints were written, by handler. Each is in one of the lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Persisted {
    /// Written and confirmed.
    pub(crate) flushed: Vec<String>,
    /// Refused by the store, or their call failed.
    pub(crate) failed: Vec<NotPersisted>,
    /// Tried without an answer in time: they may be written.
    pub(crate) timed_out: Vec<String>,
    /// Not tried.
    pub(crate) not_attempted: Vec<String>,
}

/// Why a checkpoint was not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotPersisted {
    pub(crate) handler: String,
    pub(crate) error: String,
}

/// How checkpoints are to be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersistQuery {
    /// For how long at most; absent = `force_persistence_timeout` of the process.
    pub(super) deadline_ms: Option<u64>,
    /// Also while the breaker is open.
    #[serde(default)]
    pub(super) override_breaker: bool,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// The kind of the error, such as `circuit_open`, or [`NO_HANDLERS`].
    pub(super) kind: String,
    pub(super) error: String,
}

/// The kind of the refusal of a process without handlers.
pub(super) const NO_HANDLERS: &str = "no_handlers";

impl From<&PersistenceStats> for Breaker {
    fn from(stats: &PersistenceStats) -> Self {
        let breaker = &stats.breaker;
        let refuses_for = u64::try_from(breaker.refuses_for.as_millis()).unwrap_or(u64::MAX);
        Self {
            target: stats.target.clone(),
            state: breaker.state.as_str().to_owned(),
            failures: breaker.failures,
            trips: breaker.trips,
            retry_in_ms: (breaker.state == BreakerState::Open).then_some(refuses_for),
            pending: u64::try_from(stats.pending).unwrap_or(u64::MAX),
            last_error: stats.last_error.clone(),
        }
    }
}

impl From<ForceReport> for Persisted {
    fn from(report: ForceReport) -> Self {
        let ForceReport { flushed, failed, timed_out, not_attempted } = report;
        let failed = failed.into_iter();
        let failed = failed.map(|it| NotPersisted { handler: it.key, error: it.error.chain() }).collect();
        Self { flushed, failed, timed_out, not_attempted }
    }
}

impl From<&highwater_core::Error> for Refusal {
    fn from(error: &highwater_core::Error) -> Self {
        Self { kind: kinds::name(error.kind()).to_owned(), error: error.chain() }
    }
}

impl Persisted {
    /// Whether all that was due is written.
    pub(crate) fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.timed_out.is_empty() && self.not_attempted.is_empty()
    }
}

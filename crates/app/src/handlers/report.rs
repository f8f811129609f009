//! What became of a handler.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::Position;
use highwater_core::ports::HandlerTotals;
use highwater_runtime::catch_up::{CatchUpEnd, CatchUpReport, CatchUpStatus};
use highwater_runtime::projection::Phase;

use crate::report::Outcome;

/// What became of one handler; the counters are of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerReport {
    /// Which one.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did.
    pub totals: HandlerTotals,
    /// Events whose handling was cut short: they are handled again at the next start.
    pub abandoned: u64,
    /// Everything up to here is settled.
    pub position: Option<Position>,
    /// The checkpoint that is known to be stored: what is behind it is handled again at the next start.
    pub stored: Option<Position>,
    /// Why the last checkpoint was not stored, or the group not given back.
    pub unflushed: Option<String>,
    /// How long the run took.
    pub took: Duration,
}

impl HandlerReport {
    /// `before` is what it did before it was asked to stop; `until` is what it was to settle: `Some(None)` for an
    /// empty log, `None` where it was to go on.
    pub(super) fn new(
        report: &CatchUpReport,
        before: &CatchUpStatus,
        until: Option<Option<Position>>,
    ) -> Self {
        let outcome = match (&report.end, until) {
            (CatchUpEnd::Faulted { reason }, _) => Outcome::Faulted(reason.clone()),
            (CatchUpEnd::CaughtUp, _) => Outcome::CaughtUp,
            (CatchUpEnd::Stopped, None) => Outcome::Stopped,
            (CatchUpEnd::Stopped, Some(head)) => match &before.phase {
                Phase::StandingBy => Outcome::Busy,
                Phase::Paused => Outcome::Paused,
                _ if report.position >= head => Outcome::CaughtUp,
                Phase::Stalled { reason } => Outcome::Stalled(reason.clone()),
                _ => Outcome::Stopped,
            },
        };
        Self {
            name: report.group.clone(),
            outcome,
            totals: report.totals,
            abandoned: report.abandoned,
            position: report.position,
            stored: report.stored,
            unflushed: report.unflushed.as_ref().map(highwater_core::Error::chain),
            took: report.duration,
        }
    }
}

//! Is it well? Decided from what the runners say of themselves.

use std::time::Duration;

use serde::Serialize;

use highwater::{CatchUpStatus, Phase, ProjectionStatus};
use highwater_core::model::Position;

use super::held_back::Held;
use crate::cli::lag::Lag;

/// What a prober is told.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    pub(super) ok: bool,
    pub(super) projections: Vec<Row>,
    pub(super) handlers: Vec<HandlerRow>,
    /// What keeps readers of the log from going on; lag does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) held_back: Option<Held>,
}

#[derive(Debug, Serialize)]
pub(super) struct HandlerRow {
    name: String,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Everything up to here is settled.
    position: Option<Position>,
    /// How often the event that is being retried was tried; 0 where none is.
    attempts: u32,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    lag: Option<Lag>,
    #[serde(skip)]
    ok: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    partition: u32,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    lag: Option<Lag>,
    #[serde(skip)]
    ok: bool,
}

impl Health {
    fn of(projections: Vec<Row>) -> Self {
        let ok = projections.iter().all(|row| row.ok);
        Self { ok, projections, handlers: Vec::new(), held_back: None }
    }

    /// What is said of the log. No runner can mend it, and to start one anew does not either: so all stay well.
    pub(super) fn and_log(self, held_back: Option<Held>) -> Self {
        Self { held_back, ..self }
    }

    fn and(self, handlers: Vec<HandlerRow>) -> Self {
        Self { ok: self.ok && handlers.iter().all(|row| row.ok), handlers, ..self }
    }

    /// The same for handlers, for [`live`].
    pub(super) fn and_live(
        self,
        statuses: &[CatchUpStatus],
        beat: impl Fn(&CatchUpStatus) -> Option<Duration>,
        limit: Duration,
    ) -> Self {
        let rows = statuses.iter().map(|status| {
            let silent = beat(status).filter(|silent| turns(&status.phase) && *silent > limit);
            handler_row(status, silent.map(no_sign_of_life), None)
        });
        self.and(rows.collect())
    }

    /// The same for handlers, for [`ready`].
    pub(super) fn and_ready(self, statuses: &[(CatchUpStatus, Option<Lag>)], max_lag: Option<u64>) -> Self {
        let rows = statuses
            .iter()
            .map(|(status, lag)| handler_row(status, trouble(&status.phase, *lag, max_lag), *lag));
        self.and(rows.collect())
    }
}

/// Whether every loop still turns: `beat` says how long ago it last did, `None` if it never had to.
pub(super) fn live(
    statuses: &[ProjectionStatus],
    beat: impl Fn(&ProjectionStatus) -> Option<Duration>,
    limit: Duration,
) -> Health {
    Health::of(
        statuses
            .iter()
            .map(|status| {
                let silent = beat(status).filter(|silent| turns(&status.phase) && *silent > limit);
                row(status, silent.map(no_sign_of_life), None)
            })
            .collect(),
    )
}

/// Whether every projection does its work. Idle and caught up is well; so is standing by, paused by a person, and
/// behind, unless `max_lag` says how far.
pub(super) fn ready(statuses: &[(ProjectionStatus, Option<Lag>)], max_lag: Option<u64>) -> Health {
    Health::of(
        statuses
            .iter()
            .map(|(status, lag)| row(status, trouble(&status.phase, *lag, max_lag), *lag))
            .collect(),
    )
}

/// What waits for another instance, or has ended for a stated reason, has no loop to turn.
fn turns(phase: &Phase) -> bool {
    matches!(phase, Phase::CatchingUp | Phase::Live | Phase::RetryingEvent)
}

fn no_sign_of_life(silent: Duration) -> String {
    format!("no sign of life for {} s", silent.as_secs())
}

fn trouble(phase: &Phase, lag: Option<Lag>, max_lag: Option<u64>) -> Option<String> {
    let behind =
        lag.and_then(|lag| lag.lag_seconds).filter(|seconds| max_lag.is_some_and(|limit| *seconds > limit));
    match phase {
        Phase::Starting => Some("it is being started".to_owned()),
        Phase::Stopped => Some("it has stopped".to_owned()),
        Phase::Stalled { reason } | Phase::Faulted { reason } => Some(reason.clone()),
        _ => behind.map(|seconds| format!("it is {seconds} s behind")),
    }
}

fn handler_row(status: &CatchUpStatus, reason: Option<String>, lag: Option<Lag>) -> HandlerRow {
    HandlerRow {
        name: status.group.to_string(),
        phase: status.phase.as_str(),
        ok: reason.is_none(),
        reason,
        position: status.position,
        attempts: status.attempts,
        lag,
    }
}

fn row(status: &ProjectionStatus, reason: Option<String>, lag: Option<Lag>) -> Row {
    Row {
        name: status.name.to_string(),
        partition: status.partition,
        phase: status.phase.as_str(),
        ok: reason.is_none(),
        reason,
        lag,
    }
}

#[cfg(test)]
mod tests {
    use highwater::ProjectionName;

    use super::*;

    fn status(phase: Phase) -> ProjectionStatus {
        let name = ProjectionName::new("orders").unwrap();
        let cell = highwater_runtime::projection::StatusCell::new(
            highwater_core::model::ProjectionPart::new(name, 0),
        );
        ProjectionStatus { phase, ..cell.get() }
    }

    fn behind(seconds: u64) -> Option<Lag> {
        Some(Lag { lag_seconds: Some(seconds), ..Lag::default() })
    }

    #[test]
    fn e_25_idle_standing_by_paused_and_behind_are_well_and_trouble_is_not() {
        for phase in [Phase::Live, Phase::CatchingUp, Phase::StandingBy, Phase::Paused, Phase::RetryingEvent]
        {
            assert!(ready(&[(status(phase.clone()), behind(1_000_000))], None).ok, "{phase:?}");
        }
        let reason = || "the disk is full".to_owned();
        for phase in
            [Phase::Starting, Phase::Stalled { reason: reason() }, Phase::Faulted { reason: reason() }]
        {
            let health = ready(&[(status(Phase::Live), None), (status(phase.clone()), None)], None);
            assert!(!health.ok, "{phase:?}");
            assert!(health.projections[0].reason.is_none() && health.projections[1].reason.is_some());
        }
    }

    #[test]
    fn b_9_a_handler_in_trouble_is_not_well_and_says_why() {
        let handler = |phase| CatchUpStatus {
            phase,
            ..highwater_runtime::catch_up::CatchUpStatusCell::new("mails").get()
        };
        let health = |phase| ready(&[], None).and_ready(&[(handler(phase), behind(31))], Some(31));
        for phase in [Phase::Live, Phase::CatchingUp, Phase::StandingBy, Phase::Paused, Phase::RetryingEvent]
        {
            assert!(health(phase.clone()).ok, "{phase:?}");
        }
        let stalled = health(Phase::Stalled { reason: "the receiver is away".to_owned() });
        assert!(!stalled.ok && stalled.handlers[0].reason.as_deref() == Some("the receiver is away"));
        assert!(!ready(&[], None).and_ready(&[(handler(Phase::Live), behind(32))], Some(31)).ok);
        let limit = Duration::from_secs(60);
        let long_ago = |_: &CatchUpStatus| Some(Duration::from_secs(61));
        let nobody = || live(&[], |_| None, limit);
        assert!(!nobody().and_live(&[handler(Phase::Live)], long_ago, limit).ok);
        assert!(nobody().and_live(&[handler(Phase::StandingBy)], long_ago, limit).ok);
    }

    #[test]
    fn e_25_a_limit_of_lag_counts_only_when_it_is_asked_for() {
        assert!(ready(&[(status(Phase::CatchingUp), behind(31))], Some(31)).ok);
        assert!(!ready(&[(status(Phase::CatchingUp), behind(32))], Some(31)).ok);
        assert!(ready(&[(status(Phase::CatchingUp), None)], Some(31)).ok, "the log cannot tell");
    }

    #[test]
    fn e_25_a_loop_that_no_longer_beats_is_dead_and_one_that_has_none_is_not() {
        let limit = Duration::from_secs(60);
        let long_ago = |_: &ProjectionStatus| Some(Duration::from_secs(61));
        assert!(!live(&[status(Phase::Live)], long_ago, limit).ok);
        assert!(live(&[status(Phase::StandingBy)], long_ago, limit).ok);
        assert!(live(&[status(Phase::Live)], |_| Some(limit), limit).ok);
    }
}

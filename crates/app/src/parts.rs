//! A projection that is running, in its partitions: what they are doing, and what became of them, taken together.

use std::sync::Arc;

use highwater_core::model::{ProjectionName, ProjectionPart};
use highwater_runtime::projection::{Phase, ProjectionStatus, RunEnd, StatusCell};
use highwater_runtime::supervise::Supervisor;
use tokio_util::sync::CancellationToken;

use crate::plan::AnyRunner;
use crate::report::Outcome;

/// A projection that is running. One that is not divided is one partition.
pub(crate) struct Running {
    pub(crate) name: ProjectionName,
    pub(crate) runner: Arc<dyn AnyRunner>,
    pub(crate) parts: Vec<Part>,
}

/// One of its partitions.
pub(crate) struct Part {
    pub(crate) status: StatusCell,
    stop: CancellationToken,
    pub(crate) ended: Option<RunEnd>,
}

impl Running {
    /// Starts the runners of all partitions.
    pub(crate) fn launch(
        supervisor: &mut Supervisor,
        name: ProjectionName,
        runner: Arc<dyn AnyRunner>,
        cells: Vec<StatusCell>,
    ) -> Self {
        let parts = cells.into_iter().map(|status| {
            let partition = status.get().partition;
            let (part, runs) = (ProjectionPart::new(name.clone(), partition), runner.clone());
            let stop = supervisor.start(part, status.clone(), move |stop| runs.run(partition, stop));
            Part { status, stop, ended: None }
        });
        let parts = parts.collect();
        Self { name, runner, parts }
    }

    /// Starts them again.
    pub(crate) fn launch_again(&mut self, supervisor: &mut Supervisor) {
        let cells = self.parts.drain(..).map(|part| part.status).collect();
        *self = Self::launch(supervisor, self.name.clone(), self.runner.clone(), cells);
    }

    pub(crate) fn stop(&self) {
        self.parts.iter().for_each(|part| part.stop.cancel());
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.parts.iter().all(|part| part.ended.is_some())
    }

    pub(crate) fn cells(&self) -> Vec<StatusCell> {
        self.parts.iter().map(|part| part.status.clone()).collect()
    }

    pub(crate) fn status(&self) -> ProjectionStatus {
        whole(self.parts.iter().map(|part| part.status.get()))
    }
}

/// What a projection is doing in this instance: the phase that most needs attention among its partitions, counters
/// summed up, and settled is what all partitions have settled that this instance owns.
pub(crate) fn whole(parts: impl IntoIterator<Item = ProjectionStatus>) -> ProjectionStatus {
    let mut parts = parts.into_iter();
    let mut sum = parts.next().expect("a projection has at least one partition");
    for part in parts {
        sum.scanned = match (owns(&sum), owns(&part)) {
            (true, true) => sum.scanned.min(part.scanned),
            (false, true) => part.scanned,
            (_, false) => sum.scanned,
        };
        sum.replays_done = match (owns(&sum), owns(&part)) {
            (true, true) => sum.replays_done && part.replays_done,
            (false, true) => part.replays_done,
            (_, false) => sum.replays_done,
        };
        sum.epoch = sum.epoch.max(part.epoch);
        if attention(&part.phase) > attention(&sum.phase) {
            sum.phase = part.phase;
        }
        sum.applied += part.applied;
        sum.failed += part.failed;
        sum.recovered += part.recovered;
        sum.duplicates += part.duplicates;
        sum.batches += part.batches;
        sum.whole_batch_only += part.whole_batch_only;
        sum.last_error = sum.last_error.or(part.last_error);
    }
    sum
}

/// Whether this instance owns, or owned to the end, what the status is of.
fn owns(status: &ProjectionStatus) -> bool {
    status.epoch > 0
}

fn attention(phase: &Phase) -> u8 {
    match phase {
        Phase::Faulted { .. } => 8,
        Phase::Stalled { .. } => 7,
        Phase::Paused => 6,
        Phase::RetryingEvent => 5,
        Phase::Starting => 4,
        Phase::CatchingUp => 3,
        Phase::Live => 2,
        Phase::StandingBy => 1,
        Phase::Stopped => 0,
    }
}

/// How a projection's run ended: as the partition of which least can be said. One that another instance had is
/// not known to have caught up.
pub(crate) fn worst(outcomes: impl IntoIterator<Item = Outcome>) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::CaughtUp => 0,
        Outcome::Busy => 1,
        Outcome::Stopped => 2,
        Outcome::Paused => 3,
        Outcome::Stalled(_) => 4,
        Outcome::Faulted(_) => 5,
    };
    outcomes.into_iter().max_by_key(rank).expect("a projection has at least one partition")
}

#[cfg(test)]
mod tests {
    use highwater_core::model::Position;

    use super::*;

    fn status(partition: u32, phase: Phase, scanned: Option<u64>, epoch: u64) -> ProjectionStatus {
        let part = ProjectionPart::new(ProjectionName::new("p").unwrap(), partition);
        let mut status = StatusCell::new(part).get();
        (status.phase, status.epoch, status.applied) = (phase, epoch, 10);
        status.scanned = scanned.map(|at| Position::new(at, 0));
        status
    }

    #[test]
    fn e_13_what_all_own_partitions_have_settled_is_settled() {
        let at = |n| Some(Position::new(n, 0));
        let live = |partition, scanned| status(partition, Phase::Live, scanned, 1);
        assert_eq!(whole([live(0, Some(9)), live(1, Some(4)), live(2, Some(7))]).scanned, at(4));
        assert_eq!(whole([live(0, Some(9)), live(1, None)]).scanned, None);
        let elsewhere = |partition| status(partition, Phase::StandingBy, None, 0);
        let mixed = whole([elsewhere(0), live(1, Some(4)), elsewhere(2), live(3, Some(8))]);
        assert_eq!((mixed.scanned, mixed.phase, mixed.applied), (at(4), Phase::Live, 40));
        assert_eq!(whole([elsewhere(0), elsewhere(1)]).phase, Phase::StandingBy);
        let stalled = Phase::Stalled { reason: "no disk".to_owned() };
        assert_eq!(whole([live(0, None), status(1, stalled.clone(), None, 1)]).phase, stalled);
    }

    #[test]
    fn x_3_a_partition_of_another_instance_is_not_known_to_have_caught_up() {
        assert_eq!(worst([Outcome::CaughtUp, Outcome::Busy, Outcome::CaughtUp]), Outcome::Busy);
        assert_eq!(worst([Outcome::CaughtUp, Outcome::CaughtUp]), Outcome::CaughtUp);
        assert_eq!(
            worst([Outcome::Faulted("x".into()), Outcome::Stopped, Outcome::Busy]),
            Outcome::Faulted("x".into())
        );
    }
}

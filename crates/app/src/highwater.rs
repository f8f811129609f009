//! A running Highwater: look at it, wait for it, stop it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::{Position, ProjectionPart};
use highwater_core::ports::{EventLog, Moment, ProjectionControl, ReadModelStore};
use highwater_core::{Error, ErrorKind};
use highwater_runtime::Environment;
use highwater_runtime::catch_up::{CatchUpHandle, CatchUpStatus, CatchUpStatusCell};
use highwater_runtime::persistence::Persistence;
use highwater_runtime::projection::{
    Phase, ProjectionStatus, RewindTo, Rewound, RunEnd, Spreading, StatusCell,
};
use highwater_runtime::supervise::{Finished, Supervisor};

use crate::handlers::{CheckpointControl, RunningHandlers, all_done as all_handlers_done};
use crate::parts::{Running, whole, worst};
use crate::plan::{OnStore, Planned};
use crate::report::{Outcome, PartitionReport, ProjectionReport, Report};
use crate::stage::Close;
use crate::wait::{Waited, wait_for};

/// How often the state row of a projection that is being started is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Projections and handlers that are running. Dropping it stops them at once: running batches roll back, and events
/// that are being handled are handled again at the next start.
pub struct Highwater {
    environment: Environment,
    log: Arc<dyn EventLog>,
    control: Arc<dyn ProjectionControl>,
    supervisor: Supervisor,
    runners: Vec<Running>,
    pub(crate) handlers: RunningHandlers,
    started: Moment,
    close: Option<Close>,
}

/// A view of what each projection and each handler is doing.
#[derive(Debug, Clone)]
pub struct StatusWatch {
    projections: Vec<Vec<StatusCell>>,
    handlers: Vec<CatchUpStatusCell>,
}

impl StatusWatch {
    /// What each projection is doing now, its partitions in this instance taken together.
    #[must_use]
    pub fn get(&self) -> Vec<ProjectionStatus> {
        self.projections.iter().map(|cells| whole(cells.iter().map(StatusCell::get))).collect()
    }

    /// What each partition of each projection is doing now.
    #[must_use]
    pub fn partitions(&self) -> Vec<ProjectionStatus> {
        self.cells().map(StatusCell::get).collect()
    }

    fn cells(&self) -> impl Iterator<Item = &StatusCell> {
        self.projections.iter().flatten()
    }

    /// What each handler is doing now.
    #[must_use]
    pub fn handlers(&self) -> Vec<CatchUpStatus> {
        self.handlers.iter().map(CatchUpStatusCell::get).collect()
    }
}

impl Highwater {
    pub(crate) fn start<S: ReadModelStore>(
        environment: Environment,
        log: Arc<dyn EventLog>,
        control: Arc<dyn ProjectionControl>,
        open_store: Arc<dyn Fn() -> S + Send + Sync>,
        planned: Vec<Planned<S::Tx>>,
        close: Option<Close>,
    ) -> Self {
        let started = environment.clock.now();
        let mut supervisor = Supervisor::new(environment.clone());
        let runners = planned
            .into_iter()
            .map(|planned| {
                let name = planned.definition.name.clone();
                let partitions = planned.definition.partitions();
                let part = |partition| ProjectionPart::new(name.clone(), partition);
                let status: Vec<_> = (0..partitions).map(|n| StatusCell::new(part(n))).collect();
                let mut environment = environment.clone();
                if planned.definition.settings.message_patterns {
                    environment.classifier = environment.classifier.with_patterns();
                }
                let spreading = (partitions > 1)
                    .then(|| Spreading::new(open_store(), name.clone(), partitions, environment.clone()));
                let runner = Arc::new(OnStore {
                    store: Arc::new(open_store()),
                    open_store: open_store.clone(),
                    log: log.clone(),
                    definition: Arc::new(planned.definition),
                    environment,
                    options: planned.options,
                    status: status.clone(),
                    spreading,
                });
                Running::launch(&mut supervisor, name, runner, status)
            })
            .collect();
        let handlers = RunningHandlers::default();
        Self { environment, log, control, supervisor, runners, handlers, started, close }
    }

    /// What each projection is doing, its partitions in this instance taken together.
    #[must_use]
    pub fn status(&self) -> Vec<ProjectionStatus> {
        self.runners.iter().map(Running::status).collect()
    }

    /// What each projection and handler is doing, also while the run itself is being awaited.
    #[must_use]
    pub fn watch(&self) -> StatusWatch {
        StatusWatch {
            projections: self.runners.iter().map(Running::cells).collect(),
            handlers: self.handlers.cells(),
        }
    }

    /// What each handler is doing.
    #[must_use]
    pub fn handlers(&self) -> Vec<CatchUpStatus> {
        self.handlers.status()
    }

    /// A handler by name: its status, its pause switch, its end.
    #[must_use]
    pub fn handler(&self, name: &str) -> Option<&CatchUpHandle> {
        self.handlers.get(name)
    }

    /// The worker that writes the checkpoints of all handlers: its figures, its circuit breaker, a flush at once.
    /// `None` where there are no handlers.
    #[must_use]
    pub fn checkpoint_worker(&self) -> Option<&Persistence> {
        self.handlers.worker()
    }

    /// The checkpoints of all handlers: how their worker does, and to have them written now; also while the run itself
    /// is being awaited. `None` where there are no handlers.
    #[must_use]
    pub fn checkpoint_control(&self) -> Option<CheckpointControl> {
        self.handlers.control().cloned()
    }

    /// The event log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// The operator's side: states, failed events, dead letters.
    #[must_use]
    pub fn control(&self) -> &Arc<dyn ProjectionControl> {
        &self.control
    }

    /// Waits until a projection has settled `position`: read your own writes. Dropping the future stops waiting.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, or why the store cannot be asked.
    pub async fn wait_for(&self, name: &str, position: Position, timeout: Duration) -> Result<Waited, Error> {
        let running = self.running(name)?;
        let clock = &*self.environment.clock;
        let deadline = clock.now() + timeout;
        // The state row is written by the runner's start: until then there is nothing to look at.
        loop {
            match running.status().phase {
                Phase::Faulted { reason } => return Ok(Waited::Faulted(reason)),
                Phase::Starting | Phase::StandingBy if clock.now() < deadline => {}
                _ => break,
            }
            if self.control.states().await?.iter().any(|state| state.key.name == running.name) {
                break;
            }
            clock.sleep(LOOK_EVERY).await;
        }
        let left = deadline.since(clock.now());
        wait_for(&*self.control, clock, &running.name, position, left).await
    }

    /// Waits until a projection has settled everything that the log holds now.
    ///
    /// # Errors
    /// As [`Highwater::wait_for`], or why the log cannot be asked.
    pub async fn wait_for_head(&self, name: &str, timeout: Duration) -> Result<Waited, Error> {
        match self.log.head().await? {
            Some(head) => self.wait_for(name, head, timeout).await,
            None => self.running(name).map(|_| Waited::Reached),
        }
    }

    /// Pauses a projection, in all processes, until it is resumed. No batch commits after this returned.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, or why the store cannot be asked.
    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        let running = self.running(name)?;
        self.control.set_paused(&running.name, true).await.map(|_changed| ())
    }

    /// Lets a paused projection go on.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, or why the store cannot be asked.
    pub async fn resume(&self, name: &str) -> Result<(), Error> {
        let running = self.running(name)?;
        self.control.set_paused(&running.name, false).await.map(|_changed| ())
    }

    /// Stops a projection, empties its read model, and starts it again from the beginning (E-24). It is started
    /// again even if it could not be emptied; nothing has changed then.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, `Busy` if another instance owns it, or why it could not be emptied.
    pub async fn rebuild(&mut self, name: &str) -> Result<u64, Error> {
        let at = self.stop_one(name).await?;
        let rebuilt = self.runners[at].runner.rebuild().await;
        self.launch_again(at);
        rebuilt.map(|state| state.generation)
    }

    /// Stops a projection, sets it back to `to` (`None` = before the first event) with its read model as it is, and
    /// starts it again: what stands behind `to` is applied a second time. For a read model that bears that, or that
    /// was restored to that position as well, and for a log that was restored from an older backup (E-7). It is
    /// started again even if it could not be set back; nothing has changed then.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, `Busy` if another instance owns it, `Invalid` for a position that it or the
    /// log has not reached, or why log or store cannot be asked.
    pub async fn rewind(&mut self, name: &str, to: Option<Position>) -> Result<Rewound, Error> {
        let at = self.stop_one(name).await?;
        let to = RewindTo { position: to, dry_run: false };
        let rewound = self.runners[at].runner.rewind(&*self.control, to).await;
        self.launch_again(at);
        rewound
    }

    /// Stops a projection and waits for its end; where it stands among the runners.
    async fn stop_one(&mut self, name: &str) -> Result<usize, Error> {
        self.running(name)?;
        let at = self.runners.iter().position(|running| running.name.as_str() == name).unwrap_or_default();
        self.runners[at].stop();
        while !self.runners[at].has_ended() {
            match self.supervisor.finished().await {
                Some(finished) => self.note(finished),
                None => break,
            }
        }
        Ok(at)
    }

    fn launch_again(&mut self, at: usize) {
        self.runners[at].launch_again(&mut self.supervisor);
    }

    /// Runs until `stop` is ready or every projection and handler has ended; then lets running batches and calls
    /// finish, commits, writes the checkpoints, and says what was done.
    pub async fn run_until(mut self, stop: impl Future<Output = ()> + Send) -> Report {
        self.until(stop).await;
        self.stop_all(|_, _| Outcome::Stopped, None).await
    }

    /// Runs until every projection and handler has settled what the log holds now, is paused, faulted, or another
    /// instance has it; or until `stop` is ready.
    ///
    /// # Errors
    /// Why the log cannot be asked for its head.
    pub async fn run_until_caught_up(
        mut self,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Report, Error> {
        let head = self.log.head().await?;
        let watch = self.watch();
        let handlers = all_handlers_done(
            watch.handlers.clone(),
            head,
            self.handlers.lease(),
            self.environment.clock.clone(),
        );
        let caught_up = async { tokio::join!(all_done(watch, head), handlers) };
        tokio::select! {
            () = self.until(stop) => {}
            ((), ()) = caught_up => {}
        }
        let outcome = |before: &ProjectionStatus, after: &ProjectionStatus| match &before.phase {
            Phase::StandingBy => Outcome::Busy,
            Phase::Paused => Outcome::Paused,
            _ if head.is_none_or(|head| after.scanned.is_some_and(|at| at >= head)) => Outcome::CaughtUp,
            Phase::Stalled { reason } => Outcome::Stalled(reason.clone()),
            _ => Outcome::Stopped,
        };
        Ok(self.stop_all(outcome, Some(head)).await)
    }

    async fn until(&mut self, stop: impl Future<Output = ()> + Send) {
        let handlers = self.handlers.ended();
        let ended = async {
            while let Some(finished) = self.supervisor.finished().await {
                self.note(finished);
            }
            handlers.await;
        };
        tokio::select! {
            biased;
            () = stop => {}
            () = ended => {}
        }
    }

    /// `outcome` says of a partition that has not faulted how it ended, by what it did before it was asked to stop
    /// and when it had; `until` is what the handlers were to settle, where they were to end then.
    async fn stop_all(
        mut self,
        outcome: impl Fn(&ProjectionStatus, &ProjectionStatus) -> Outcome,
        until: Option<Option<Position>>,
    ) -> Report {
        let (before, handlers_before) = (self.watch().partitions(), self.handlers.status());
        self.supervisor.stop();
        self.handlers.request_stop();
        while let Some(finished) = self.supervisor.finished().await {
            self.note(finished);
        }
        let handlers = std::mem::take(&mut self.handlers).stop(&handlers_before, until).await;
        if let Some(close) = self.close.take() {
            close().await;
        }
        let took = self.environment.clock.now().since(self.started);
        let mut before = before.iter();
        let projections = self
            .runners
            .into_iter()
            .map(|running| {
                let status = running.status();
                let parts = running.parts.into_iter().zip(&mut before).map(|(part, before)| {
                    let after = part.status.get();
                    PartitionReport {
                        partition: after.partition,
                        outcome: match part.ended {
                            Some(RunEnd::Faulted { reason }) => Outcome::Faulted(reason),
                            Some(RunEnd::Stopped) | None => outcome(before, &after),
                        },
                        applied: after.applied,
                        failed: after.failed,
                        scanned: after.scanned,
                    }
                });
                let partitions: Vec<_> = parts.collect();
                ProjectionReport {
                    name: running.name,
                    outcome: worst(partitions.iter().map(|part| part.outcome.clone())),
                    applied: status.applied,
                    failed: status.failed,
                    recovered: status.recovered,
                    duplicates: status.duplicates,
                    batches: status.batches,
                    scanned: status.scanned,
                    took,
                    partitions: if partitions.len() > 1 { partitions } else { Vec::new() },
                }
            })
            .collect();
        Report { projections, handlers }
    }

    fn note(&mut self, finished: Finished) {
        let Finished { part, end } = finished;
        let found = self.runners.iter_mut().find(|running| running.name == part.name);
        let of_it = found.into_iter().flat_map(|running| &mut running.parts);
        for it in of_it.filter(|it| it.status.get().partition == part.partition) {
            it.ended = Some(end.clone());
        }
    }

    fn running(&self, name: &str) -> Result<&Running, Error> {
        self.runners.iter().find(|running| running.name.as_str() == name).ok_or_else(|| {
            let known: Vec<_> = self.runners.iter().map(|running| running.name.as_str()).collect();
            Error::new(ErrorKind::NotFound, "find a projection")
                .with("name", name)
                .with("running", known.join(", "))
        })
    }
}

/// Ends when no projection has anything more to do for a catch-up to `head`.
async fn all_done(watch: StatusWatch, head: Option<Position>) {
    // One that is done may have more to do a moment later: a stand-by that takes over.
    while !watch.partitions().iter().all(|status| is_done(status, head)) {
        for cell in watch.cells() {
            if cell.subscribe().wait_for(|status| is_done(status, head)).await.is_err() {
                // Its runner is gone, and says nothing more.
                return;
            }
        }
    }
}

/// Whether a catch-up to `head` has nothing more to wait for from this partition.
fn is_done(status: &ProjectionStatus, head: Option<Position>) -> bool {
    match status.phase {
        Phase::Paused | Phase::StandingBy | Phase::Faulted { .. } | Phase::Stopped => true,
        Phase::Starting => false,
        Phase::CatchingUp | Phase::Live | Phase::RetryingEvent | Phase::Stalled { .. } => {
            status.epoch > 0
                && status.replays_done
                && head.is_none_or(|head| status.scanned.is_some_and(|at| at >= head))
        }
    }
}

impl fmt::Debug for Highwater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Highwater")
            .field("status", &self.status())
            .field("handlers", &self.handlers())
            .finish_non_exhaustive()
    }
}

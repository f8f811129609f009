//! Handlers that are running.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use highwater_core::Error;
use highwater_core::model::Position;
use highwater_core::ports::{Clock, EventLog};
use highwater_runtime::Environment;
use highwater_runtime::catch_up::{
    CatchUpHandle, CatchUpRunner, CatchUpRunners, CatchUpStatus, CatchUpStatusCell, CheckpointBoard,
};
use highwater_runtime::persistence::Persistence;
use highwater_runtime::projection::Phase;

use super::control::CheckpointControl;
use super::plan::{HandlerPlan, PlannedHandler};
use super::report::HandlerReport;
use super::stores::HandlerStores;
use crate::stage::Close;

/// Handlers that are running, with the one worker that writes their checkpoints. Dropping it drops them.
#[derive(Default)]
pub(crate) struct RunningHandlers {
    handles: Vec<CatchUpHandle>,
    /// Owns their tasks.
    _runners: CatchUpRunners,
    worker: Option<Persistence>,
    control: Option<CheckpointControl>,
    lease: Duration,
    close: Vec<Close>,
}

impl RunningHandlers {
    /// Starts them; a plan without handlers needs no worker, and starts none.
    pub(crate) fn start(
        plan: HandlerPlan,
        stores: HandlerStores,
        log: &Arc<dyn EventLog>,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let board = CheckpointBoard::start(stores.checkpoints, owner_name(), plan.lease, environment);
        let target = Arc::new(board.clone());
        let (settings, observer) = (plan.persistence, plan.persistence_observer);
        let worker = Persistence::start(stores.shown, target, settings, environment, observer)?;
        let writer = Arc::new(worker.clone());
        let (runners, lease) = (CatchUpRunners::new(), plan.lease);
        let (mut handles, mut close) = (Vec::new(), Vec::new());
        for PlannedHandler { name, handler, options, close: closes } in plan.planned {
            let mut environment = environment.clone();
            if options.settings.message_patterns {
                environment.classifier = environment.classifier.with_patterns();
            }
            let mut runner = CatchUpRunner::new(
                name,
                log.clone(),
                handler,
                board.clone(),
                writer.clone(),
                options.settings,
                environment,
            );
            runner.filter = options.filter;
            runner.dead_letters = stores.dead_letters.clone();
            runner.observer = plan.observer.clone();
            runner.trust_checkpoint = options.trust;
            handles.push(runners.start(runner)?);
            close.extend(closes);
        }
        let cells = handles.iter().map(|handle: &CatchUpHandle| handle.cell().clone()).collect();
        let control = CheckpointControl::new(worker.clone(), board, cells, environment.clock.clone());
        Ok(Self { handles, _runners: runners, worker: Some(worker), control: Some(control), lease, close })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&CatchUpHandle> {
        self.handles.iter().find(|handle| &*handle.runner().group == name)
    }

    pub(crate) fn worker(&self) -> Option<&Persistence> {
        self.worker.as_ref()
    }

    pub(crate) fn control(&self) -> Option<&CheckpointControl> {
        self.control.as_ref()
    }

    /// How long a claim holds without being renewed.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    pub(crate) fn status(&self) -> Vec<CatchUpStatus> {
        self.handles.iter().map(CatchUpHandle::status).collect()
    }

    pub(crate) fn cells(&self) -> Vec<CatchUpStatusCell> {
        self.handles.iter().map(|handle| handle.cell().clone()).collect()
    }

    /// Ends when all of them have ended by themselves.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let handles = self.handles.clone();
        async move {
            join_all(handles.iter().map(CatchUpHandle::end)).await;
        }
    }

    pub(crate) fn request_stop(&self) {
        self.handles.iter().for_each(CatchUpHandle::request_stop);
    }

    /// Waits for their ends, then for their last checkpoints and for what they have open; `before` is what they did
    /// before they were asked to stop.
    pub(crate) async fn stop(
        self,
        before: &[CatchUpStatus],
        until: Option<Option<Position>>,
    ) -> Vec<HandlerReport> {
        let reports = join_all(self.handles.iter().map(CatchUpHandle::stop)).await;
        if let Some(worker) = &self.worker {
            // What it could not write stands in the handlers' own reports, and its observer has heard it.
            worker.shutdown().await;
        }
        join_all(self.close.into_iter().map(|close| close())).await;
        let reports = reports.iter().zip(before);
        reports.map(|(report, before)| HandlerReport::new(report, before, until)).collect()
    }
}

/// How long after the end of a lease a stand-by may take to claim.
const TO_CLAIM: Duration = Duration::from_secs(2);

/// Ends when none of them has anything more to do for a catch-up to `head`.
///
/// One that stands by is waited for until the lease of an owner that has died would have run out: so a run behind a
/// crash goes on where that one was cut off, and does not take the dead for living.
pub(crate) async fn all_done(
    cells: Vec<CatchUpStatusCell>,
    head: Option<Position>,
    lease: Duration,
    clock: Arc<dyn Clock>,
) {
    tokio::select! {
        biased;
        () = done(&cells, head, false) => return,
        () = clock.sleep(lease + TO_CLAIM) => {}
    }
    done(&cells, head, true).await;
}

async fn done(cells: &[CatchUpStatusCell], head: Option<Position>, others_live: bool) {
    // One that is done may have more to do a moment later: a stand-by that takes over.
    while !cells.iter().all(|cell| is_done(&cell.get(), head, others_live)) {
        for cell in cells {
            if cell.subscribe().wait_for(|status| is_done(status, head, others_live)).await.is_err() {
                // Its runner is gone, and says nothing more.
                return;
            }
        }
    }
}

fn is_done(status: &CatchUpStatus, head: Option<Position>, others_live: bool) -> bool {
    match status.phase {
        Phase::Paused | Phase::Faulted { .. } | Phase::Stopped => true,
        Phase::StandingBy => others_live,
        Phase::Starting => false,
        Phase::CatchingUp | Phase::Live | Phase::RetryingEvent | Phase::Stalled { .. } => {
            status.epoch > 0 && status.position >= head
        }
    }
}

/// As whom this start of this process claims: for people, and unlike any other.
fn owner_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .map_or_else(|| "an unnamed host".to_owned(), |host| host.trim().replace('\0', "?"));
    let run = uuid::Uuid::new_v4().simple().to_string();
    format!("process {} on {host} ({})", std::process::id(), &run[..8])
}

//! The groups of a process: started, asked about and stopped by name.
//!
//! Each runs in a task of its own. One that panics outside of its handler is started again behind its
//! checkpoint, with a backoff: a task's end never goes unnoticed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, join_all};
use highwater_core::policy::Backoff;
use highwater_core::ports::{HandlerSeen, Moment};
use highwater_core::{Error, ErrorKind, Retry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::life::run;
use super::report::{CatchUpEnd, CatchUpReport};
use super::runner::CatchUpRunner;
use super::status::{CatchUpStatus, CatchUpStatusCell};
use crate::projection::Phase;

/// A runner that panicked is started again after at least this long.
const RESTART: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };

/// The groups that run in this process. Dropping it drops them, as [`run`] says.
#[derive(Default)]
pub struct CatchUpRunners {
    running: Mutex<BTreeMap<Arc<str>, CatchUpHandle>>,
}

/// A group that was started.
#[derive(Clone)]
pub struct CatchUpHandle {
    runner: CatchUpRunner,
    stop: CancellationToken,
    end: Shared<BoxFuture<'static, Arc<CatchUpReport>>>,
    _task: Arc<Aborting>,
}

struct Aborting(tokio::task::AbortHandle);

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl CatchUpRunners {
    /// Nothing runs yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a group.
    ///
    /// # Errors
    /// `Busy` when it runs already (observers hear of it), `Invalid` for settings that are not.
    pub fn start(&self, runner: CatchUpRunner) -> Result<CatchUpHandle, Error> {
        runner.validate()?;
        let mut running = self.lock();
        if running.get(&runner.group).is_some_and(|handle| !handle.has_ended()) {
            runner.seen(&HandlerSeen::AlreadyRunning);
            let busy = Error::new(ErrorKind::Busy, "start a group that is running already: stop it first");
            return Err(busy.with("group", &runner.group).retry(Retry::Never));
        }
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep_running(runner.clone(), stop.clone()));
        let aborting = Arc::new(Aborting(task.abort_handle()));
        let end = report_of(task, runner.clone()).boxed().shared();
        let handle = CatchUpHandle { stop, end, _task: aborting, runner: runner.clone() };
        running.insert(runner.group.clone(), handle.clone());
        Ok(handle)
    }

    /// The handle of a group that was started, whether or not it has ended since.
    #[must_use]
    pub fn get(&self, group: &str) -> Option<CatchUpHandle> {
        self.lock().get(group).cloned()
    }

    /// Whether the group runs.
    #[must_use]
    pub fn is_running(&self, group: &str) -> bool {
        self.get(group).is_some_and(|handle| !handle.has_ended())
    }

    /// What each group is doing, by name.
    #[must_use]
    pub fn statuses(&self) -> Vec<CatchUpStatus> {
        self.lock().values().map(CatchUpHandle::status).collect()
    }

    /// Stops a group and waits for its end; stopping one that has ended answers its report again, and for one
    /// that was never started there is none. Dropping the future leaves the stop requested.
    pub async fn stop(&self, group: &str) -> Option<Arc<CatchUpReport>> {
        let handle = self.get(group)?;
        Some(handle.stop().await)
    }

    /// Stops all groups and waits for their ends.
    pub async fn stop_all(&self) -> Vec<Arc<CatchUpReport>> {
        let handles: Vec<CatchUpHandle> = self.lock().values().cloned().collect();
        join_all(handles.iter().map(CatchUpHandle::stop)).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, CatchUpHandle>> {
        // Nothing foreign runs under the lock, so a poisoned one is as good as new.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CatchUpHandle {
    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> CatchUpStatus {
        self.runner.status.get()
    }

    /// Its status to follow, and its pause switch.
    #[must_use]
    pub fn cell(&self) -> &CatchUpStatusCell {
        &self.runner.status
    }

    /// What it runs on.
    #[must_use]
    pub fn runner(&self) -> &CatchUpRunner {
        &self.runner
    }

    /// Asks it to stop and waits for its end.
    pub async fn stop(&self) -> Arc<CatchUpReport> {
        self.stop.cancel();
        self.end().await
    }

    /// Asks it to stop.
    pub fn request_stop(&self) {
        self.stop.cancel();
    }

    /// Waits for its end.
    pub async fn end(&self) -> Arc<CatchUpReport> {
        self.end.clone().await
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.end.clone().now_or_never().is_some()
    }
}

impl fmt::Debug for CatchUpHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchUpHandle").field("group", &self.runner.group).finish_non_exhaustive()
    }
}

impl fmt::Debug for CatchUpRunners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchUpRunners").field("groups", &self.lock().len()).finish()
    }
}

/// The report of a group; a made one for a task that was aborted.
async fn report_of(task: JoinHandle<CatchUpReport>, runner: CatchUpRunner) -> Arc<CatchUpReport> {
    let begun = runner.environment.clock.now();
    let report = match task.await {
        Ok(report) => report,
        Err(aborted) => faulted(&runner, format!("the runner's task was ended: {aborted}"), begun),
    };
    Arc::new(report)
}

fn faulted(runner: &CatchUpRunner, reason: String, begun: Moment) -> CatchUpReport {
    let status = runner.status.get();
    CatchUpReport {
        group: runner.group.clone(),
        end: CatchUpEnd::Faulted { reason },
        totals: status.totals,
        abandoned: 0,
        position: status.position,
        stored: status.stored,
        duration: runner.environment.clock.now().since(begun),
        unflushed: None,
    }
}

async fn keep_running(runner: CatchUpRunner, stop: CancellationToken) -> CatchUpReport {
    let environment = &runner.environment;
    let begun = environment.clock.now();
    let mut restarts = 0;
    loop {
        let life = std::panic::AssertUnwindSafe(run(runner.clone(), stop.clone()));
        let panic = match life.catch_unwind().await {
            Ok(Ok(report)) => return report,
            Ok(Err(error)) => return faulted(&runner, error.chain(), begun),
            Err(panic) => highwater_core::Failure::panicked(&*panic).message(),
        };
        let reason = format!("the runner's task ended unexpectedly: it {panic}");
        runner.seen(&HandlerSeen::Stalled { reason: &reason });
        runner.status.update(|status| status.last_error = Some(reason.clone()));
        runner.status.phase(Phase::Stalled { reason: reason.clone() });
        let wait = RESTART.delay(restarts, environment.jitter.next_u64());
        restarts = restarts.saturating_add(1);
        tokio::select! {
            biased;
            () = stop.cancelled() => return faulted(&runner, reason, begun),
            () = environment.clock.sleep(wait) => {}
        }
    }
}

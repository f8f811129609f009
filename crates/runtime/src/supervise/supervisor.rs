//! Keeps runners running.

use std::time::Duration;

use futures_util::future::BoxFuture;
use highwater_core::model::{ProjectionName, ProjectionPart};
use highwater_core::policy::Backoff;
use highwater_core::ports::Seen;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::environment::Environment;
use crate::projection::{Phase, RunEnd, StatusCell};

/// A runner that panicked is started again after at least this long.
const RESTART: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(30) };

/// How a runner ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Which runner.
    pub part: ProjectionPart,
    /// How.
    pub end: RunEnd,
}

/// The runners of a process. Dropping it aborts them; running batches roll back.
pub struct Supervisor {
    environment: Environment,
    stop: CancellationToken,
    tasks: JoinSet<Finished>,
}

impl Supervisor {
    /// No runners yet.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self { environment, stop: CancellationToken::new(), tasks: JoinSet::new() }
    }

    /// Starts a runner; whatever its status said of an earlier run, it is starting from now on. `run` is called for
    /// each start: the first, and one after each panic. The answer stops this runner alone.
    pub fn start<F>(
        &mut self,
        part: impl Into<ProjectionPart>,
        status: StatusCell,
        run: F,
    ) -> CancellationToken
    where
        F: Fn(CancellationToken) -> BoxFuture<'static, RunEnd> + Send + 'static,
    {
        let part = part.into();
        status.phase(Phase::Starting);
        let environment = self.environment.clone();
        let stop = self.stop.child_token();
        let token = stop.clone();
        self.tasks.spawn(async move {
            let end = keep_running(&environment, &part.name, &status, &stop, run).await;
            Finished { part, end }
        });
        token
    }

    /// Asks all runners to stop; each finishes its batch. Returns at once.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// The next runner that ends; `None` when all have. Dropping the future loses nothing.
    pub async fn finished(&mut self) -> Option<Finished> {
        loop {
            match self.tasks.join_next().await? {
                Ok(finished) => return Some(finished),
                // Only an abort ends the outer task so, and only dropping the supervisor aborts.
                Err(_aborted) => {}
            }
        }
    }
}

async fn keep_running<F>(
    environment: &Environment,
    name: &ProjectionName,
    status: &StatusCell,
    stop: &CancellationToken,
    run: F,
) -> RunEnd
where
    F: Fn(CancellationToken) -> BoxFuture<'static, RunEnd> + Send + 'static,
{
    let mut restarts = 0;
    loop {
        let task = Aborting(tokio::spawn(run(stop.clone())));
        let panic = match task.end().await {
            Ok(end) => return end,
            Err(panic) => panic,
        };
        let reason = format!("the runner's task ended unexpectedly: {panic}");
        environment.observer.seen(name, &Seen::Stalled { reason: &reason });
        status.update(|status| status.last_error = Some(reason.clone()));
        status.phase(Phase::Stalled { reason });
        let wait = RESTART.delay(restarts, environment.jitter.next_u64());
        restarts = restarts.saturating_add(1);
        tokio::select! {
            biased;
            () = stop.cancelled() => return RunEnd::Stopped,
            () = environment.clock.sleep(wait) => {}
        }
    }
}

/// A task that does not outlive whoever waits for it.
struct Aborting(tokio::task::JoinHandle<RunEnd>);

impl Aborting {
    async fn end(mut self) -> Result<RunEnd, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

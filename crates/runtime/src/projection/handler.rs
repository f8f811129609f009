//! The life of a projection's runner: claim, start, own, leave.

use std::future::Future;

use highwater_core::model::ProjectionState;
use highwater_core::ports::{Locked, ReadModelStore, Seen, UnitOfWork};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::owner::{Left, Owner};
use super::runner::{Runner, is_final};
use super::stand_by::become_owner;
use super::start::start;
use super::status::{Phase, RunEnd};
use super::trouble::Trouble;

/// Runs a projection, or one partition of it, until `stop` is cancelled or it cannot go on.
///
/// A stop lets the running batch finish (for `drain` at most; then it rolls back), and says in the state that the
/// owner stopped in order. Dropping the future rolls the running batch back.
pub fn run<S: ReadModelStore>(
    runner: Runner<S>,
    stop: CancellationToken,
) -> impl Future<Output = RunEnd> + Send {
    async move {
        let Some(spreading) = runner.spreading.clone() else { return live(&runner, &stop).await };
        let span = tracing::info_span!("partition", partition = runner.definition.key().partition);
        let _runs = spreading.enter();
        let life = async {
            tokio::select! {
                biased;
                end = live(&runner, &stop) => end,
                never = spreading.look_around() => match never {},
            }
        };
        life.instrument(span).await
    }
}

fn live<S: ReadModelStore>(
    runner: &Runner<S>,
    stop: &CancellationToken,
) -> impl Future<Output = RunEnd> + Send {
    async move {
        let name = runner.definition.name.clone();
        let observer = runner.environment.observer.clone();
        loop {
            let owned = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                owned = become_owner(runner, stop) => owned,
            };
            let left = match owned {
                Ok(owned) => {
                    let left = own(runner, &owned.stop).await;
                    owned.release();
                    left
                }
                Err(error) => Left::Faulted(error.chain()),
            };
            match left {
                Left::Stopped if stop.is_cancelled() => break,
                // Another instance gets it; what it does from here on is not this one's to tell.
                Left::Stopped => runner.status.update(|status| {
                    status.epoch = 0;
                    status.scanned = None;
                }),
                Left::Lost => observer.seen(&name, &Seen::LostOwnership),
                Left::Faulted(reason) => {
                    observer.seen(&name, &Seen::Faulted { reason: &reason });
                    runner.status.update(|status| status.last_error = Some(reason.clone()));
                    runner.status.phase(Phase::Faulted { reason: reason.clone() });
                    return RunEnd::Faulted { reason };
                }
            }
        }
        observer.seen(&name, &Seen::Stopped);
        runner.status.phase(Phase::Stopped);
        RunEnd::Stopped
    }
}

fn own<S: ReadModelStore>(runner: &Runner<S>, stop: &CancellationToken) -> impl Future<Output = Left> + Send {
    async move {
        let mut attempt = 0;
        let state = loop {
            let started =
                start(&runner.store, &*runner.log, &runner.definition, &runner.environment, runner.options);
            let error = tokio::select! {
                biased;
                () = stop.cancelled() => return Left::Stopped,
                started = started => match started {
                    Ok(state) => break state,
                    Err(error) => error,
                },
            };
            if is_final(&error, &runner.environment) {
                let reason = error.chain();
                leave(runner, None, Some(reason.clone())).await;
                return Left::Faulted(reason);
            }
            let trouble = Trouble { runner, stop };
            if !trouble.wait_out(&error, &mut attempt).await {
                return Left::Stopped;
            }
        };
        let mut owner = Owner::new(runner, stop, state);
        let left = owner.run().await;
        match &left {
            Left::Stopped => leave(runner, Some(owner.state.epoch), None).await,
            Left::Faulted(reason) => leave(runner, Some(owner.state.epoch), Some(reason.clone())).await,
            Left::Lost => {}
        }
        left
    }
}

/// Says in the state that this owner did not die, and why it leaves if it cannot go on. An owner that could not
/// begin has no epoch of its own: it holds the claim, so nobody else moves the state.
fn leave<S: ReadModelStore>(
    runner: &Runner<S>,
    epoch: Option<u64>,
    fault: Option<String>,
) -> impl Future<Output = ()> + Send {
    async move {
        let key = runner.definition.key();
        let said = runner
            .store
            .transact(runner.definition.settings.batch_deadline, move |mut unit| async move {
                match unit.lock(&key).await? {
                    Locked::Acquired(acquired) if epoch.is_none_or(|epoch| acquired.state.epoch == epoch) => {
                        let state = acquired.state;
                        // An owner that could not begin says nothing of how the one before it ended.
                        let stopped_cleanly = epoch.is_some() || state.stopped_cleanly;
                        let next = ProjectionState { stopped_cleanly, fault, ..state.clone() };
                        unit.commit(&state, &next).await
                    }
                    _other => unit.rollback().await,
                }
            })
            .await;
        if let Err(error) = said {
            // The next owner begins with a small batch; nothing else depends on it.
            runner.status.update(|status| status.last_error = Some(error.chain()));
        }
    }
}

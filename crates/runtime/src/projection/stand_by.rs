//! Ownership: one live owner a projection, or a partition of it; the others stand by and take over (E-11).

use std::future::Future;
use std::time::Duration;

use highwater_core::policy::jittered;
use highwater_core::ports::{Claim, ReadModelStore, Seen};
use highwater_core::{Error, Retry};
use tokio_util::sync::CancellationToken;

use super::runner::Runner;
use super::spreading::Seat;
use super::status::Phase;

/// How often a stand-by asks. A file lock is free to ask for, and a takeover is to take less than a second.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// What an owner has.
pub(super) struct Owned<'r, S: ReadModelStore> {
    /// The claim; released when it is dropped.
    lease: S::Lease,
    seat: Option<Seat<'r>>,
    /// Cancelled when the owner is to stop: with the runner, or to give this partition to another instance.
    pub(super) stop: CancellationToken,
}

impl<S: ReadModelStore> Owned<'_, S> {
    /// Gives the claim up.
    pub(super) fn release(self) {
        // The claim first: a seat that is free says that something may be asked for.
        drop(self.lease);
        drop(self.seat);
    }
}

/// Waits until the projection, or the partition, is this instance's. Dropping the future stops waiting.
///
/// # Errors
/// When the store refuses for good; while it is merely away, this waits.
pub(super) fn become_owner<'r, S: ReadModelStore>(
    runner: &'r Runner<S>,
    stop: &CancellationToken,
) -> impl Future<Output = Result<Owned<'r, S>, Error>> + Send {
    let stop = stop.child_token();
    async move {
        let (environment, status) = (&runner.environment, &runner.status);
        let part = runner.definition.key().part();
        let mut told = false;
        let mut stand_by = || {
            status.phase(Phase::StandingBy);
            if !std::mem::replace(&mut told, true) {
                environment.observer.seen(&part.name, &Seen::StandingBy);
            }
        };
        let mut attempt = 0;
        loop {
            let turn = match &runner.spreading {
                Some(spreading) => Some(spreading.turn(&mut stand_by).await),
                None => None,
            };
            match runner.store.claim(&part).await {
                Ok(Claim::Owned(lease)) => {
                    let seat = turn.map(|turn| turn.won(part.partition, stop.clone()));
                    return Ok(Owned { lease, seat, stop });
                }
                Ok(Claim::Busy) => stand_by(),
                Err(error) if error.retryable() == Retry::Never => return Err(error),
                Err(error) => {
                    let seen = Seen::Retrying { error: &error, after: ASK_EVERY, attempt };
                    attempt = attempt.saturating_add(1);
                    environment.observer.seen(&part.name, &seen);
                    let reason = error.chain();
                    status.update(|status| status.last_error = Some(reason.clone()));
                    if !matches!(status.get().phase, Phase::Stalled { .. }) {
                        environment.observer.seen(&part.name, &Seen::Stalled { reason: &reason });
                    }
                    status.phase(Phase::Stalled { reason });
                }
            }
            drop(turn);
            let wait = jittered(ASK_EVERY, environment.jitter.next_u64());
            environment.clock.sleep(wait).await;
        }
    }
}

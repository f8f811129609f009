//! Ownership: one live owner a projection; the others stand by and take over (E-11).

use std::future::Future;
use std::time::Duration;

use highwater_core::model::ProjectionName;
use highwater_core::policy::jittered;
use highwater_core::ports::{Claim, ReadModelStore, Seen};
use highwater_core::{Error, Retry};

use super::status::{Phase, StatusCell};
use crate::environment::Environment;

/// How often a stand-by asks. A file lock is free to ask for, and a takeover is to take less than a second.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Waits until the projection is this instance's. Dropping the future stops waiting.
///
/// # Errors
/// When the store refuses for good; while it is merely away, this waits.
pub(super) fn become_owner<S: ReadModelStore>(
    store: &S,
    name: &ProjectionName,
    environment: &Environment,
    status: &StatusCell,
) -> impl Future<Output = Result<S::Lease, Error>> + Send {
    async move {
        let mut told = false;
        let mut attempt = 0;
        loop {
            match store.claim(name).await {
                Ok(Claim::Owned(lease)) => return Ok(lease),
                Ok(Claim::Busy) => {
                    status.phase(Phase::StandingBy);
                    if !told {
                        environment.observer.seen(name, &Seen::StandingBy);
                        told = true;
                    }
                }
                Err(error) if error.retryable() == Retry::Never => return Err(error),
                Err(error) => {
                    let seen = Seen::Retrying { error: &error, after: ASK_EVERY, attempt };
                    attempt = attempt.saturating_add(1);
                    environment.observer.seen(name, &seen);
                    let reason = error.chain();
                    status.update(|status| status.last_error = Some(reason.clone()));
                    if !matches!(status.get().phase, Phase::Stalled { .. }) {
                        environment.observer.seen(name, &Seen::Stalled { reason: &reason });
                    }
                    status.phase(Phase::Stalled { reason });
                }
            }
            let wait = jittered(ASK_EVERY, environment.jitter.next_u64());
            environment.clock.sleep(wait).await;
        }
    }
}

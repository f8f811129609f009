//! Ownership across processes: one runner a group; the others stand by and claim again (B-8).

use std::time::Duration;

use highwater_core::model::Checkpoint;
use highwater_core::policy::jittered;
use highwater_core::ports::HandlerSeen;
use highwater_core::{Error, ErrorKind};

use super::runner::CatchUpRunner;
use super::seat::{Claimed, Seat};
use crate::projection::Phase;

/// How often a stand-by asks, and at most how late it notices that a group was given back.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A lease that is about to end is not asked for in the same instant.
const SOONEST: Duration = Duration::from_millis(50);

/// The group is this runner's.
pub(super) struct Won {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) checkpoint: Option<Checkpoint>,
}

/// Waits until the group is this runner's. Dropping the future stops waiting.
///
/// # Errors
/// Why it never will be: the checkpoint is lost, or access is denied. A store that is away is waited for.
pub(super) async fn become_owner(runner: &CatchUpRunner, seat: &mut Seat) -> Result<Won, String> {
    let environment = &runner.environment;
    let mut told = false;
    let mut attempt = 0;
    loop {
        let claimed = async {
            may_begin(runner).await?;
            seat.claim().await
        };
        let pause = match claimed.await {
            Ok(Claimed::Won { epoch, generation, checkpoint }) => {
                heal(runner);
                return Ok(Won { epoch, generation, checkpoint });
            }
            Ok(Claimed::Held { owner, remaining }) => {
                heal(runner);
                attempt = 0;
                if !std::mem::replace(&mut told, true) {
                    runner.seen(&HandlerSeen::StandingBy { owner: &owner });
                }
                runner.status.phase(Phase::StandingBy);
                jittered(remaining.clamp(SOONEST, ASK_EVERY), environment.jitter.next_u64())
            }
            Err(error) if runner.is_final(&error) => return Err(error.chain()),
            Err(error) => {
                let after = runner.settings.backoff().delay(attempt, environment.jitter.next_u64());
                attempt = attempt.saturating_add(1);
                wait_out(runner, &error, after, attempt);
                after
            }
        };
        environment.clock.sleep(pause).await;
    }
}

/// Where nobody has said where the group is to begin, the store has to know that it is new (D-9). Asked
/// before the claim, since a claim is something to remember.
async fn may_begin(runner: &CatchUpRunner) -> Result<(), Error> {
    if runner.settings.start_from.is_some() || runner.board.store().remembers().await? {
        return Ok(());
    }
    let what = "begin a group in a checkpoint store that knows of none: it may be new, or have lost them all; say \
                where the group is to begin (start_from)";
    Err(Error::new(ErrorKind::CheckpointLost, what).with("group", &runner.group))
}

/// Says that something failed for a passing reason and is tried again.
pub(super) fn wait_out(runner: &CatchUpRunner, error: &Error, after: Duration, attempt: u32) {
    runner.seen(&HandlerSeen::Retrying { error, after, attempt });
    let reason = error.chain();
    runner.status.update(|status| status.last_error = Some(reason.clone()));
    if attempt > runner.settings.max_retries {
        if !runner.status.is_stalled() {
            runner.seen(&HandlerSeen::Stalled { reason: &reason });
        }
        runner.status.phase(Phase::Stalled { reason });
    }
}

/// Says that what it waited for has healed.
pub(super) fn heal(runner: &CatchUpRunner) {
    if runner.status.is_stalled() {
        runner.seen(&HandlerSeen::Healed);
        runner.status.phase(Phase::Starting);
    }
}

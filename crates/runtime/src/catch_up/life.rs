//! The life of a runner: claim, begin, own, leave, report.

use std::sync::Arc;

use highwater_core::model::{Checkpoint, Position};
use highwater_core::ports::HandlerSeen;
use highwater_core::settings::StartFrom;
use highwater_core::{Error, Retry};
use tokio_util::sync::CancellationToken;

use super::letters::LetterBox;
use super::owner::{Begin, Left, Owner};
use super::report::{CatchUpEnd, CatchUpReport};
use super::runner::CatchUpRunner;
use super::seat::Seat;
use super::stand_by::{Won, become_owner, heal, wait_out};
use crate::projection::Phase;

/// Runs a group until `stop` is cancelled, it has caught up where it is to end then, or it cannot go on.
///
/// A stop begins nothing any more, finishes the calls of the handler that are under way (for `drain` at most;
/// then it drops them), writes the checkpoint, gives the group back, and reports. Dropping the future drops
/// the calls; the last mark is then written by the writer.
///
/// # Errors
/// `Invalid` for settings that are not, `Busy` while a runner of the same group is running in this process.
/// Neither has begun anything.
pub async fn run(runner: CatchUpRunner, stop: CancellationToken) -> Result<CatchUpReport, Error> {
    runner.validate()?;
    let mut seat = match runner.board.enter(&runner.group, runner.writer.clone()) {
        Ok(seat) => seat,
        Err(running) => {
            runner.seen(&HandlerSeen::AlreadyRunning);
            return Err(running.retry(Retry::Never));
        }
    };
    let begun = runner.environment.clock.now();
    let (end, abandoned) = Life::new(&runner).live(&mut seat, &stop).await;
    let unflushed = seat.leave(runner.settings.flush_timeout).await.err();
    let standing = seat.standing().borrow().clone();
    let status = runner.status.get();
    let report = CatchUpReport {
        group: runner.group.clone(),
        end,
        totals: status.totals,
        abandoned,
        position: status.position,
        stored: standing.stored,
        duration: runner.environment.clock.now().since(begun),
        unflushed,
    };
    drop(seat);
    tell_the_end(&runner, &report);
    Ok(report)
}

fn tell_the_end(runner: &CatchUpRunner, report: &CatchUpReport) {
    let phase = match &report.end {
        CatchUpEnd::Faulted { reason } => {
            runner.seen(&HandlerSeen::Faulted { reason });
            Phase::Faulted { reason: reason.clone() }
        }
        CatchUpEnd::Stopped | CatchUpEnd::CaughtUp => {
            runner.seen(&HandlerSeen::Completed {
                totals: report.totals,
                position: report.stored,
                took: report.duration,
                per_second: report.per_second(),
            });
            Phase::Stopped
        }
    };
    runner.status.update(|status| {
        status.phase = phase;
        (status.stored, status.epoch) = (report.stored, 0);
        (status.in_flight, status.held, status.attempts) = (0, 0, 0);
        match (&report.end, &report.unflushed) {
            (CatchUpEnd::Faulted { reason }, _) => status.last_error = Some(reason.clone()),
            (_, Some(error)) => status.last_error = Some(error.chain()),
            (_, None) => {}
        }
    });
}

/// What a run keeps while the group changes hands.
struct Life<'r> {
    runner: &'r CatchUpRunner,
    letters: Option<Arc<LetterBox>>,
    failed_first: Option<u64>,
    /// Where it ends, once that is known.
    until: Option<Position>,
    abandoned: u64,
}

impl<'r> Life<'r> {
    fn new(runner: &'r CatchUpRunner) -> Self {
        let most = runner.settings.max_dead_letters;
        let letters = runner.dead_letters.clone();
        let letters = letters.map(|sink| Arc::new(LetterBox::new(sink, runner.group.clone(), most)));
        Self { runner, letters, failed_first: Some(0), until: None, abandoned: 0 }
    }

    async fn live(mut self, seat: &mut Seat, stop: &CancellationToken) -> (CatchUpEnd, u64) {
        let runner = self.runner;
        loop {
            let owned = tokio::select! {
                biased;
                () = stop.cancelled() => None,
                owned = async {
                    let won = become_owner(runner, seat).await?;
                    let begin = self.begin(&won).await?;
                    Ok::<_, String>((won, begin))
                } => Some(owned),
            };
            let left = match owned {
                None => Left::Stopped,
                Some(Err(reason)) => Left::Faulted(reason),
                Some(Ok((won, begin))) => self.own(seat, stop, &won, begin).await,
            };
            let end = match left {
                Left::Lost => {
                    runner.seen(&HandlerSeen::LostOwnership);
                    runner.status.update(|status| status.epoch = 0);
                    continue;
                }
                Left::Moved => {
                    runner.seen(&HandlerSeen::CheckpointMoved);
                    continue;
                }
                Left::Stopped => CatchUpEnd::Stopped,
                Left::CaughtUp => CatchUpEnd::CaughtUp,
                Left::Faulted(reason) => CatchUpEnd::Faulted { reason },
            };
            return (end, self.abandoned);
        }
    }

    async fn own(&mut self, seat: &mut Seat, stop: &CancellationToken, won: &Won, begin: Begin) -> Left {
        let runner = self.runner;
        let (epoch, generation) = (won.epoch, won.generation);
        runner.seen(&HandlerSeen::Started { epoch, generation, after: begin.after });
        runner.status.update(|status| {
            status.phase = Phase::CatchingUp;
            (status.epoch, status.generation) = (epoch, generation);
            (status.position, status.stored) = (begin.after, begin.stored);
        });
        let mut owner = Owner::new(runner, seat, self.letters.clone(), self.failed_first, begin);
        let left = owner.run(stop).await;
        self.abandoned = owner.abandon();
        self.failed_first = owner.failed_first;
        owner.tell_last();
        left
    }

    /// Where it begins and ends. A log that is away is waited for.
    async fn begin(&mut self, won: &Won) -> Result<Begin, String> {
        let runner = self.runner;
        let mut attempt = 0;
        loop {
            let error = match self.try_begin(won).await {
                Ok(begin) => {
                    heal(runner);
                    return Ok(begin);
                }
                Err(error) if runner.is_final(&error) => return Err(error.chain()),
                Err(error) => error,
            };
            let after = runner.settings.backoff().delay(attempt, runner.environment.jitter.next_u64());
            attempt = attempt.saturating_add(1);
            wait_out(runner, &error, after, attempt);
            runner.environment.clock.sleep(after).await;
        }
    }

    async fn try_begin(&mut self, won: &Won) -> Result<Begin, Error> {
        let runner = self.runner;
        let start_from = runner.settings.start_from.unwrap_or_default();
        if runner.settings.stop_on_caught_up && self.until.is_none() {
            // In an empty log it ends before whatever comes first.
            self.until = Some(runner.log.head().await?.unwrap_or(Position::MIN));
        }
        let stored = won.checkpoint.map(|checkpoint: Checkpoint| checkpoint.position);
        let after = match (stored, start_from) {
            (Some(stored), _) => Some(stored),
            (None, StartFrom::Beginning) => None,
            // No event stands at the least position that there is, so all that comes is behind it.
            (None, StartFrom::End) => Some(runner.log.head().await?.unwrap_or(Position::MIN)),
            (None, StartFrom::Position(position)) => Some(position),
        };
        // A place that somebody chose may lie behind the end of the log.
        let chosen = stored.is_none() || stored.map(StartFrom::Position) == Some(start_from);
        let check = !runner.trust_checkpoint && !chosen;
        Ok(Begin { generation: won.generation, after, stored, check, until: self.until })
    }
}

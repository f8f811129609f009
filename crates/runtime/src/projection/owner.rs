//! An owner's loop: fetch, apply in one transaction, judge, rest.
//!
//! All it keeps between batches is a copy of the committed state, the place where it reads, and how large the
//! next batch should be. Whatever it believes is checked against the locked state in each transaction. What a
//! batch's end means for the next one stands in `aftermath`.

use std::time::Duration;

use highwater_core::Error;
use highwater_core::model::ProjectionState;
use highwater_core::policy::{BatchSize, Class, Decided, Ended, Next, OnFailure, Segments, next};
use highwater_core::ports::{Limit, ReadModelStore, Seen};
use highwater_core::settings::SavepointMode;
use tokio_util::sync::CancellationToken;

use super::batch::run_batch;
use super::runner::{Runner, is_final};
use super::start::check_log;
use super::status::Phase;
use super::trouble::Trouble;
use super::work::{Batch, Work};
use crate::flow::source::{Piece, Source};

/// After an owner died, the first batch is this small: if it dies here again, the culprit is one of these.
const AFTER_A_CRASH: usize = 32;
/// So many owners died in a row without moving the state: its next events are run one by one.
const CRASHES_BEFORE_ONE_BY_ONE: u32 = 2;

/// Why an owner stopped being one.
pub(super) enum Left {
    Stopped,
    Lost,
    Faulted(String),
}

pub(super) struct Owner<'r, S: ReadModelStore> {
    pub(super) runner: &'r Runner<S>,
    pub(super) trouble: Trouble<'r, S>,
    pub(super) stop: &'r CancellationToken,
    pub(super) state: ProjectionState,
    pub(super) source: Source,
    pub(super) events: BatchSize,
    pub(super) ranges: BatchSize,
    pub(super) segments: Segments,
    /// Consecutive batches that failed for a passing reason.
    pub(super) attempt: u32,
    /// How many events are still to be run one by one, the attempt written down first.
    pub(super) one_by_one: usize,
    /// The size of the very next batch at most.
    pub(super) cap_once: Option<usize>,
    /// See `Isolation::failed_first`.
    pub(super) failed_first: Option<u64>,
    /// What an operator wants tried again.
    pub(super) replay: Option<Work>,
    /// The last transaction found nothing to do, and nothing that waits.
    pub(super) quiet: bool,
    /// The log failed: it may be another one when it is back (E-7).
    pub(super) log_failed: bool,
}

/// What the loop does after a batch.
pub(super) enum After {
    Next(Ended),
    RetryAt(i64),
    Outage,
    Leave(Left),
}

impl<'r, S: ReadModelStore> Owner<'r, S> {
    /// An owner whose state is open under its epoch.
    pub(super) fn new(runner: &'r Runner<S>, stop: &'r CancellationToken, state: ProjectionState) -> Self {
        let definition = &runner.definition;
        let settings = &definition.settings;
        let crashed = state.crashes;
        let one_by_one = if crashed >= CRASHES_BEFORE_ONE_BY_ONE { AFTER_A_CRASH } else { 0 };
        let seen = Seen::Started { epoch: state.epoch, after: state.resume_after() };
        runner.environment.observer.seen(&definition.name, &seen);
        runner.status.update(|status| {
            status.epoch = state.epoch;
            status.scanned = state.scanned;
            status.phase = Phase::CatchingUp;
        });
        Self {
            runner,
            trouble: Trouble { runner, stop },
            stop,
            state,
            source: Source::new(runner.log.clone(), definition.filter.clone(), settings.read_ahead),
            events: BatchSize::new(settings.batch, settings.min_batch, settings.max_batch),
            ranges: BatchSize::new(settings.batch, settings.min_batch, settings.max_range_batch),
            segments: Segments::default(),
            attempt: 0,
            one_by_one,
            cap_once: (crashed > 0).then_some(AFTER_A_CRASH),
            failed_first: Some(0),
            replay: None,
            quiet: false,
            log_failed: false,
        }
    }

    /// Batch after batch.
    pub(super) async fn run(&mut self) -> Left {
        let definition = &self.runner.definition;
        let observer = &self.runner.environment.observer;
        loop {
            if self.stop.is_cancelled() {
                return Left::Stopped;
            }
            observer.seen(&definition.name, &Seen::Heartbeat);
            let after = match self.step().await {
                Ok(after) => after,
                Err(error) if is_final(&error, &self.runner.environment) => {
                    return Left::Faulted(error.chain());
                }
                Err(error) => {
                    if !self.trouble.wait_out(&error, &mut self.attempt).await {
                        return Left::Stopped;
                    }
                    continue;
                }
            };
            match after {
                After::Leave(left) => return left,
                After::Next(ended) => self.rest(ended).await,
                After::RetryAt(micros) => {
                    let wall = self.runner.environment.clock.wall_micros();
                    let wait = Duration::from_micros(u64::try_from(micros - wall).unwrap_or(0));
                    self.runner.status.phase(Phase::RetryingEvent);
                    // In pieces, so that a pause or a replay is seen meanwhile.
                    let after = wait.min(definition.settings.poll_interval);
                    self.rest(Ended::RetryDue { after }).await;
                }
                After::Outage => {
                    let cap = definition.settings.retry_cap;
                    self.rest(Ended::RetryDue { after: cap }).await;
                }
            }
        }
    }

    /// One batch.
    async fn step(&mut self) -> Result<After, Error> {
        let work = match self.replay.take() {
            Some(replay) => replay,
            None => {
                let stop = self.stop.clone();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(After::Leave(Left::Stopped)),
                    fetched = self.fetch() => fetched?,
                }
            }
        };
        if std::mem::take(&mut self.quiet) && self.is_idle(&work) && !self.runner.store.stirred() {
            // A transaction would find what the last one found.
            self.quiet = true;
            return Ok(self.at_the_end(true));
        }
        let mut attempt_recorded = false;
        if self.one_by_one > 0
            && let Work::Events(piece) = &work
            && let Some(event) = piece.events().first()
        {
            self.one_by_one -= 1;
            match self
                .note(event.clone(), died_here(), "the process ended while this event was applied", true)
                .await?
            {
                None => attempt_recorded = true,
                Some(after) => return Ok(after),
            }
        }
        let alone = match &work {
            Work::Events(piece) if piece.events().len() == 1 => piece.events().first().cloned(),
            _ => None,
        };
        let shape = Shape::of(&work, self.events.current(), self.ranges.current());
        let batch = Batch {
            definition: self.runner.definition.clone(),
            environment: self.runner.environment.clone(),
            epoch: self.state.epoch,
            work,
            segments: self.segments,
            attempt_recorded,
            failed_first: self.failed_first,
        };
        let begun = self.runner.environment.clock.now();
        let outcome = {
            let drained = async {
                self.stop.cancelled().await;
                self.runner.environment.clock.sleep(self.runner.definition.settings.drain).await;
            };
            tokio::select! {
                biased;
                outcome = run_batch(&self.runner.store, batch) => outcome,
                () = drained => return Ok(After::Leave(Left::Stopped)),
            }
        };
        self.judge(outcome, &shape, alone, begun).await
    }

    /// What the next batch is made of.
    async fn fetch(&mut self) -> Result<Work, Error> {
        if self.log_failed {
            let runner = self.runner;
            check_log(&*runner.log, &self.state, &runner.definition, &runner.environment).await?;
            self.log_failed = false;
        }
        let fetched = self.read().await;
        self.log_failed = fetched.is_err();
        fetched
    }

    async fn read(&mut self) -> Result<Work, Error> {
        let settings = &self.runner.definition.settings;
        let after = self.state.resume_after();
        let cap = if self.one_by_one > 0 { Some(1) } else { self.cap_once };
        if self.may_take_a_range() {
            let events = cap.unwrap_or(usize::MAX).min(self.ranges.current());
            let limit = Limit { events, bytes: settings.max_range_bytes };
            let (range, last) = self.source.next_range(after, limit).await?;
            return Ok(Work::Range { after, range, last });
        }
        let events = cap.unwrap_or(usize::MAX).min(self.events.current());
        let limit = Limit { events, bytes: settings.max_batch_bytes };
        Ok(Work::Events(self.source.next(after, limit).await?))
    }

    /// The log has nothing behind the state.
    fn is_idle(&self, work: &Work) -> bool {
        match work {
            Work::Events(piece) => {
                piece.caught_up() && piece.events().is_empty() && piece.scanned() <= self.state.scanned
            }
            Work::Range { range, .. } => {
                range.caught_up && range.events == 0 && range.scanned <= self.state.scanned
            }
            Work::Replay { .. } => false,
        }
    }

    fn may_take_a_range(&self) -> bool {
        let settings = &self.runner.definition.settings;
        self.runner.definition.projection.takes_ranges()
            && self.runner.definition.may_read_the_log()
            && self.segments.expect_none()
            && self.one_by_one == 0
            && settings.savepoint == SavepointMode::Optimistic
            && settings.on_failure != OnFailure::ParkStream
    }

    async fn rest(&mut self, ended: Ended) {
        let settings = &self.runner.definition.settings;
        let random = self.runner.environment.jitter.next_u64();
        let paused = matches!(ended, Ended::Paused);
        match next(ended, settings.poll_interval, &settings.backoff(), random) {
            Next::AtOnce => {}
            Next::WaitForEvents(poll) if paused => {
                self.trouble.pause(poll).await;
            }
            Next::Pause(pause) => {
                self.trouble.pause(pause).await;
            }
            Next::WaitForEvents(poll) => {
                let deaf = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => false,
                    hint = self.source.wait() => hint.is_err(),
                    () = self.runner.environment.clock.sleep(poll) => false,
                };
                if deaf {
                    // A log that cannot be watched is polled.
                    self.trouble.pause(poll).await;
                }
            }
        }
    }
}

/// What the loop remembers of a batch that it has handed over.
pub(super) struct Shape {
    pub(super) events: usize,
    pub(super) full: bool,
    pub(super) range: bool,
    pub(super) replay: bool,
    pub(super) caught_up: bool,
}

impl Shape {
    fn of(work: &Work, events_limit: usize, ranges_limit: usize) -> Self {
        match work {
            Work::Events(piece) => Self {
                events: piece.events().len(),
                full: piece.events().len() >= events_limit || piece.has_more(),
                range: false,
                replay: false,
                caught_up: Piece::caught_up(piece),
            },
            Work::Range { range, .. } => {
                let events = usize::try_from(range.events).unwrap_or(usize::MAX);
                Self {
                    events,
                    full: events >= ranges_limit || !range.caught_up,
                    range: true,
                    replay: false,
                    caught_up: range.caught_up,
                }
            }
            Work::Replay { .. } => {
                Self { events: 1, full: false, range: false, replay: true, caught_up: false }
            }
        }
    }
}

fn died_here() -> Decided {
    Decided { class: Class::Unclassified, code: None, by: "a process that died" }
}

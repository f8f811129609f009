//! The loop of a projection: claim, start, batch after batch, until it is asked to stop.
//!
//! All it keeps between batches is a copy of the committed state, the place where it reads, and how large the
//! next batch should be. Whatever it believes is checked against the locked state in each transaction.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::{FailedEvent, FailedState, Position, ProjectionState, RecordedEvent};
use highwater_core::policy::{
    BatchSize, Class, DIFFERENT_EVENTS, Decided, Ended, Next, OnFailure, Segments, is_outage, next,
};
use highwater_core::ports::{EventLog, Limit, Locked, Moment, ReadModelStore, Seen, UnitOfWork};
use highwater_core::settings::SavepointMode;
use highwater_core::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, BatchOutcome, Committed, Work, run_batch};
use super::definition::{ProjectionDefinition, StartOptions};
use super::isolate::{Halted, all_failed};
use super::lost_attempt::{LostAttempt, Noted, failing_alike, note};
use super::stand_by::become_owner;
use super::start::{check_log, start};
use super::status::{Phase, RunEnd, StatusCell};
use crate::environment::Environment;
use crate::flow::source::{Piece, Source};

/// After an owner died, the first batch is this small: if it dies here again, the culprit is one of these.
const AFTER_A_CRASH: usize = 32;
/// So many owners died in a row without moving the state: its next events are run one by one.
const CRASHES_BEFORE_ONE_BY_ONE: u32 = 2;
/// A batch that takes longer than this is made smaller.
const TARGET: Duration = Duration::from_secs(1);

/// A projection and all that it runs on.
pub struct Runner<S: ReadModelStore> {
    /// The read models' store.
    pub store: S,
    /// Where the events come from.
    pub log: Arc<dyn EventLog>,
    /// What is run.
    pub definition: Arc<ProjectionDefinition<S::Tx>>,
    /// Time, chance, observation, classification.
    pub environment: Environment,
    /// What an operator allows at this start.
    pub options: StartOptions,
    /// Where the runner says what it is doing.
    pub status: StatusCell,
}

/// Why an owner stopped being one.
enum Left {
    Stopped,
    Lost,
    Faulted(String),
}

/// Runs a projection until `stop` is cancelled or it cannot go on.
///
/// A stop lets the running batch finish (for `drain` at most; then it rolls back), and says in the state that the
/// owner stopped in order. Dropping the future rolls the running batch back.
pub fn run<S: ReadModelStore>(
    runner: Runner<S>,
    stop: CancellationToken,
) -> impl Future<Output = RunEnd> + Send {
    async move {
        let name = runner.definition.name.clone();
        let observer = runner.environment.observer.clone();
        loop {
            let lease = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                lease = become_owner(&runner.store, &name, &runner.environment, &runner.status) => lease,
            };
            let left = match lease {
                Ok(lease) => {
                    let left = own(&runner, &stop).await;
                    drop(lease);
                    left
                }
                Err(error) => Left::Faulted(error.chain()),
            };
            match left {
                Left::Stopped => break,
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

fn is_final(error: &Error, environment: &Environment) -> bool {
    environment.classifier.error(error).class == Class::Fatal
}

/// Waiting for surroundings that are in trouble.
struct Trouble<'r, S: ReadModelStore> {
    runner: &'r Runner<S>,
    stop: &'r CancellationToken,
}

impl<S: ReadModelStore> Trouble<'_, S> {
    /// Waits by the backoff; false if it was asked to stop meanwhile.
    async fn wait_out(&self, error: &Error, attempt: &mut u32) -> bool {
        let environment = &self.runner.environment;
        let settings = &self.runner.definition.settings;
        let name = &self.runner.definition.name;
        let ended = if error.kind() == ErrorKind::Contention {
            Ended::Contended
        } else {
            Ended::Failed { attempt: *attempt }
        };
        *attempt = attempt.saturating_add(1);
        let pause =
            match next(ended, settings.poll_interval, &settings.backoff(), environment.jitter.next_u64()) {
                Next::AtOnce => Duration::ZERO,
                Next::WaitForEvents(pause) | Next::Pause(pause) => pause,
            };
        let seen = Seen::Retrying { error, after: pause, attempt: *attempt };
        environment.observer.seen(name, &seen);
        let reason = error.chain();
        self.runner.status.update(|status| status.last_error = Some(reason.clone()));
        if *attempt > settings.max_failures {
            self.stalled(reason);
        }
        self.pause(pause).await
    }

    fn stalled(&self, reason: String) {
        let observer = &self.runner.environment.observer;
        if !matches!(self.runner.status.get().phase, Phase::Stalled { .. }) {
            observer.seen(&self.runner.definition.name, &Seen::Stalled { reason: &reason });
        }
        self.runner.status.phase(Phase::Stalled { reason });
    }

    async fn pause(&self, duration: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = self.runner.environment.clock.sleep(duration) => true,
        }
    }
}

struct Owner<'r, S: ReadModelStore> {
    runner: &'r Runner<S>,
    trouble: Trouble<'r, S>,
    stop: &'r CancellationToken,
    state: ProjectionState,
    source: Source,
    events: BatchSize,
    ranges: BatchSize,
    segments: Segments,
    /// Consecutive batches that failed for a passing reason.
    attempt: u32,
    /// How many events are still to be run one by one, the attempt written down first.
    one_by_one: usize,
    /// The size of the very next batch at most.
    cap_once: Option<usize>,
    /// See `Isolation::failed_first`.
    failed_first: Option<u64>,
    /// What an operator wants tried again.
    replay: Option<Work>,
    /// The log failed: it may be another one when it is back (E-7).
    log_failed: bool,
}

/// What the loop does after a batch.
enum After {
    Next(Ended),
    RetryAt(i64),
    Outage,
    Leave(Left),
}

impl<'r, S: ReadModelStore> Owner<'r, S> {
    fn new(runner: &'r Runner<S>, stop: &'r CancellationToken, state: ProjectionState) -> Self {
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
            log_failed: false,
        }
    }

    async fn run(&mut self) -> Left {
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

    fn may_take_a_range(&self) -> bool {
        let settings = &self.runner.definition.settings;
        let optimistic = self.segments.size(settings.max_range_batch) == settings.max_range_batch;
        self.runner.definition.projection.takes_ranges()
            && optimistic
            && self.one_by_one == 0
            && settings.savepoint == SavepointMode::Optimistic
            && settings.on_failure != OnFailure::ParkStream
    }

    async fn judge(
        &mut self,
        outcome: BatchOutcome,
        shape: &Shape,
        alone: Option<RecordedEvent>,
        begun: Moment,
    ) -> Result<After, Error> {
        let observer = self.runner.environment.observer.clone();
        let name = self.runner.definition.name.clone();
        Ok(match outcome {
            BatchOutcome::Committed(committed) => self.committed(*committed, shape, begun),
            BatchOutcome::Idle => {
                self.runner.status.update(|status| status.replays_done = true);
                self.healed();
                self.at_the_end(shape.caught_up)
            }
            BatchOutcome::Busy => After::Next(Ended::Contended),
            BatchOutcome::Paused => {
                if self.runner.status.get().phase != Phase::Paused {
                    observer.seen(&name, &Seen::Paused);
                    self.runner.status.phase(Phase::Paused);
                }
                After::Next(Ended::Paused)
            }
            BatchOutcome::ReplayWanted(failed) => {
                self.runner.status.update(|status| status.replays_done = false);
                self.replay = Some(self.fetch_for_replay(failed).await?);
                After::Next(Ended::Behind)
            }
            BatchOutcome::RetryAt { micros } => After::RetryAt(micros),
            BatchOutcome::Moved(state) => {
                self.state = *state;
                After::Next(Ended::Behind)
            }
            BatchOutcome::RangeFailed => {
                self.segments.failed(shape.events);
                After::Next(Ended::Behind)
            }
            BatchOutcome::LostOwnership => After::Leave(Left::Lost),
            BatchOutcome::Unknown => {
                observer.seen(&name, &Seen::OutcomeUnknown);
                self.read_state_again().await?
            }
            BatchOutcome::Failed(error) => return self.failed(error, shape, alone).await,
        })
    }

    fn committed(&mut self, committed: Committed, shape: &Shape, begun: Moment) -> After {
        let observer = &self.runner.environment.observer;
        let name = &self.runner.definition.name;
        let took = self.runner.environment.clock.now().since(begun);
        let set_aside = set_aside(&committed.failed);
        let moved =
            committed.state != self.state || !committed.failed.is_empty() || committed.recovered.is_some();
        self.state = committed.state;
        self.segments = committed.segments;
        self.cap_once = None;
        if committed.applied > 0 {
            self.failed_first = None;
        } else if let Some(failed) = &mut self.failed_first {
            *failed += set_aside;
        }
        if moved {
            let scanned = self.state.scanned;
            observer.seen(
                name,
                &Seen::Committed {
                    applied: committed.applied,
                    failed: set_aside,
                    duplicates: committed.duplicates,
                    scanned,
                    took,
                },
            );
            for row in &committed.failed {
                observer.seen(name, &Seen::EventFailed(row));
            }
            if let Some(row) = &committed.recovered {
                observer.seen(name, &Seen::EventRecovered { position: row.position });
            }
            if committed.whole_only {
                observer.seen(name, &Seen::WholeBatchOnly { events: shape.events as u64 });
            }
            self.runner.status.update(|status| {
                status.scanned = scanned;
                status.replays_done = !shape.replay;
                status.applied += committed.applied;
                status.failed += set_aside;
                status.duplicates += committed.duplicates;
                status.recovered += u64::from(committed.recovered.is_some());
                status.whole_batch_only += u64::from(committed.whole_only);
                status.batches += 1;
                if let Some(row) = committed.failed.last() {
                    status.last_error = Some(row.message.clone());
                }
            });
        }
        if !committed.had_failures {
            let size = if shape.range { &mut self.ranges } else { &mut self.events };
            size.committed(shape.full, took, TARGET);
        }
        match committed.halted {
            Halted::No => {
                self.healed();
                self.at_the_end(committed.caught_up)
            }
            Halted::Prefix => {
                self.healed();
                After::Next(Ended::Behind)
            }
            Halted::RetryAt { micros } => After::RetryAt(micros),
            Halted::Wait { reason } => {
                self.attempt = self.attempt.saturating_add(1);
                self.runner.status.update(|status| status.last_error = Some(reason.clone()));
                if self.attempt > self.runner.definition.settings.max_failures {
                    self.trouble.stalled(reason);
                }
                After::Next(Ended::Failed { attempt: self.attempt - 1 })
            }
            Halted::Outage { reason } => {
                self.runner.status.update(|status| status.last_error = Some(reason.clone()));
                self.trouble.stalled(reason);
                After::Outage
            }
            Halted::Fault { reason } => After::Leave(Left::Faulted(reason)),
        }
    }

    /// Nothing was committed.
    async fn failed(
        &mut self,
        error: Error,
        shape: &Shape,
        alone: Option<RecordedEvent>,
    ) -> Result<After, Error> {
        let size = if shape.range { &mut self.ranges } else { &mut self.events };
        let decided = self.runner.environment.classifier.error(&error);
        if error.kind() != ErrorKind::Timeout {
            match decided.class {
                Class::Transient => {
                    size.lost();
                    return Err(error);
                }
                Class::Fatal => return Ok(After::Leave(Left::Faulted(error.chain()))),
                Class::Permanent | Class::Unclassified => {}
            }
        }
        size.cap(shape.events);
        size.deadline_hit();
        let Some(event) = alone else {
            if shape.events > 1 {
                return Ok(After::Next(Ended::Behind));
            }
            // There was no event to blame: the store itself is slow.
            return Err(error);
        };
        let class = if error.kind() == ErrorKind::Timeout { Class::Unclassified } else { decided.class };
        let decided = Decided { class, ..decided };
        let noted = self.note(event, decided, &error.chain(), false).await?;
        Ok(noted.unwrap_or(After::Next(Ended::Behind)))
    }

    /// Writes an attempt down in a transaction of its own. `None`: the event may be tried now.
    async fn note(
        &mut self,
        event: RecordedEvent,
        decided: Decided,
        message: &str,
        beforehand: bool,
    ) -> Result<Option<After>, Error> {
        let runner = self.runner;
        let observer = &runner.environment.observer;
        let name = &runner.definition.name;
        let mut lost = LostAttempt { event, decided, message: message.to_owned(), beforehand, probed: false };
        let (store, definition, environment) = (&runner.store, &runner.definition, &runner.environment);
        let epoch = self.state.epoch;
        let mut noted = note(store, definition, environment, epoch, lost.clone()).await?;
        if matches!(noted, Noted::Exhausted) {
            let behind = self.events_behind(lost.event.position()).await?;
            let alike = failing_alike(store, definition, environment, behind).await;
            if is_outage(alike + 1) {
                self.trouble.stalled(lost.message);
                return Ok(Some(After::Outage));
            }
            lost.probed = true;
            noted = note(store, definition, environment, epoch, lost).await?;
        }
        Ok(match noted {
            Noted::Retrying(_) if beforehand => None,
            Noted::Retrying(row) => {
                observer.seen(name, &Seen::EventFailed(&row));
                Some(After::RetryAt(row.next_attempt_micros.unwrap_or(0)))
            }
            Noted::SetAside(noted) => {
                let (row, state) = *noted;
                observer.seen(name, &Seen::EventFailed(&row));
                self.state = state;
                let scanned = self.state.scanned;
                runner.status.update(|status| {
                    status.failed += 1;
                    status.scanned = scanned;
                    status.last_error = Some(row.message.clone());
                });
                let settings = &runner.definition.settings;
                if let Some(failed) = &mut self.failed_first {
                    *failed += 1;
                    if *failed >= settings.max_first_failures {
                        let reason = all_failed(settings, &row.message);
                        return Ok(Some(After::Leave(Left::Faulted(reason))));
                    }
                }
                Some(After::Next(Ended::Behind))
            }
            Noted::Fault(reason) => Some(After::Leave(Left::Faulted(reason))),
            Noted::Moved | Noted::Exhausted => Some(self.read_state_again().await?),
        })
    }

    /// A few events behind `position`, for telling an outage from a bad event.
    async fn events_behind(&mut self, position: Position) -> Result<Vec<RecordedEvent>, Error> {
        let mut reader = self.source.log().open(Some(position), &self.runner.definition.filter).await?;
        let limit =
            Limit { events: DIFFERENT_EVENTS - 1, bytes: self.runner.definition.settings.max_batch_bytes };
        Ok(reader.next(limit).await?.events)
    }

    async fn fetch_for_replay(&mut self, failed: Box<FailedEvent>) -> Result<Work, Error> {
        let event = match failed.state {
            FailedState::Recorded => self.source.log().event_at(failed.position).await?,
            FailedState::Retrying | FailedState::Parked | FailedState::Held => None,
        };
        Ok(Work::Replay { failed, event })
    }

    /// The state as it is committed; it may have moved, or have another owner.
    async fn read_state_again(&mut self) -> Result<After, Error> {
        let key = self.runner.definition.key();
        let limit = self.runner.definition.settings.batch_deadline;
        let locked = self
            .runner
            .store
            .transact(limit, move |mut unit| async move {
                let locked = unit.lock(&key).await?;
                unit.rollback().await?;
                Ok(locked)
            })
            .await?;
        Ok(match locked {
            Locked::Acquired(acquired) if acquired.state.epoch == self.state.epoch => {
                self.state = acquired.state;
                let scanned = self.state.scanned;
                self.runner.status.update(|status| status.scanned = scanned);
                After::Next(Ended::Behind)
            }
            Locked::Acquired(_) | Locked::Missing => After::Leave(Left::Lost),
            Locked::Busy => After::Next(Ended::Contended),
        })
    }

    fn at_the_end(&self, caught_up: bool) -> After {
        let phase = if caught_up { Phase::Live } else { Phase::CatchingUp };
        if caught_up && self.runner.status.get().phase != Phase::Live {
            let seen = Seen::CaughtUp { scanned: self.state.scanned };
            self.runner.environment.observer.seen(&self.runner.definition.name, &seen);
        }
        self.runner.status.phase(phase);
        After::Next(if caught_up { Ended::CaughtUp } else { Ended::Behind })
    }

    fn healed(&mut self) {
        self.attempt = 0;
        let observer = &self.runner.environment.observer;
        match self.runner.status.get().phase {
            Phase::Stalled { .. } => observer.seen(&self.runner.definition.name, &Seen::Healed),
            Phase::Paused => observer.seen(&self.runner.definition.name, &Seen::Resumed),
            _ => return,
        }
        self.runner.status.phase(Phase::CatchingUp);
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

/// What the loop remembers of a batch that it has handed over.
struct Shape {
    events: usize,
    full: bool,
    range: bool,
    replay: bool,
    caught_up: bool,
}

impl Shape {
    fn of(work: &Work, events_limit: usize, ranges_limit: usize) -> Self {
        match work {
            Work::Events(piece) => Self {
                events: piece.events().len(),
                full: piece.events().len() >= events_limit,
                range: false,
                replay: false,
                caught_up: Piece::caught_up(piece),
            },
            Work::Range { range, .. } => {
                let events = usize::try_from(range.events).unwrap_or(usize::MAX);
                Self {
                    events,
                    full: events >= ranges_limit,
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

fn set_aside(failed: &[FailedEvent]) -> u64 {
    failed.iter().filter(|row| row.state != FailedState::Retrying).count() as u64
}

fn died_here() -> Decided {
    Decided { class: Class::Unclassified, code: None, by: "a process that died" }
}

//! What the end of a batch means: for the state that is believed, for the size of the next one, and for whoever
//! watches.

use std::time::Duration;

use highwater_core::model::{FailedEvent, FailedState, Position, RecordedEvent};
use highwater_core::policy::{Class, DIFFERENT_EVENTS, Decided, Ended, is_outage};
use highwater_core::ports::{Limit, Locked, Moment, ReadModelStore, Seen, UnitOfWork};
use highwater_core::{Error, ErrorKind};

use super::isolate::{Halted, all_failed};
use super::lost_attempt::{LostAttempt, Noted, failing_alike, note};
use super::owner::{After, Left, Owner, Shape};
use super::status::Phase;
use super::work::{BatchOutcome, Committed, Work};

/// A batch that takes longer than this is made smaller.
const TARGET: Duration = Duration::from_secs(1);

impl<S: ReadModelStore> Owner<'_, S> {
    /// What the loop does next.
    pub(super) async fn judge(
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
                self.quiet = shape.caught_up && shape.events == 0 && !shape.replay;
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
    pub(super) async fn note(
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

    pub(super) fn at_the_end(&self, caught_up: bool) -> After {
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
}

fn set_aside(failed: &[FailedEvent]) -> u64 {
    failed.iter().filter(|row| row.state != FailedState::Retrying).count() as u64
}

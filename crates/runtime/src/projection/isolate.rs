//! Optimistic batch, exact isolation (E-15, E-16, E-19).
//!
//! A batch is applied under one savepoint. When it fails, the event that cannot be applied is found and judged
//! *alone*, so that what is applied and what fails is exactly what a savepoint for each event would give, at a
//! fraction of its price:
//!
//! * A projection that knows the culprit's index is run again up to before it, and the culprit alone.
//! * Set-based SQL does not know: the slice is halved, left to right. What passed stays; if the left half passed
//!   whole, the culprit must be in the right one, which is halved again without another try. A projection that can do
//!   the same where its events are is left to it.
//! * What is left is cut into segments (`policy::Segments`), as long as culprits let expect, so that the next one
//!   costs one segment and not the batch.

use highwater_core::model::{FailedEvent, FailedState, ProjectionState, RecordedEvent};
use highwater_core::policy::{Action, Class, DIFFERENT_EVENTS, OnFailure, Segments, decide, is_outage};
use highwater_core::ports::{ApplySlice, DynProjection, Moment, UnitOfWork, Until};
use highwater_core::settings::ProjectionSettings;
use highwater_core::{Error, Failure};

use crate::environment::Environment;
use crate::flow::apply::{Keep, apply, apply_until};
use crate::flow::dead_letter::{Attempt, failed_event, record};

/// Subtransactions of one transaction at most: then the prefix is committed (E-19).
pub const MAX_SUBTRANSACTIONS: u32 = 1_000;

/// Why a batch ended before its last event, or that it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halted {
    /// It did not: every event is settled.
    No,
    /// The prefix is as much as one transaction should hold; go on at once.
    Prefix,
    /// An event is tried again, alone and in order, at this wall-clock time.
    RetryAt {
        /// Microseconds since 1970.
        micros: i64,
    },
    /// The surroundings are in trouble; the event is tried again when they may have healed.
    Wait {
        /// What is wrong.
        reason: String,
    },
    /// Different events in a row fail alike: an outage, not a bad event.
    Outage {
        /// What is wrong.
        reason: String,
    },
    /// The runner cannot go on.
    Fault {
        /// Why.
        reason: String,
    },
}

/// What became of a batch's events inside the transaction.
#[derive(Debug)]
pub struct Isolated {
    /// How many events are settled, from the first.
    pub settled: usize,
    /// How many of them were applied.
    pub applied: u64,
    /// Rows that were written: of events set aside, and of the one that is retried.
    pub failed: Vec<FailedEvent>,
    /// An event that had failed before was applied.
    pub recovered: Option<FailedEvent>,
    /// Whether, and why, it ended early.
    pub halted: Halted,
    /// The batch failed as a whole while each of its events passed alone.
    pub whole_only: bool,
    /// Some slice failed.
    pub had_failures: bool,
}

/// What isolation needs to know beside the events.
pub struct Isolation<'a, Tx> {
    /// The code.
    pub projection: &'a dyn DynProjection<Tx>,
    /// The projection may read in the log what stands between two events of a slice.
    pub contiguous: bool,
    /// The settings.
    pub settings: &'a ProjectionSettings,
    /// Time, chance, classification.
    pub environment: &'a Environment,
    /// The locked state.
    pub state: &'a ProjectionState,
    /// The row of the first event, if it failed before.
    pub before: Option<&'a FailedEvent>,
    /// The attempt was written down before it was made: do not count it again.
    pub attempt_recorded: bool,
    /// Streams with a parked event: later events of theirs are held.
    pub parked_streams: &'a [String],
    /// Events that follow the batch, for telling an outage from a bad event.
    pub following: &'a [RecordedEvent],
    /// Behind this moment no further slice is begun.
    pub deadline: Moment,
    /// Events of this run that failed while none was applied, before this batch; `None` once one was applied.
    pub failed_first: Option<u64>,
}

/// A run of events that is still to be applied.
#[derive(Debug, Clone, Copy)]
struct Slice {
    from: usize,
    to: usize,
    /// Set for a right half: how many failures there were before its left half. If none was added, the culprit
    /// must be here.
    suspect_if: Option<usize>,
}

impl<Tx: Send> Isolation<'_, Tx> {
    /// Applies the events, finds those that cannot be applied, and records them.
    ///
    /// # Errors
    /// When the transaction is lost: the caller rolls back.
    pub async fn run<U: UnitOfWork<Tx = Tx>>(
        &self,
        unit: &mut U,
        events: &[RecordedEvent],
        segments: &mut Segments,
    ) -> Result<Isolated, Error> {
        let mut run = Run {
            isolation: self,
            unit,
            events,
            segments,
            result: Isolated {
                settled: 0,
                applied: 0,
                failed: Vec::new(),
                recovered: None,
                halted: Halted::No,
                whole_only: false,
                had_failures: false,
            },
            subtransactions: 0,
            failures: 0,
            open: None,
        };
        run.all().await?;
        let mut result = run.result;
        result.whole_only = result.had_failures && result.failed.is_empty() && result.halted == Halted::No;
        if result.whole_only {
            segments.failed_as_a_whole();
        }
        Ok(result)
    }
}

fn push(pending: &mut Vec<Slice>, from: usize, to: usize) {
    if from < to {
        pending.push(Slice { from, to, suspect_if: None });
    }
}

struct Run<'r, 'a, U: UnitOfWork> {
    isolation: &'r Isolation<'a, U::Tx>,
    unit: &'r mut U,
    events: &'r [RecordedEvent],
    segments: &'r mut Segments,
    result: Isolated,
    subtransactions: u32,
    /// Slices that turned out to hold a culprit: events that stood alone and failed.
    failures: usize,
    /// Open failed events, once they were counted.
    open: Option<u64>,
}

impl<U: UnitOfWork> Run<'_, '_, U> {
    async fn all(&mut self) -> Result<(), Error> {
        let mut pending = Vec::new();
        push(&mut pending, 0, self.events.len());
        while let Some(slice) = pending.pop() {
            if self.subtransactions >= MAX_SUBTRANSACTIONS
                || (slice.from > 0 && self.isolation.environment.clock.now() >= self.isolation.deadline)
            {
                self.result.halted = Halted::Prefix;
                return Ok(());
            }
            let slice = self.with_what_follows(slice, &mut pending);
            let slice = self.cut(slice, &mut pending);
            if self.held(&slice).await? {
                continue;
            }
            self.slice(slice, &mut pending).await?;
            if self.result.halted != Halted::No {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Leaves of a slice what is one segment; the rest is for later. An event of a parked stream stands alone, since
    /// it is held and not applied. A slice that is known to hold a culprit is halved instead.
    fn cut(&self, slice: Slice, pending: &mut Vec<Slice>) -> Slice {
        let length = slice.to - slice.from;
        if self.is_suspect(&slice) {
            return slice;
        }
        let longest = slice.from + self.segments.size(length);
        let end = if self.is_parked(slice.from) {
            slice.from + 1
        } else {
            (slice.from + 1..longest).find(|&at| self.is_parked(at)).unwrap_or(longest)
        };
        push(pending, end, slice.to);
        Slice { to: end, ..slice }
    }

    /// It is known to hold a culprit.
    fn is_suspect(&self, slice: &Slice) -> bool {
        slice.suspect_if == Some(self.failures)
    }

    fn is_parked(&self, at: usize) -> bool {
        let streams = self.isolation.parked_streams;
        !streams.is_empty() && streams.iter().any(|stream| *stream == *self.events[at].stream())
    }

    /// Holds an event whose stream is parked.
    async fn held(&mut self, slice: &Slice) -> Result<bool, Error> {
        if slice.to - slice.from != 1 || !self.is_parked(slice.from) {
            return Ok(false);
        }
        let event = &self.events[slice.from];
        let attempt = Attempt {
            decided: highwater_core::policy::Decided {
                class: Class::Permanent,
                code: None,
                by: "parked stream",
            },
            message: "held behind a parked event of its stream".to_owned(),
            attempts: 0,
            wall_micros: self.isolation.environment.clock.wall_micros(),
        };
        let row = failed_event(self.isolation.state, event, None, attempt, FailedState::Held, None);
        self.set_aside(slice.from, row).await?;
        Ok(true)
    }

    async fn slice(&mut self, slice: Slice, pending: &mut Vec<Slice>) -> Result<(), Error> {
        let length = slice.to - slice.from;
        let known = length > 1 && self.is_suspect(&slice);
        let expected = known || (length > 1 && !self.segments.expect_none());
        let search = expected && self.finds_culprits();
        if known && !search {
            self.halve(slice, pending);
            return Ok(());
        }
        let applied = if search {
            self.search(&slice, known).await?
        } else {
            self.try_slice(&slice).await?.map(|()| Until::All)
        };
        match applied {
            Ok(Until::All) => {
                self.result.applied += length as u64;
                self.result.settled = slice.to;
                self.segments.passed(length);
                self.recover(&slice).await
            }
            Ok(Until::Before { index, failure }) => {
                let culprit = slice.from + index;
                self.result.applied += index as u64;
                self.result.had_failures = true;
                self.segments.passed(index);
                if index > 0 {
                    self.result.settled = culprit;
                    self.recover(&slice).await?;
                }
                match failure {
                    Some(failure) => {
                        push(pending, culprit + 1, slice.to);
                        self.judge(culprit, failure).await
                    }
                    None if index > 0 => {
                        push(pending, culprit, slice.to);
                        Ok(())
                    }
                    // It has found nothing, and it would find nothing again.
                    None => {
                        self.halve(slice, pending);
                        Ok(())
                    }
                }
            }
            Err(failure) if length == 1 => self.judge(slice.from, failure).await,
            Err(failure) => {
                self.result.had_failures = true;
                match failure.index().filter(|&index| index < length) {
                    Some(index) => {
                        let culprit = slice.from + index;
                        push(pending, culprit + 1, slice.to);
                        push(pending, culprit, culprit + 1);
                        push(pending, slice.from, culprit);
                    }
                    None if !search && self.finds_culprits() => {
                        pending.push(Slice { suspect_if: Some(self.failures), ..slice });
                    }
                    None => self.halve(slice, pending),
                }
                Ok(())
            }
        }
    }

    /// A culprit was found: what is left of its segment is one slice again. It was only cut to find that one.
    fn with_what_follows(&self, mut slice: Slice, pending: &mut Vec<Slice>) -> Slice {
        let is_left = |slice: &Slice| slice.suspect_if.is_some_and(|failures| failures < self.failures);
        if is_left(&slice) {
            while let Some(next) = pending.pop_if(|next| is_left(next)) {
                slice.to = next.to;
            }
        }
        slice
    }

    fn halve(&self, slice: Slice, pending: &mut Vec<Slice>) {
        let middle = slice.from + (slice.to - slice.from) / 2;
        pending.push(Slice { from: middle, to: slice.to, suspect_if: Some(self.failures) });
        push(pending, slice.from, middle);
    }

    async fn try_slice(&mut self, slice: &Slice) -> Result<Result<(), Failure>, Error> {
        self.subtransactions += 1;
        let alone = slice.to - slice.from == 1;
        apply(
            self.unit,
            self.isolation.projection,
            ApplySlice::Events {
                events: &self.events[slice.from..slice.to],
                contiguous: self.isolation.contiguous || alone,
            },
            alone.then_some(self.isolation.settings.statement_timeout),
            &*self.isolation.environment.clock,
            Keep::Yes,
        )
        .await
    }

    fn finds_culprits(&self) -> bool {
        self.isolation.contiguous && self.isolation.projection.finds_culprits()
    }

    /// Leaves the search to the projection.
    async fn search(&mut self, slice: &Slice, known: bool) -> Result<Result<Until, Failure>, Error> {
        let events = &self.events[slice.from..slice.to];
        self.subtransactions += 2 + events.len().ilog2();
        apply_until(self.unit, self.isolation.projection, events, known).await
    }

    /// The row of an event that had failed before goes with the transaction that applies it (E-18).
    async fn recover(&mut self, slice: &Slice) -> Result<(), Error> {
        let Some(before) = self.isolation.before.filter(|_| slice.from == 0) else { return Ok(()) };
        self.unit.resolve_failed(&self.isolation.state.key, before.position).await?;
        self.result.recovered = Some(before.clone());
        Ok(())
    }

    /// An event stood alone and failed.
    async fn judge(&mut self, at: usize, failure: Failure) -> Result<(), Error> {
        self.result.had_failures = true;
        self.failures += 1;
        let isolation = self.isolation;
        let before = isolation.before.filter(|_| at == 0);
        let earlier = before.map_or(0, |before| before.attempts);
        if earlier == 0 {
            self.segments.found();
        }
        let attempts =
            if isolation.attempt_recorded && at == 0 { earlier.max(1) } else { earlier.saturating_add(1) };
        let decided = isolation.environment.classifier.failure(&failure);
        if decided.by == "pattern" {
            tracing::warn!(
                target: "highwater",
                projection = isolation.state.key.name.as_str(),
                class = decided.class.as_str(),
                position = %self.events[at].position(),
                "a failure was classified by the words of its message: {failure}"
            );
        }
        let verdict = failure.stated();
        let on_failure = isolation.settings.on_failure;
        let action = decide(on_failure, &decided, verdict, attempts, isolation.settings.max_failures);
        let message = failure.message();
        let now = isolation.environment.clock.wall_micros();
        let attempt = Attempt { decided, message: message.clone(), attempts, wall_micros: now };
        let event = &self.events[at];
        match action {
            Action::Wait => {
                self.result.halted = Halted::Wait { reason: message };
                Ok(())
            }
            Action::SetAside(state) => self.give_up(at, before, attempt, state).await,
            Action::Probe(state) => {
                if is_outage(self.failing_alike(at).await?) {
                    self.result.halted = Halted::Outage { reason: message };
                    return Ok(());
                }
                self.give_up(at, before, attempt, state).await
            }
            Action::RetryLater => {
                let wait =
                    isolation.settings.backoff().delay(attempts - 1, isolation.environment.jitter.next_u64());
                let micros = now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
                let row = failed_event(
                    isolation.state,
                    event,
                    before,
                    attempt,
                    FailedState::Retrying,
                    Some(micros),
                );
                record(self.unit, &row, event).await?;
                self.result.failed.push(row);
                self.result.halted = Halted::RetryAt { micros };
                Ok(())
            }
            Action::Fault => {
                let row =
                    failed_event(isolation.state, event, before, attempt, FailedState::Retrying, Some(now));
                record(self.unit, &row, event).await?;
                self.result.failed.push(row);
                self.result.halted = Halted::Fault {
                    reason: format!(
                        "{} {} at {} of stream {}: {message}",
                        event.event_type(),
                        event.id(),
                        event.position(),
                        event.stream()
                    ),
                };
                Ok(())
            }
        }
    }

    async fn give_up(
        &mut self,
        at: usize,
        before: Option<&FailedEvent>,
        attempt: Attempt,
        state: FailedState,
    ) -> Result<(), Error> {
        let row = failed_event(self.isolation.state, &self.events[at], before, attempt, state, None);
        self.set_aside(at, row).await?;
        if self.result.halted != Halted::No {
            return Ok(());
        }
        // What is settled holds nobody up. But later events of a stream that has just been parked are held: they
        // are told apart when the state is read again.
        let parks =
            self.isolation.settings.on_failure == OnFailure::ParkStream && state == FailedState::Parked;
        if parks && at + 1 < self.events.len() {
            self.result.halted = Halted::Prefix;
        }
        Ok(())
    }

    /// Writes down that an event is settled without being applied.
    async fn set_aside(&mut self, at: usize, row: FailedEvent) -> Result<(), Error> {
        record(self.unit, &row, &self.events[at]).await?;
        self.result.failed.push(row);
        self.result.settled = at + 1;
        let settings = self.isolation.settings;
        let open = match self.open {
            Some(before) => before + 1,
            None => self.unit.open_failures(&self.isolation.state.key).await?,
        };
        self.open = Some(open);
        if let Some(reason) = too_many_open(open, settings) {
            self.result.halted = Halted::Fault { reason };
        } else if self.result.applied == 0
            && let Some(earlier) = self.isolation.failed_first
            && earlier + self.result.failed.len() as u64 >= settings.max_first_failures
        {
            let last = self.result.failed.last().map_or("", |row| row.message.as_str());
            self.result.halted = Halted::Fault { reason: all_failed(settings, last) };
        }
        Ok(())
    }

    /// How many different events in a row fail without a known reason, the exhausted one included: those that
    /// follow are tried and always rolled back.
    async fn failing_alike(&mut self, at: usize) -> Result<usize, Error> {
        let rest = self.events[at + 1..].iter().chain(self.isolation.following);
        let mut alike = 1;
        for event in rest.take(DIFFERENT_EVENTS - 1) {
            self.subtransactions += 1;
            let tried = apply(
                self.unit,
                self.isolation.projection,
                ApplySlice::Events { events: std::slice::from_ref(event), contiguous: true },
                Some(self.isolation.settings.statement_timeout),
                &*self.isolation.environment.clock,
                Keep::No,
            )
            .await?;
            let Err(failure) = tried else { break };
            if self.isolation.environment.classifier.failure(&failure).class != Class::Unclassified {
                break;
            }
            alike += 1;
        }
        Ok(alike)
    }
}

/// Why a runner with so many open failed events cannot go on, if it cannot.
pub(super) fn too_many_open(open: u64, settings: &ProjectionSettings) -> Option<String> {
    (open > settings.max_dead_letters).then(|| {
        format!(
            "{open} failed events are open, more than max_dead_letters = {}: mend the cause, then retry or discard \
             them",
            settings.max_dead_letters
        )
    })
}

/// Why a runner whose first events all failed cannot go on.
pub(super) fn all_failed(settings: &ProjectionSettings, last: &str) -> String {
    format!(
        "the first {} events of this run all failed (max_first_failures), the last with: {last}",
        settings.max_first_failures
    )
}

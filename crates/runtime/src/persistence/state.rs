//! What the worker knows, and what it decides from that. Pure: it is told time and chance.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::policy::{Backoff, jittered};
use highwater_core::ports::Moment;
use highwater_core::settings::PersistenceSettings;

use crate::persistence::ShutdownReport;
use crate::persistence::flight::{Flight, Landed, Outcome};
use crate::persistence::force::Forces;
use crate::persistence::queue::{Full, Key, Queue};
use crate::persistence::stats::Tally;
use crate::persistence::ticker::Ticker;

/// The pauses after failed calls in a row, and of a key that fails by itself. A second is longer than a
/// hiccup of a network; doubling, a usual breaker opens after an outage of about 10 s; and 30 s is how late a
/// healed key is seen.
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// What the worker does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Keys are ready: a call, if the breaker admits it.
    Call,
    /// Nothing before this moment, or before it is woken.
    Wait(Option<Moment>),
    /// The last pass is over.
    Done,
}

/// What a call is to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// What is next.
    Usual,
    /// What tells most about the target.
    Probe,
    /// Only keys whose forced flush ignores an open breaker.
    Insisting,
}

/// All that the worker and its handles share, and that is not a port.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: PersistenceSettings,
    pub(super) queue: Queue,
    pub(super) forces: Forces,
    pub(super) tally: Tally,
    ticker: Ticker,
    flights: u64,
    /// Calls that failed in a row.
    failed_calls: u32,
    /// No call before this moment.
    paused_until: Moment,
    /// At least 80 % of the places are taken.
    nearly_full: bool,
    closing: Option<Closing>,
    pub(super) panic: Option<String>,
    /// The observer was told that the worker has stopped.
    pub(super) told: bool,
    pub(super) ended: bool,
}

/// The intake is closed.
#[derive(Debug, Clone, Copy)]
struct Closing {
    deadline: Moment,
    /// Keys that had been written when it was closed.
    written_before: u64,
    /// The last pass has begun; numbers up to this one belong to it.
    last_pass: Option<u64>,
}

/// A key was marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marked {
    /// The worker may have something to do earlier than it believes.
    pub(super) wake: bool,
    /// Now 80 % of the places are taken, and before it were fewer: how many keys are dirty.
    pub(super) nearly_full: Option<usize>,
}

/// A key was not marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotMarked {
    /// The intake is closed.
    Closed,
    /// No place for a new key.
    Full,
}

impl State {
    pub(super) fn new(settings: PersistenceSettings, now: Moment, random: u64) -> Self {
        let interval = settings.persistence_interval;
        Self {
            settings,
            queue: Queue::default(),
            forces: Forces::default(),
            tally: Tally::default(),
            ticker: Ticker::new(interval, jittered(interval, random), now),
            flights: 0,
            failed_calls: 0,
            paused_until: now,
            nearly_full: false,
            closing: None,
            panic: None,
            told: false,
            ended: false,
        }
    }

    /// Marks a key.
    pub(super) fn mark(&mut self, key: &str, due: bool, now: Moment) -> Result<Marked, NotMarked> {
        if self.is_closed() {
            return Err(NotMarked::Closed);
        }
        let waited = self.queue.any_waiting();
        match self.queue.mark(key, due, now, self.settings.max_pending) {
            Ok(_new) => {}
            Err(Full) => {
                // Somebody wants a place, so what waits does not wait any longer.
                self.ticker.hurry(now);
                return Err(NotMarked::Full);
            }
        }
        let waits_first = !waited && self.queue.any_waiting();
        if waits_first {
            self.ticker.catch_up(now);
        }
        Ok(Marked { wake: due || waits_first, nearly_full: self.crossing() })
    }

    /// What to do now.
    pub(super) fn next(&mut self, now: Moment) -> Next {
        if let Some(Closing { deadline, last_pass: Some(through), .. }) = self.closing {
            let more = now < deadline && self.queue.next_ready().is_some_and(|number| number <= through);
            return if more { Next::Call } else { Next::Done };
        }
        self.queue.wake(now);
        // Ended here and not only after a call: the calls may have stopped because others took what was
        // ready.
        self.ticker.end_unless(self.queue.next_ready(), now);
        if self.queue.any_waiting() && self.ticker.is_due(now) {
            let through = self.queue.begin_pass();
            self.ticker.begin(through);
        }
        if self.queue.next_ready().is_some() {
            let paused = self.paused_until > now;
            return if paused { Next::Wait(Some(self.paused_until)) } else { Next::Call };
        }
        let tick = if self.queue.any_waiting() { self.ticker.next() } else { None };
        Next::Wait([tick, self.queue.next_rested()].into_iter().flatten().min())
    }

    /// Takes the keys of the next call.
    pub(super) fn take_off(&mut self, load: Load, now: Moment, wall_micros: i64) -> Option<Flight> {
        let forces = &self.forces;
        let wanted = |key: &str| load != Load::Insisting || forces.insists_on(key);
        let keys = self.queue.take(self.settings.max_batch_size, load == Load::Probe, wanted);
        if keys.is_empty() {
            return None;
        }
        self.flights += 1;
        self.tally.took_off(keys.len(), wall_micros);
        Some(Flight { number: self.flights, keys, began: now })
    }

    /// What came of a call.
    pub(super) fn land(
        &mut self,
        flight: Flight,
        outcome: Outcome,
        (now, wall_micros): (Moment, i64),
        mut random: impl FnMut() -> u64,
    ) -> Landed {
        let Flight { number, keys, began } = flight;
        let took = now.since(began);
        let answered = outcome.answered();
        let landed = match outcome {
            Outcome::Answered(answers) => {
                self.tally.responded(took);
                let mut refused = Vec::new();
                for (key, answer) in keys.iter().zip(answers) {
                    match answer {
                        Ok(()) => {
                            let covered = self.queue.written(key);
                            self.forces.written(key, covered);
                            self.tally.succeeded(1, wall_micros);
                        }
                        Err(error) => {
                            let error = Arc::new(error);
                            let failures = self.queue.refused(key, now, |failures| rest(failures, random()));
                            self.forces.failed(key, number, &error);
                            self.tally.failed(1, error.chain(), wall_micros);
                            refused.push((key.clone(), error, failures));
                        }
                    }
                }
                let flushed = keys.len() - refused.len();
                Landed::Answered { flushed, refused, took, pending: self.queue.len() }
            }
            Outcome::Failed(error) => {
                self.tally.responded(took);
                let error = Arc::new(error);
                self.tally.failed(keys.len(), error.chain(), wall_micros);
                for key in &keys {
                    self.forces.failed(key, number, &error);
                }
                self.queue.lost(keys.clone(), now, |failures| rest(failures, random()));
                Landed::Failed { keys: keys.len(), error, took }
            }
            Outcome::TimedOut { after } => {
                self.tally.failed(keys.len(), format!("no answer within {after:?}"), wall_micros);
                self.forces.timed_out(&keys, number);
                self.queue.lost(keys.clone(), now, |failures| rest(failures, random()));
                Landed::TimedOut { keys: keys.len(), after }
            }
        };
        for key in keys.iter().filter(|key| self.forces.wants(key)) {
            self.queue.make_due(key);
        }
        self.pause(answered, now, random());
        // Below the line again, the next crossing is news; a landing itself never crosses it.
        self.crossing();
        landed
    }

    /// A call was given up before it ended; whether its keys were written is not known.
    pub(super) fn give_up(&mut self, flight: &Flight) {
        self.queue.given_up(&flight.keys);
        self.tally.given_up(flight.keys.len());
    }

    /// What is dirty, all of it or those of `keys` that are, with the newest marks.
    pub(super) fn dirty(&self, keys: Option<&[String]>) -> Vec<(Key, u64)> {
        let dirty: Vec<Key> = match keys {
            None => self.queue.dirty(),
            Some(keys) => keys.iter().map(|key| Key::from(key.as_str())).collect(),
        };
        dirty.into_iter().filter_map(|key| self.queue.mark_of(&key).map(|mark| (key, mark))).collect()
    }

    /// Makes the keys of a forced flush due, and opens a ticket for them.
    pub(super) fn force(&mut self, dirty: Vec<(Key, u64)>, ignores_open_breaker: bool, now: Moment) -> u64 {
        for (key, _) in &dirty {
            self.queue.make_due(key);
        }
        self.paused_until = now;
        self.forces.open(dirty, self.flights + 1, ignores_open_breaker)
    }

    /// The target is believed to be well: nothing rests any longer.
    pub(super) fn recover(&mut self, now: Moment) {
        (self.failed_calls, self.paused_until) = (0, now);
        self.queue.wake_all();
    }

    /// Other settings from now on.
    pub(super) fn configure(&mut self, settings: PersistenceSettings, now: Moment) -> Option<usize> {
        self.ticker.configure(settings.persistence_interval, now);
        self.settings = settings;
        self.crossing()
    }

    /// Closes the intake, once.
    pub(super) fn close(&mut self, now: Moment) {
        let deadline = now + self.settings.shutdown_timeout;
        let written_before = self.tally.successful;
        self.closing.get_or_insert(Closing { deadline, written_before, last_pass: None });
    }

    /// Whether the intake is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closing.is_some() || self.ended
    }

    /// How long a stop that was asked for may still take.
    pub(super) fn time_to_stop(&self, now: Moment) -> Duration {
        self.closing.map_or(Duration::ZERO, |closing| closing.deadline.since(now))
    }

    /// The last pass begins: every dirty key is tried once. `false` if it has begun before.
    pub(super) fn begin_last_pass(&mut self) -> bool {
        let Some(closing) = self.closing.as_mut().filter(|closing| closing.last_pass.is_none()) else {
            return false;
        };
        self.queue.wake_all();
        closing.last_pass = Some(self.queue.begin_pass());
        true
    }

    /// Whether the last pass has begun.
    pub(super) fn is_last_pass(&self) -> bool {
        self.closing.is_some_and(|closing| closing.last_pass.is_some())
    }

    /// What a stop reports now.
    pub(super) fn report(&self) -> ShutdownReport {
        let written_before = self.closing.map_or(self.tally.successful, |closing| closing.written_before);
        ShutdownReport {
            flushed: self.tally.successful - written_before,
            residue: self.queue.dirty().iter().map(ToString::to_string).collect(),
            panic: self.panic.clone(),
        }
    }

    fn pause(&mut self, answered: bool, now: Moment, random: u64) {
        if answered {
            (self.failed_calls, self.paused_until) = (0, now);
            return;
        }
        let cap = RETRY.cap.min(self.settings.persistence_interval);
        self.paused_until = now + Backoff { cap, ..RETRY }.delay(self.failed_calls, random);
        self.failed_calls = self.failed_calls.saturating_add(1);
    }

    /// How many keys are dirty, if 80 % of the places are taken now and were not before.
    fn crossing(&mut self) -> Option<usize> {
        let pending = self.queue.len();
        let nearly_full = pending.saturating_mul(5) >= self.settings.max_pending.saturating_mul(4);
        let before = std::mem::replace(&mut self.nearly_full, nearly_full);
        (nearly_full && !before).then_some(pending)
    }
}

/// How long a key rests that failed so often in a row.
fn rest(failures: u32, random: u64) -> Duration {
    RETRY.delay(failures.saturating_sub(1), random)
}

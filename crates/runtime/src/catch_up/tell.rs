//! What a runner tells of itself: its status, and what observers see.
//!
//! Counters are kept where they are raised, and told in sums: observers and metrics cost more than an event
//! does.

use std::time::Duration;

use highwater_core::ports::{HandlerSeen, HandlerTotals, Moment};

use super::lanes::Trying;
use super::owner::Owner;
use super::report::per_second;
use super::status::{CatchUpStatus, CatchUpStatusCell};
use crate::projection::Phase;

/// Observers hear of settled events at most so often, and when there is nothing left to do.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// The counters, and how much of them has been told.
pub(super) struct Tally {
    pub(super) totals: HandlerTotals,
    told: HandlerTotals,
    told_at: Moment,
    progress: (u64, Moment),
    beat: Moment,
    /// Something in the lanes has failed, or has recovered.
    pub(super) lanes_in_trouble: bool,
    tried: Trying,
    stalled: bool,
    paused: bool,
}

impl Tally {
    pub(super) fn new(status: &CatchUpStatusCell, now: Moment) -> Self {
        let totals = status.totals();
        Self {
            totals,
            told: totals,
            told_at: now,
            progress: (totals.processed, now),
            beat: now,
            lanes_in_trouble: false,
            tried: Trying::default(),
            stalled: status.is_stalled(),
            paused: false,
        }
    }

    pub(super) fn next_beat(&self, every: Duration) -> Moment {
        self.beat + every
    }

    /// When what is not told yet is to be told.
    pub(super) fn tell_at(&self) -> Option<Moment> {
        (self.totals != self.told).then(|| self.told_at + TELL_EVERY)
    }

    fn news(&mut self, now: Moment) -> HandlerTotals {
        let (is, was) = (self.totals, std::mem::replace(&mut self.told, self.totals));
        self.told_at = now;
        HandlerTotals {
            processed: is.processed - was.processed,
            errors: is.errors - was.errors,
            dead_lettered: is.dead_lettered - was.dead_lettered,
            skipped: is.skipped - was.skipped,
            duplicates: is.duplicates - was.duplicates,
        }
    }
}

impl Owner<'_> {
    /// Keeps the last trouble for whoever asks.
    pub(super) fn trouble(&self, what: String) {
        self.runner.status.update(|status| status.last_error = Some(what));
    }

    /// Tells what has changed since the last round.
    pub(super) fn tell(&mut self, now: Moment) {
        let settings = &self.runner.settings;
        if now >= self.tally.next_beat(settings.poll_interval) {
            self.tally.beat = now;
            self.runner.seen(&HandlerSeen::Heartbeat);
        }
        if self.tally.tell_at().is_some_and(|at| now >= at || self.lanes.held() == 0) {
            self.tell_totals(now);
        }
        if self.tally.lanes_in_trouble {
            self.tally.tried = self.lanes.most_tried();
            self.tally.lanes_in_trouble = self.tally.tried != Trying::default();
        }
        self.tell_progress(now);
        self.tell_paused();
        let stalled = self.stalled(now);
        self.tell_status(stalled.as_deref());
        if stalled.is_some() != self.tally.stalled {
            self.tally.stalled = stalled.is_some();
            let seen =
                stalled.as_deref().map_or(HandlerSeen::Healed, |reason| HandlerSeen::Stalled { reason });
            self.runner.seen(&seen);
        }
    }

    /// Tells what is left to be told when the owner ends.
    pub(super) fn tell_last(&mut self) {
        let now = self.now();
        if self.tally.tell_at().is_some() {
            self.tell_totals(now);
        }
        let stalled = self.stalled(now);
        self.tell_status(stalled.as_deref());
    }

    fn tell_totals(&mut self, now: Moment) {
        let news = self.tally.news(now);
        self.runner.seen(&HandlerSeen::Settled(news));
    }

    fn tell_progress(&mut self, now: Moment) {
        let every = self.runner.settings.progress_every;
        let (told, at) = self.tally.progress;
        let processed = self.tally.totals.processed;
        if every == 0 || processed / every == told / every {
            return;
        }
        self.tally.progress = (processed, now);
        self.runner.seen(&HandlerSeen::Progress {
            totals: self.tally.totals,
            position: self.progress.mark(),
            per_second: per_second(processed - told, now.since(at)),
        });
    }

    fn tell_paused(&mut self) {
        let paused = self.is_paused();
        if paused != self.tally.paused {
            self.tally.paused = paused;
            self.runner.seen(if paused { &HandlerSeen::Paused } else { &HandlerSeen::Resumed });
        }
    }

    /// What has to heal before it goes on, if something has.
    fn stalled(&self, now: Moment) -> Option<String> {
        let retries = self.runner.settings.max_retries;
        let last = || self.runner.status.get().last_error.unwrap_or_else(|| "no reason was given".to_owned());
        if self.tripped {
            return Some(format!("the circuit breaker in front of the handler is open: {}", last()));
        }
        if let Some(reason) = self.outage.reason() {
            return Some(format!("different events in a row fail alike, which is an outage: {reason}"));
        }
        if self.tally.tried.passing > retries || self.intake.failed() > retries {
            return Some(last());
        }
        let unwritten = self.progress.overdue_at().is_some_and(|at| now >= at);
        if unwritten || self.lease_is_over(now) {
            let trouble = self.standing.borrow().trouble.clone();
            let why = trouble.unwrap_or_else(|| "it does not answer".to_owned());
            return Some(format!("the checkpoint store takes no checkpoint: {why}"));
        }
        None
    }

    fn tell_status(&self, stalled: Option<&str>) {
        let doing = |status: &CatchUpStatus| match (&status.phase, stalled) {
            (Phase::Stalled { reason }, Some(now)) if reason == now => None,
            (_, Some(reason)) => Some(Phase::Stalled { reason: reason.to_owned() }),
            (phase, None) => {
                let is = if self.is_paused() {
                    Phase::Paused
                } else if self.tally.tried.failed > 0 {
                    Phase::RetryingEvent
                } else if self.behind {
                    Phase::CatchingUp
                } else {
                    Phase::Live
                };
                (is != *phase).then_some(is)
            }
        };
        self.runner.status.revise(|status| {
            let mut changed = false;
            if let Some(phase) = doing(status) {
                (status.phase, changed) = (phase, true);
            }
            set(&mut changed, &mut status.position, self.progress.mark());
            set(&mut changed, &mut status.stored, self.progress.stored());
            set(&mut changed, &mut status.in_flight, self.turns.in_flight());
            set(&mut changed, &mut status.held, self.lanes.held());
            set(&mut changed, &mut status.attempts, self.tally.tried.counted);
            set(&mut changed, &mut status.totals, self.tally.totals);
            changed
        });
    }
}

fn set<T: PartialEq>(changed: &mut bool, place: &mut T, value: T) {
    if *place != value {
        *place = value;
        *changed = true;
    }
}

//! Third stage: what a failure does to its event, its lane and the runner.
//!
//! The decision itself is the one table of all runners (`policy::decide`).

use std::time::Duration;

use highwater_core::Failure;
use highwater_core::model::{FailedState, RecordedEvent};
use highwater_core::policy::{Action, Class, Decided, decide};
use highwater_core::ports::{HandlerAttempt, HandlerSeen, Moment};

use super::lanes::Trying;
use super::letters::{Judged, Pending};
use super::other_side::asked_for;
use super::owner::{Left, Owner};
use super::suspects::{Outage, Suspect};
use super::turn::Failed;
use crate::flow::dead_letter::shortened;

impl Owner<'_> {
    pub(super) fn judge(&mut self, lane: usize, place: usize, failed: Failed, decided: Decided, now: Moment) {
        let Failed { failure, suspects, .. } = failed;
        let message = shortened(failure.message());
        self.tally.totals.errors += 1;
        self.tally.lanes_in_trouble = true;
        self.trouble(message.clone());
        if suspects > 1 {
            self.judge_many(lane, suspects, &failure, &decided, &message, now);
            return;
        }
        let Some(event) = self.lanes.at(lane, place).cloned() else { return };
        if decided.by == "pattern" {
            tracing::warn!(
                target: "highwater",
                group = &*self.runner.group,
                class = decided.class.as_str(),
                position = %event.position(),
                "a failure was classified by the words of its message: {message}"
            );
        }
        let settings = &self.runner.settings;
        let mut trying = self.lanes.of(lane).trying.unwrap_or_default();
        trying.failed = trying.failed.saturating_add(1);
        let counted = trying.counted.saturating_add(1);
        let most = settings.max_retries.saturating_add(1);
        let policy = settings.on_permanent.as_on_failure(self.letters.is_some());
        let action = decide(policy, &decided, failure.stated(), counted, most);
        let in_outage = self.outage.goes_on() && decided.class == Class::Unclassified;
        let again_in = match action {
            _ if in_outage => Some(self.longest_pause().max(asked_for(&failure))),
            Action::Wait => {
                trying.passing = trying.passing.saturating_add(1);
                Some(self.pause(trying.passing, &failure))
            }
            Action::RetryLater => {
                (trying.counted, trying.passing) = (counted, 0);
                Some(self.pause(counted, &failure))
            }
            Action::SetAside(_) | Action::Probe(_) | Action::Fault => None,
        };
        let counts = decided.class != Class::Transient && !in_outage;
        let attempts = if counts { counted } else { trying.counted };
        self.runner.seen(&HandlerSeen::AttemptFailed(HandlerAttempt {
            event: &event,
            decided: &decided,
            message: &message,
            attempts,
            again_in,
        }));
        match again_in {
            Some(pause) if in_outage => return self.outage.failed(place == 0, now, now + pause),
            Some(pause) => {
                self.lanes.of(lane).trying = Some(trying);
                return self.lanes.wait(lane, now + pause);
            }
            None => {}
        }
        let judged = Judged { decided, message, attempts };
        match action {
            Action::SetAside(becomes) => {
                if let Some(event) = self.lanes.take_out(lane, place) {
                    self.give_up(lane, event, judged, becomes);
                }
            }
            Action::Probe(becomes) => self.suspect(lane, judged, becomes, now),
            Action::Wait | Action::RetryLater | Action::Fault => {
                let reason =
                    format!("event {} ({}): {}", event.position(), event.event_type(), judged.message);
                self.end(Left::Faulted(reason));
            }
        }
    }

    /// A call with several events failed without saying at which.
    fn judge_many(
        &mut self,
        lane: usize,
        events: usize,
        failure: &Failure,
        decided: &Decided,
        message: &str,
        now: Moment,
    ) {
        self.runner.seen(&HandlerSeen::CallFailed { events, message });
        let in_lane = self.lanes.of(lane);
        in_lane.one_by_one = in_lane.one_by_one.max(events);
        match decided.class {
            Class::Fatal => self.end(Left::Faulted(message.to_owned())),
            Class::Transient => {
                let trying = Trying { passing: 1, ..Trying::default() };
                self.lanes.of(lane).trying = Some(trying);
                let pause = self.pause(trying.passing, failure);
                self.lanes.wait(lane, now + pause);
            }
            Class::Permanent | Class::Unclassified => {}
        }
    }

    /// How long to wait behind the n-th failure: by the backoff, and as long as the other side asks for.
    fn pause(&self, nth: u32, failure: &Failure) -> Duration {
        let environment = &self.runner.environment;
        let backoff =
            self.runner.settings.backoff().delay(nth.saturating_sub(1), environment.jitter.next_u64());
        backoff.max(asked_for(failure))
    }

    fn longest_pause(&self) -> Duration {
        self.runner.settings.backoff().delay(u32::MAX, self.runner.environment.jitter.next_u64())
    }

    fn suspect(&mut self, lane: usize, judged: Judged, becomes: FailedState, now: Moment) {
        let Some(event) = self.lanes.take_out(lane, 0) else { return };
        let since = self.turns.begun();
        let reason = judged.message.clone();
        self.lanes.of(lane).suspects.push_back(Suspect { event, judged, becomes, since });
        self.lanes.suspects += 1;
        if Outage::is_one(&self.lanes) {
            let until = now + self.longest_pause();
            self.outage.begin(&mut self.lanes, since, until, &reason);
        }
    }

    /// Nothing is left that could tell a bad event from an outage.
    pub(super) fn suspects_behind_the_end(&mut self) {
        if self.lanes.suspects == 0
            || !self.turns.is_empty()
            || self.lanes.has_ready()
            || self.lanes.waiting() > 0
            || !(self.intake.caught_up() || self.lanes.held() >= self.runner.settings.intake_events)
        {
            return;
        }
        for (lane, suspect) in Outage::log_ended(&mut self.lanes) {
            self.give_up(lane, suspect.event, suspect.judged, suspect.becomes);
        }
    }

    /// An event is to be set aside: it is settled when that is written down.
    pub(super) fn give_up(
        &mut self,
        lane: usize,
        event: RecordedEvent,
        judged: Judged,
        becomes: FailedState,
    ) {
        let pending = Pending::new(&self.runner.group, self.generation, &event, judged, becomes);
        if self.letters.is_some() {
            self.lanes.of(lane).letters.push_back(pending);
            self.lanes.list(lane);
        } else {
            self.set_aside(&pending);
        }
    }
}

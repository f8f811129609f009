//! What is begun, and what holds it: a stop, a pause, an outage, an open breaker, a checkpoint that has to be
//! stored first, a lease that may be over.

use highwater_core::model::RecordedEvent;
use highwater_core::ports::Moment;

use super::owner::Owner;
use super::turn::Handling;

/// The most events of a turn: it bounds how long a handler that never waits keeps its thread.
const MOST_IN_TURN: u64 = 256;

impl Owner<'_> {
    /// Begins a turn in each lane that may have one.
    pub(super) fn dispatch(&mut self, now: Moment) {
        self.lanes.wake(now);
        self.probe_at = None;
        if self.holds(now) {
            return;
        }
        while self.progress.room() > 0
            && let Some(lane) = self.lanes.next_ready()
        {
            if !self.begin(lane, now) {
                self.lanes.not_yet(lane);
                return;
            }
            if self.outage.goes_on() && self.turns.in_flight() > 0 {
                return;
            }
        }
    }

    /// Whether nothing may be begun now.
    fn holds(&self, now: Moment) -> bool {
        self.ending.is_some()
            || *self.paused.borrow()
            || self.outage.until().is_some_and(|until| now < until || self.turns.in_flight() > 0)
            || self.lease_is_over(now)
    }

    pub(super) fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// By our own clock another one may have the group by now.
    pub(super) fn lease_is_over(&self, now: Moment) -> bool {
        now.since(self.standing.borrow().renewed) >= self.seat.lease()
    }

    fn begin(&mut self, lane: usize, now: Moment) -> bool {
        let runner = self.runner;
        let settings = &runner.settings;
        let clock = runner.environment.clock.clone();
        if let Some(letters) = &self.letters
            && let Some(pending) = self.lanes.of(lane).letters.pop_front()
        {
            self.lanes.busy(lane);
            self.turns.keep(lane, pending, letters.clone(), clock, settings.handler_timeout);
            return true;
        }
        let permit = match runner.breaker.admit(now) {
            Ok((permit, change)) => {
                self.breaker_changed(change, now);
                permit
            }
            Err(refused) => {
                // While a probe is on its way its result decides; that of another runner is asked for again
                // soon.
                self.probe_at = Some(now + refused.retry_in.unwrap_or(settings.poll_interval));
                self.other_side_is_down(now);
                return false;
            }
        };
        let (place, events) = self.events_of(lane);
        self.turns.handle(Handling {
            lane,
            events,
            place,
            batch: settings.batch,
            handler: runner.handler.clone(),
            clock,
            limit: settings.handler_timeout,
            permit,
        });
        true
    }

    /// The events of a lane's next turn, and where the first of them stood.
    fn events_of(&mut self, lane: usize) -> (usize, Vec<RecordedEvent>) {
        let settings = &self.runner.settings;
        if !self.outage.goes_on() {
            let flying = u64::try_from(self.turns.in_flight()).unwrap_or(u64::MAX);
            let spare = self.progress.room().saturating_sub(flying).min(MOST_IN_TURN);
            let most = usize::try_from(spare).unwrap_or(0).max(settings.batch);
            return (0, self.lanes.take(lane, most));
        }
        if self.outage.doubts_the_head()
            && !self.lanes.has_ready()
            && let Some((place, event)) = self.lanes.take_other(lane)
        {
            return (place, vec![event]);
        }
        (0, self.lanes.take(lane, 1))
    }
}

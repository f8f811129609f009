//! When a pass over the dirty keys begins (C-12). Pure: it is told the time.

use std::time::Duration;

use highwater_core::ports::Moment;

/// Ticks with a fixed delay: from the end of one pass to the beginning of the next.
#[derive(Debug)]
pub(super) struct Ticker {
    interval: Duration,
    next: Moment,
    /// A pass goes on; numbers up to this one belong to it.
    pass: Option<u64>,
}

impl Ticker {
    /// Ticks for the first time after `first`.
    pub(super) fn new(interval: Duration, first: Duration, now: Moment) -> Self {
        Self { interval, next: now + first, pass: None }
    }

    /// Whether a pass has to begin.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.pass.is_none() && self.next <= now
    }

    /// When the next pass begins; `None` while one goes on.
    pub(super) fn next(&self) -> Option<Moment> {
        self.pass.is_none().then_some(self.next)
    }

    /// A pass begins.
    pub(super) fn begin(&mut self, through: u64) {
        self.pass = Some(through);
    }

    /// Ends the pass if nothing of it is ready any more, given the number that is next.
    pub(super) fn end_unless(&mut self, next_ready: Option<u64>, now: Moment) {
        if let Some(through) = self.pass
            && next_ready.is_none_or(|number| number > through)
        {
            self.pass = None;
            self.next = now + self.interval;
        }
    }

    /// The first key began to wait: the ticks that found nothing are made up for, so that it waits for the
    /// next one and not for one that is over. (The worker sleeps through ticks that have nothing to do.)
    pub(super) fn catch_up(&mut self, now: Moment) {
        if self.pass.is_some() || self.next > now {
            return;
        }
        let over = now.since(self.next).as_nanos() % self.interval.as_nanos().max(1);
        let over = u64::try_from(over).map_or(Duration::MAX, Duration::from_nanos);
        self.next = now + self.interval.saturating_sub(over);
    }

    /// The next pass begins now: somebody waits for room.
    pub(super) fn hurry(&mut self, now: Moment) {
        self.next = self.next.min(now);
    }

    /// Another interval from now on; the tick that is awaited comes no later than it would under it.
    pub(super) fn configure(&mut self, interval: Duration, now: Moment) {
        self.interval = interval;
        self.next = self.next.min(now + interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(millis))
    }

    fn ticker() -> Ticker {
        Ticker::new(Duration::from_millis(1_000), Duration::from_millis(800), ms(0))
    }

    #[test]
    fn c_12_the_delay_runs_from_the_end_of_a_pass() {
        let mut ticker = ticker();
        assert!(!ticker.is_due(ms(799)));
        assert!(ticker.is_due(ms(800)));
        ticker.begin(10);
        assert!(!ticker.is_due(ms(9_000)), "passes do not overlap");
        ticker.end_unless(Some(10), ms(9_000));
        assert_eq!(ticker.next(), None, "number 10 belongs to it");
        ticker.end_unless(Some(11), ms(9_000));
        assert_eq!(ticker.next(), Some(ms(10_000)));
        ticker.end_unless(None, ms(9_999));
        assert_eq!(ticker.next(), Some(ms(10_000)), "it ends once");
    }

    #[test]
    fn c_12_ticks_that_found_nothing_are_made_up_for() {
        let mut ticker = ticker();
        ticker.catch_up(ms(700));
        assert_eq!(ticker.next(), Some(ms(800)));
        ticker.catch_up(ms(800));
        assert_eq!(ticker.next(), Some(ms(1_800)));
        ticker.catch_up(ms(7_900));
        assert_eq!(ticker.next(), Some(ms(8_800)));
    }

    #[test]
    fn a_shorter_interval_holds_at_once_and_a_longer_one_from_the_next_tick() {
        let mut ticker = ticker();
        ticker.configure(Duration::from_secs(60), ms(0));
        assert_eq!(ticker.next(), Some(ms(800)));
        ticker.configure(Duration::from_millis(100), ms(300));
        assert_eq!(ticker.next(), Some(ms(400)));
        ticker.hurry(ms(350));
        assert_eq!(ticker.next(), Some(ms(350)));
    }
}

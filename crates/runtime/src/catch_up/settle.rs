//! What the end of a turn settles: events that were handled, and those whose letter is durable.

use highwater_core::Error;
use highwater_core::model::RecordedEvent;
use highwater_core::policy::Class;
use highwater_core::ports::HandlerSeen;

use super::letters::{Kept, Pending};
use super::owner::{Left, Owner};
use super::suspects::rewind;
use super::turn::{Handled, TurnEnd};

impl Owner<'_> {
    pub(super) fn ended(&mut self, end: TurnEnd) {
        match end {
            TurnEnd::Handled(handled) => self.handled(handled),
            TurnEnd::Kept { lane, pending, kept } => self.kept(lane, *pending, kept),
        }
    }

    fn handled(&mut self, handled: Handled) {
        let now = self.now();
        let Handled { lane, number, mut events, place, settled, failed, permit } = handled;
        let decided =
            failed.as_ref().map(|failed| self.runner.environment.classifier.failure(&failed.failure));
        let again = self.lanes.of(lane).trying.is_some_and(|trying| trying.failed > 0) && settled == 0;
        self.sample(permit, settled > 0, again, failed.as_ref().zip(decided.as_ref()), now);
        self.settled(lane, &events[..settled]);
        if place > 0
            && let Some(probe) = events.drain(settled..).next()
        {
            self.lanes.put_back(lane, place, probe);
        }
        self.lanes.end_turn(lane, events.drain(settled.min(events.len())..));
        if settled > 0 {
            for (lane, suspect) in self.outage.passed(&mut self.lanes, lane, number) {
                self.give_up(lane, suspect.event, suspect.judged, suspect.becomes);
            }
        }
        if let Some((failed, decided)) = failed.zip(decided) {
            self.judge(lane, place, failed, decided, now);
        }
        if self.lanes.of(lane).rewind {
            rewind(&mut self.lanes, lane);
        }
        self.lanes.list(lane);
    }

    /// The handler has taken the first events of a turn.
    fn settled(&mut self, lane: usize, events: &[RecordedEvent]) {
        let Some(first) = events.first() else { return };
        for event in events {
            self.progress.settle(event.position());
            self.lanes.let_go(event);
        }
        self.tally.totals.processed += u64::try_from(events.len()).unwrap_or(u64::MAX);
        self.failed_first = None;
        let lane = self.lanes.of(lane);
        lane.one_by_one = lane.one_by_one.saturating_sub(events.len());
        if let Some(tried) = lane.trying.take() {
            self.tally.lanes_in_trouble = true;
            self.runner.seen(&HandlerSeen::EventRecovered { event: first, failed: tried.failed });
        }
    }

    /// What was set aside is settled.
    pub(super) fn set_aside(&mut self, pending: &Pending) {
        let event = &pending.letter.event;
        self.progress.settle(event.position());
        self.lanes.let_go(event);
        if pending.skipped {
            self.tally.totals.skipped += 1;
            self.runner.seen(&HandlerSeen::Skipped(&pending.letter));
        } else {
            self.tally.totals.dead_lettered += 1;
            self.runner.seen(&HandlerSeen::DeadLettered(&pending.letter));
        }
        let most = self.runner.settings.max_first_failures;
        if let Some(failed) = &mut self.failed_first {
            *failed += 1;
            if *failed >= most {
                let last = &pending.letter.message;
                self.end(Left::Faulted(format!(
                    "the first {most} events of this run all failed (max_first_failures), the last with: {last}"
                )));
            }
        }
    }

    /// The dead letters have taken a letter, or have not.
    fn kept(&mut self, lane: usize, mut pending: Pending, kept: Result<Kept, Error>) {
        self.lanes.end_turn(lane, std::iter::empty());
        self.tally.lanes_in_trouble = true;
        match kept {
            Ok(Kept::Yes) => self.set_aside(&pending),
            Ok(Kept::TooMany { open }) => self.end(Left::Faulted(format!(
                "{open} dead letters of this group are open, and max_dead_letters allows no more: mend the cause, then \
                 retry or discard them; the event to be added stands at {}: {}",
                pending.letter.event.position(),
                pending.letter.message
            ))),
            Err(error) => {
                pending.tries = pending.tries.saturating_add(1);
                let class = self.runner.environment.classifier.error(&error).class;
                self.trouble(error.chain());
                if matches!(class, Class::Fatal | Class::Permanent) {
                    self.end(Left::Faulted(error.chain()));
                }
                let environment = &self.runner.environment;
                let backoff = self.runner.settings.backoff();
                let after = backoff.delay(pending.tries - 1, environment.jitter.next_u64());
                self.runner.seen(&HandlerSeen::LetterFailed {
                    letter: &pending.letter,
                    error: &error,
                    after,
                    attempt: pending.tries,
                });
                self.lanes.of(lane).letters.push_front(pending);
                let until = self.now() + after;
                self.lanes.wait(lane, until);
            }
        }
        if self.lanes.of(lane).rewind {
            rewind(&mut self.lanes, lane);
        }
        self.lanes.list(lane);
    }
}

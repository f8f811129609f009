//! An owner's loop: take in, hand to the lanes, settle, write down.
//!
//! All decisions of a round are made between two waits, from what is in memory and the time; then it waits
//! for whatever comes first: a piece of the log, the end of a turn, word of the store, a timer, a stop. What
//! the end of a turn means stands in `settle` and `judge`, what is begun in `dispatch`, what is told to
//! others in `tell`.

use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::Position;
use highwater_core::ports::{HandlerSeen, Limit, Moment};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::checkpoints::{Held, Standing};
use super::intake::{Intake, News};
use super::lanes::Lanes;
use super::letters::LetterBox;
use super::progress::Progress;
use super::runner::CatchUpRunner;
use super::seat::Seat;
use super::suspects::Outage;
use super::tell::Tally;
use super::turn::{TurnEnd, Turns};

/// Why an owner stopped being one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Left {
    Stopped,
    CaughtUp,
    /// Another one has the group.
    Lost,
    /// An operator has moved the checkpoint forward.
    Moved,
    Faulted(String),
}

/// Where an owner begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin {
    pub(super) generation: u64,
    /// Everything up to here counts as settled.
    pub(super) after: Option<Position>,
    /// The checkpoint that is stored.
    pub(super) stored: Option<Position>,
    /// Whether the log has to go as far as that (E-7).
    pub(super) check: bool,
    /// Where it ends.
    pub(super) until: Option<Position>,
}

pub(super) struct Owner<'r> {
    pub(super) runner: &'r CatchUpRunner,
    pub(super) seat: &'r mut Seat,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) paused: watch::Receiver<bool>,
    /// How often it was asked to have its mark written at once.
    asked: watch::Receiver<u64>,
    pub(super) generation: u64,
    pub(super) intake: Intake,
    pub(super) lanes: Lanes,
    pub(super) turns: Turns,
    pub(super) progress: Progress,
    pub(super) letters: Option<Arc<LetterBox>>,
    pub(super) outage: Outage,
    pub(super) tally: Tally,
    /// How many events were given up before the first one was handled; `None` once one was.
    pub(super) failed_first: Option<u64>,
    /// The end of the log has not been reached since there was more to read.
    pub(super) behind: bool,
    /// The breaker has opened, and has not closed.
    pub(super) tripped: bool,
    /// When the breaker lets a probe through.
    pub(super) probe_at: Option<Moment>,
    pub(super) ending: Option<Ending>,
}

/// It begins nothing any more.
pub(super) struct Ending {
    why: Left,
    deadline: Moment,
}

/// What an owner waits for.
enum Happened {
    StopRequested,
    Standing,
    News(News),
    Ended(TurnEnd),
    Nothing,
}

impl<'r> Owner<'r> {
    pub(super) fn new(
        runner: &'r CatchUpRunner,
        seat: &'r mut Seat,
        letters: Option<Arc<LetterBox>>,
        failed_first: Option<u64>,
        begin: Begin,
    ) -> Self {
        let now = runner.environment.clock.now();
        let Begin { generation, after, stored, check, until } = begin;
        let settings = &runner.settings;
        let mut owner = Self {
            standing: seat.standing(),
            paused: runner.status.paused(),
            asked: runner.status.asked(),
            generation,
            intake: Intake::new(runner, after, until, check),
            lanes: Lanes::new(settings.lanes),
            turns: Turns::new(settings.lanes),
            progress: Progress::new(after, stored, settings.flush(), now),
            letters,
            outage: Outage::default(),
            tally: Tally::new(&runner.status, now),
            failed_first,
            behind: true,
            tripped: false,
            probe_at: None,
            ending: None,
            seat,
            runner,
        };
        // A place that was chosen holds from now on: a restart must not choose again.
        owner.flush(true, now);
        owner
    }

    /// Until it is asked to stop, has to, or loses the group. Turns that are under way then are finished for
    /// as long as `drain` allows, and dropped where the group is another one's.
    pub(super) async fn run(&mut self, stop: &CancellationToken) -> Left {
        // Somebody may have asked before it was the owner.
        let mut handed_over = 0;
        loop {
            // A handler that never waits must not keep the thread for ever.
            tokio::task::coop::consume_budget().await;
            let now = self.now();
            self.suspects_behind_the_end();
            let at_end = self.intake.caught_up() && self.lanes.held() == 0;
            let reached_end = at_end && self.behind;
            self.behind &= !at_end;
            let asked = *self.asked.borrow_and_update();
            self.flush(reached_end || asked > handed_over, now);
            if asked > handed_over {
                self.runner.status.handed_over(asked);
                handed_over = asked;
            }
            self.dispatch(now);
            self.tell(now);
            if reached_end {
                self.runner.seen(&HandlerSeen::CaughtUp { position: self.progress.mark() });
            }
            if let Some(left) = self.is_over(at_end, now) {
                return left;
            }
            match self.wait(stop, now).await {
                Happened::Nothing => {}
                Happened::StopRequested => {
                    self.runner.seen(&HandlerSeen::StopRequested);
                    self.end(Left::Stopped);
                }
                Happened::Standing => {
                    if let Some(left) = self.heard() {
                        return left;
                    }
                }
                Happened::News(news) => self.took(news),
                Happened::Ended(end) => self.ended(end),
            }
        }
    }

    /// Drops what is under way; answers how many events were with the handler.
    pub(super) fn abandon(&mut self) -> u64 {
        u64::try_from(self.turns.abandon()).unwrap_or(u64::MAX)
    }

    pub(super) fn now(&self) -> Moment {
        self.runner.environment.clock.now()
    }

    /// Begins nothing any more.
    pub(super) fn end(&mut self, why: Left) {
        if self.ending.is_none() {
            self.turns.hurry();
            self.ending = Some(Ending { why, deadline: self.now() + self.runner.settings.drain });
        }
    }

    async fn wait(&mut self, stop: &CancellationToken, now: Moment) -> Happened {
        let limit = self.room();
        let wake = self.next_wake(now);
        let clock = &self.runner.environment.clock;
        let stopping = self.ending.is_some();
        tokio::select! {
            biased;
            () = stop.cancelled(), if !stopping => Happened::StopRequested,
            // The sender is on the board, and the seat keeps its row there.
            Ok(()) = self.standing.changed() => Happened::Standing,
            news = self.intake.next(limit), if !stopping && limit.events > 0 => Happened::News(news),
            end = self.turns.next(), if !self.turns.is_empty() => Happened::Ended(end),
            Ok(()) = self.paused.changed() => Happened::Nothing,
            Ok(()) = self.asked.changed() => Happened::Nothing,
            () = async { clock.sleep(wake).await } => Happened::Nothing,
        }
    }

    /// How much may be read now; no events = nothing.
    fn room(&self) -> Limit {
        let settings = &self.runner.settings;
        let events = settings.intake_events.saturating_sub(self.lanes.held());
        let bytes = settings.intake_bytes.saturating_sub(self.lanes.held_bytes());
        // Reading much at a time is cheaper, so it waits for room, as long as there is something to do.
        let enough = events.saturating_mul(2) >= settings.intake_events || !self.lanes.has_ready();
        let events = if bytes > 0 && enough && !self.intake.is_done() { events } else { 0 };
        Limit { events, bytes }
    }

    /// In which time something is to be done without anything happening.
    fn next_wake(&self, now: Moment) -> Duration {
        let later = |moment: Option<Moment>| moment.filter(|moment| *moment > now);
        let moments = [
            Some(self.tally.next_beat(self.runner.settings.poll_interval)),
            self.tally.tell_at(),
            self.lanes.next_wake(),
            self.progress.due_at(),
            later(self.progress.overdue_at()),
            later(self.outage.until()),
            self.probe_at,
            self.ending.as_ref().map(|ending| ending.deadline),
        ];
        moments.into_iter().flatten().min().map_or(Duration::ZERO, |moment| moment.since(now))
    }

    fn is_over(&mut self, at_end: bool, now: Moment) -> Option<Left> {
        if let Some(ending) = &self.ending {
            let over = self.turns.is_empty() || now >= ending.deadline;
            return over.then(|| ending.why.clone());
        }
        (at_end && self.intake.is_done()).then_some(Left::CaughtUp)
    }

    /// Has the mark written if it is due.
    fn flush(&mut self, at_once: bool, now: Moment) {
        self.seat.reached(self.progress.mark());
        if !self.progress.due(at_once, now) {
            return;
        }
        match self.seat.request() {
            Ok(()) => self.progress.requested(now),
            Err(error) => {
                self.progress.not_taken(now);
                self.trouble(error.chain());
            }
        }
    }

    /// The store has said something.
    fn heard(&mut self) -> Option<Left> {
        let (held, stored) = {
            let standing = self.standing.borrow_and_update();
            (standing.held, standing.stored)
        };
        match held {
            Held::Lost | Held::Not => return Some(Left::Lost),
            Held::Moved => return Some(Left::Moved),
            Held::Ours { .. } => {}
        }
        if self.progress.confirmed(stored)
            && let Some(position) = stored
        {
            self.runner.seen(&HandlerSeen::Flushed { position });
        }
        None
    }

    /// The log has said something.
    fn took(&mut self, news: News) {
        match news {
            News::Batch { events, duplicates, scanned } => {
                self.tally.totals.duplicates += duplicates;
                for event in events {
                    if self.progress.start(event.position()) {
                        self.lanes.push(event);
                    } else {
                        self.tally.totals.duplicates += 1;
                    }
                }
                if let Some(scanned) = scanned {
                    self.progress.scanned(scanned);
                }
                self.behind |= !self.intake.caught_up();
            }
            News::Trouble { error, after, attempt } => {
                self.runner.seen(&HandlerSeen::Retrying { error: &error, after, attempt });
                self.trouble(error.chain());
            }
            News::Fault(error) => self.end(Left::Faulted(error.chain())),
        }
    }
}

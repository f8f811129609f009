//! Whether an idle owner has to look at its state, told without asking the server.
//!
//! Hundreds of idle projections that open a transaction a second each would be most of what an idle server does.
//! Commits are announced to every process that listens, and whoever lost its connection is told to look when it
//! has another. Beyond that, for what somebody changed without a word, the projections of a process take turns
//! in looking unasked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::stopwatch::Stopwatch;

/// So many times in a row the answer may be no before a handle takes a turn.
const QUIET_ANSWERS: u32 = 30;
/// The time between two turns of a process, however many projections it runs.
const TURN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Stir {
    /// Nobody listens, so nothing is known.
    deaf: bool,
    state: Mutex<State>,
    /// Since the last turn; shared by the handles.
    turn: Arc<Mutex<Stopwatch>>,
}

#[derive(Debug)]
struct State {
    committed: watch::Receiver<u64>,
    quiet: u32,
}

impl Stir {
    pub(super) fn new(committed: watch::Receiver<u64>, deaf: bool) -> Self {
        Self::sharing(committed, deaf, Arc::new(Mutex::new(Stopwatch::start())))
    }

    fn sharing(mut committed: watch::Receiver<u64>, deaf: bool, turn: Arc<Mutex<Stopwatch>>) -> Self {
        committed.mark_changed();
        Self { deaf, state: Mutex::new(State { committed, quiet: 0 }), turn }
    }

    pub(super) fn stirred(&self) -> bool {
        self.stirred_in(TURN)
    }

    fn stirred_in(&self, turn: Duration) -> bool {
        if self.deaf {
            return true;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A watch that is closed tells nothing more.
        let changed = state.committed.has_changed().unwrap_or(true);
        if changed || (state.quiet >= QUIET_ANSWERS && self.takes(turn)) {
            state.committed.mark_unchanged();
            state.quiet = 0;
            return true;
        }
        state.quiet = state.quiet.saturating_add(1);
        false
    }

    fn takes(&self, every: Duration) -> bool {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let free = turn.elapsed() >= every;
        if free {
            *turn = Stopwatch::start();
        }
        free
    }
}

impl Clone for Stir {
    /// Another handle has seen nothing yet.
    fn clone(&self) -> Self {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Self::sharing(state.committed.clone(), self.deaf, Arc::clone(&self.turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_stirs_once_and_silence_stirs_now_and_then() {
        let commits = watch::Sender::new(0_u64);
        let stir = Stir::new(commits.subscribe(), false);
        assert!(stir.stirred(), "nothing is known at first");
        assert!(!stir.stirred());
        commits.send_modify(|commits| *commits += 1);
        assert!(stir.stirred() && !stir.stirred());
        let answers: Vec<bool> = (0..QUIET_ANSWERS).map(|_| stir.stirred_in(Duration::ZERO)).collect();
        assert_eq!(answers.iter().filter(|stirred| **stirred).count(), 1);
        assert!(stir.clone().stirred(), "each handle has its own memory");
    }

    #[test]
    fn idle_projections_take_turns_in_looking_unasked() {
        let commits = watch::Sender::new(0_u64);
        let one = Stir::new(commits.subscribe(), false);
        let stirs = [one.clone(), one.clone(), one];
        let turns = |every| {
            let asked = stirs.iter().flat_map(|stir| (0..=QUIET_ANSWERS).map(|_| stir.stirred_in(every)));
            asked.filter(|stirred| *stirred).count()
        };
        assert_eq!(turns(TURN), stirs.len(), "at first each has to look");
        assert_eq!(turns(TURN), 0, "it is nobody's turn yet");
        assert_eq!(turns(Duration::ZERO), stirs.len());
    }

    #[test]
    fn one_that_hears_nothing_is_always_stirred() {
        let commits = watch::Sender::new(0_u64);
        let deaf = Stir::new(commits.subscribe(), true);
        assert!((0..3).all(|_| deaf.stirred()));
        let closed = Stir::new(commits.subscribe(), false);
        drop(commits);
        assert!((0..3).all(|_| closed.stirred()));
    }
}

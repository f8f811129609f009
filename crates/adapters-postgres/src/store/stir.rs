//! Whether an idle owner has to look at its state, told without asking the server.
//!
//! Hundreds of idle projections that open a transaction a second each would be most of what an idle server does.
//! Commits are announced to every process that listens; an announcement may get lost with a connection, so every
//! so often the answer is yes unasked.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// So many times in a row the answer may be no: half a minute at the default poll interval.
const QUIET_ANSWERS: u32 = 30;

#[derive(Debug)]
pub(super) struct Stir {
    /// Nobody listens, so nothing is known.
    deaf: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    committed: watch::Receiver<u64>,
    quiet: u32,
}

impl Stir {
    pub(super) fn new(mut committed: watch::Receiver<u64>, deaf: bool) -> Self {
        committed.mark_changed();
        Self { deaf, state: Mutex::new(State { committed, quiet: 0 }) }
    }

    pub(super) fn stirred(&self) -> bool {
        if self.deaf {
            return true;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A watch that is closed tells nothing more.
        let changed = state.committed.has_changed().unwrap_or(true);
        if changed || state.quiet >= QUIET_ANSWERS {
            state.committed.mark_unchanged();
            state.quiet = 0;
            return true;
        }
        state.quiet += 1;
        false
    }
}

impl Clone for Stir {
    /// Another handle has seen nothing yet.
    fn clone(&self) -> Self {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Self::new(state.committed.clone(), self.deaf)
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
        let answers: Vec<bool> = (0..QUIET_ANSWERS).map(|_| stir.stirred()).collect();
        assert_eq!(answers.iter().filter(|stirred| **stirred).count(), 1);
        assert!(stir.clone().stirred(), "each handle has its own memory");
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

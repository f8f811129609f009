//! Dead letters in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use highwater_core::Error;
use highwater_core::model::Position;
use highwater_core::ports::{DeadLetters, HandlerLetter};

use super::cut_off;
use crate::sync::lock;

/// Dead letters in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryDeadLetters {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    letters: BTreeMap<(String, Position, u64), HandlerLetter>,
    outage: bool,
}

impl MemoryDeadLetters {
    /// Without letters.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the storage off (`true`): every call fails as `Unavailable`, until it is told `false`.
    pub fn set_outage(&self, outage: bool) {
        lock(&self.state).outage = outage;
    }

    /// All letters, by group and position.
    #[must_use]
    pub fn all(&self) -> Vec<HandlerLetter> {
        lock(&self.state).letters.values().cloned().collect()
    }

    fn with<T>(&self, operation: &'static str, run: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = lock(&self.state);
        if state.outage { Err(cut_off(operation)) } else { Ok(run(&mut state)) }
    }
}

#[async_trait]
impl DeadLetters for MemoryDeadLetters {
    async fn publish(&self, letter: &HandlerLetter) -> Result<(), Error> {
        self.with("publish a dead letter", |state| {
            let key = (letter.group.clone(), letter.event.position(), letter.generation);
            let detached = || HandlerLetter { event: letter.event.detached(), ..letter.clone() };
            let kept = state.letters.entry(key).or_insert_with(detached);
            kept.class = letter.class;
            kept.message.clone_from(&letter.message);
            kept.attempts = letter.attempts;
        })
    }

    async fn list(
        &self,
        group: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<HandlerLetter>, Error> {
        self.with("list dead letters", |state| {
            let of_group = state.letters.values().filter(|letter| letter.group == group);
            of_group
                .filter(|letter| Some(letter.event.position()) > after)
                .take(limit.max(1))
                .cloned()
                .collect()
        })
    }

    async fn remove(&self, group: &str, generation: u64, position: Position) -> Result<bool, Error> {
        self.with("remove a dead letter", |state| {
            state.letters.remove(&(group.to_owned(), position, generation)).is_some()
        })
    }
}

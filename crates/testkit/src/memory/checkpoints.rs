//! A checkpoint store in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use highwater_core::model::{Advance, Checkpoint, Position};
use highwater_core::ports::{CheckpointPage, CheckpointStore, Clock};
use highwater_core::{Error, ErrorKind};

use super::cut_off;
use crate::sync::lock;

/// Checkpoints in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryCheckpoints {
    state: Arc<Mutex<State>>,
    clock: Option<Arc<dyn Clock>>,
}

#[derive(Default)]
struct State {
    checkpoints: BTreeMap<String, Checkpoint>,
    writes: u64,
    outage: bool,
}

impl MemoryCheckpoints {
    /// An empty store. `updated_at_micros` is the number of the write.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that stamps its writes by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..Self::default() }
    }

    /// Cuts the store off (`true`): every call fails as `Unavailable`, until it is told `false`.
    pub fn set_outage(&self, outage: bool) {
        lock(&self.state).outage = outage;
    }

    /// How many writes took effect: to see that a flush writes once a key and not once an event.
    #[must_use]
    pub fn writes(&self) -> u64 {
        lock(&self.state).writes
    }

    fn with<T>(&self, operation: &'static str, run: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = lock(&self.state);
        if state.outage { Err(cut_off(operation)) } else { Ok(run(&mut state)) }
    }

    fn put(&self, state: &mut State, key: &str, position: Position) -> Advance {
        state.writes += 1;
        let counted = || i64::try_from(state.writes).unwrap_or(i64::MAX);
        let updated_at_micros = self.clock.as_ref().map_or_else(counted, |clock| clock.wall_micros());
        state.checkpoints.insert(key.to_owned(), Checkpoint { position, updated_at_micros });
        Advance::Applied
    }

    fn forward(&self, state: &mut State, key: &str, to: Position) -> Advance {
        match state.checkpoints.get(key).map(|checkpoint| checkpoint.position) {
            Some(current) if current == to => Advance::Unchanged,
            Some(current) if current > to => Advance::Stale { current },
            _ => self.put(state, key, to),
        }
    }
}

#[async_trait]
impl CheckpointStore for MemoryCheckpoints {
    async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error> {
        self.with("read a checkpoint", |state| state.checkpoints.get(key).copied())
    }

    async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error> {
        self.with("write a checkpoint", |state| self.forward(state, key, to))
    }

    async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error> {
        self.with("write checkpoints", |state| {
            entries.iter().map(|(key, to)| self.forward(state, key, *to)).collect()
        })
    }

    async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error> {
        self.with("reset a checkpoint", |state| {
            match state.checkpoints.get(key).map(|checkpoint| checkpoint.position) {
                None => Err(Error::new(ErrorKind::NotFound, "reset a checkpoint").with("key", key)),
                Some(current) if current == expected => Ok(self.put(state, key, to)),
                Some(current) => Ok(Advance::Stale { current }),
            }
        })?
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        self.with("delete a checkpoint", |state| state.checkpoints.remove(key).is_some())
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error> {
        self.with("list checkpoints", |state| {
            let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
            let mut found = state
                .checkpoints
                .range::<str, _>((from, Bound::Unbounded))
                .filter(|(key, _)| key.starts_with(prefix))
                .map(|(key, checkpoint)| (key.clone(), *checkpoint));
            let checkpoints: Vec<_> = found.by_ref().take(limit.max(1)).collect();
            let next = found.next().and(checkpoints.last()).map(|(key, _)| key.clone());
            CheckpointPage { checkpoints, next }
        })
    }

    async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error> {
        if prefix.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "clear checkpoints without a prefix: name one"));
        }
        self.with("clear checkpoints", |state| {
            let count = state.checkpoints.keys().filter(|key| key.starts_with(prefix)).count();
            if !dry_run {
                state.checkpoints.retain(|key, _| !key.starts_with(prefix));
            }
            u64::try_from(count).unwrap_or(u64::MAX)
        })
    }
}

//! A checkpoint store in memory.

mod keys;
mod owned;

use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use highwater_core::model::{Advance, Checkpoint, Position};
use highwater_core::ports::{CheckpointPage, CheckpointStore, Clock};
use highwater_core::{Error, ErrorKind};

use super::cut_off;
use crate::sync::lock;
use crate::time::instant_now;

use keys::Keys;

/// Checkpoints in memory, with their owners. Clones share them.
#[derive(Clone)]
pub struct MemoryCheckpoints {
    state: Arc<Mutex<State>>,
    clock: Option<Arc<dyn Clock>>,
    origin: tokio::time::Instant,
}

#[derive(Default)]
struct State {
    keys: Keys,
    writes: u64,
    outage: bool,
    forgetful: bool,
    /// How far the clock of the leases was moved forward by hand.
    ahead: Duration,
}

impl MemoryCheckpoints {
    /// An empty store. `updated_at_micros` is the number of the write; leases go by tokio's time.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::default(), clock: None, origin: instant_now() }
    }

    /// An empty store whose writes and leases go by this clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..Self::new() }
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

    /// Lets time pass for the leases, and for nothing else.
    pub fn pass(&self, time: Duration) {
        let mut state = lock(&self.state);
        state.ahead = state.ahead.saturating_add(time);
    }

    /// Loses the checkpoint of a key, as a server does that evicts it; says whether there was one. The store
    /// remembers that there was.
    pub fn lose(&self, key: &str) -> bool {
        lock(&self.state).keys.lose(key)
    }

    /// Whether the store answers as one does that loses everything with its process
    /// (`OwnedCheckpoints::remembers`): then it remembers nothing before the first checkpoint. Not so unless told.
    pub fn set_forgetful(&self, forgetful: bool) {
        lock(&self.state).forgetful = forgetful;
    }

    fn with<T>(&self, operation: &'static str, run: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = lock(&self.state);
        if state.outage { Err(cut_off(operation)) } else { Ok(run(&mut state)) }
    }

    /// The time by which leases go: since some moment before the first of them.
    fn now(&self, state: &State) -> Duration {
        let passed = match &self.clock {
            Some(clock) => clock.now().since_origin(),
            None => instant_now().saturating_duration_since(self.origin),
        };
        passed.saturating_add(state.ahead)
    }

    /// The stamp of a write that takes effect now.
    fn stamp(&self, state: &mut State) -> i64 {
        state.writes += 1;
        let counted = || i64::try_from(state.writes).unwrap_or(i64::MAX);
        self.clock.as_ref().map_or_else(counted, |clock| clock.wall_micros())
    }

    fn forward(&self, state: &mut State, key: &str, to: Position) -> Advance {
        match state.keys.checkpoint(key).map(|checkpoint| checkpoint.position) {
            Some(current) if current == to => Advance::Unchanged,
            Some(current) if current > to => Advance::Stale { current },
            _ => {
                let updated_at_micros = self.stamp(state);
                state.keys.put(key, Checkpoint { position: to, updated_at_micros });
                Advance::Applied
            }
        }
    }
}

impl Default for MemoryCheckpoints {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl CheckpointStore for MemoryCheckpoints {
    async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error> {
        self.with("read a checkpoint", |state| state.keys.checkpoint(key))
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
            match state.keys.checkpoint(key).map(|checkpoint| checkpoint.position) {
                None => Err(Error::new(ErrorKind::NotFound, "reset a checkpoint").with("key", key)),
                Some(current) if current == expected => {
                    let updated_at_micros = self.stamp(state);
                    state.keys.reset(key, Checkpoint { position: to, updated_at_micros });
                    Ok(Advance::Applied)
                }
                Some(current) => Ok(Advance::Stale { current }),
            }
        })?
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        self.with("delete a checkpoint", |state| state.keys.remove(key))
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error> {
        self.with("list checkpoints", |state| {
            let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
            let mut found = state.keys.checkpoints_from(from).filter(|(key, _)| key.starts_with(prefix));
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
            let count = state.keys.with_prefix(prefix);
            if !dry_run {
                state.keys.remove_prefix(prefix);
            }
            u64::try_from(count).unwrap_or(u64::MAX)
        })
    }
}

//! What a store in memory keeps for each key.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use highwater_core::model::Checkpoint;

/// All keys of which anything is known.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<String, Known>);

/// What is known of a key.
#[derive(Default)]
pub(super) struct Known {
    pub(super) checkpoint: Option<Checkpoint>,
    /// Whether there ever was a checkpoint.
    pub(super) stored: bool,
    pub(super) held: Option<Held>,
    pub(super) epoch: u64,
    pub(super) generation: u64,
}

/// Who owns a key.
pub(super) struct Held {
    pub(super) owner: String,
    /// When the lease runs out.
    pub(super) until: Duration,
}

impl Known {
    /// There was a checkpoint, and there is none.
    pub(super) fn is_lost(&self) -> bool {
        self.stored && self.checkpoint.is_none()
    }

    /// Whether this one owns it.
    pub(super) fn is_held_by(&self, owner: &str, epoch: u64) -> bool {
        self.epoch == epoch && self.held.as_ref().is_some_and(|held| held.owner == owner)
    }
}

impl Keys {
    /// Whether there ever was a checkpoint that nobody has deleted.
    pub(super) fn any_stored(&self) -> bool {
        self.0.values().any(|known| known.stored)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Known> {
        self.0.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Known> {
        self.0.get_mut(key)
    }

    /// What is known of a key, from now on at least that there is one.
    pub(super) fn entry(&mut self, key: &str) -> &mut Known {
        self.0.entry(key.to_owned()).or_default()
    }

    pub(super) fn checkpoint(&self, key: &str) -> Option<Checkpoint> {
        self.0.get(key).and_then(|known| known.checkpoint)
    }

    pub(super) fn put(&mut self, key: &str, checkpoint: Checkpoint) {
        let known = self.entry(key);
        known.checkpoint = Some(checkpoint);
        known.stored = true;
    }

    /// As an operator: the owner has to claim again.
    pub(super) fn reset(&mut self, key: &str, checkpoint: Checkpoint) {
        self.put(key, checkpoint);
        let known = self.entry(key);
        known.held = None;
        known.epoch += 1;
        known.generation += 1;
    }

    pub(super) fn lose(&mut self, key: &str) -> bool {
        self.0.get_mut(key).is_some_and(|known| known.checkpoint.take().is_some())
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    pub(super) fn with_prefix(&self, prefix: &str) -> usize {
        self.0.keys().filter(|key| key.starts_with(prefix)).count()
    }

    pub(super) fn remove_prefix(&mut self, prefix: &str) {
        self.0.retain(|key, _| !key.starts_with(prefix));
    }

    /// All checkpoints from a key on, in the order of the keys.
    pub(super) fn checkpoints_from(&self, from: Bound<&str>) -> impl Iterator<Item = (String, Checkpoint)> {
        self.0
            .range::<str, _>((from, Bound::Unbounded))
            .filter_map(|(key, known)| Some((key.clone(), known.checkpoint?)))
    }
}

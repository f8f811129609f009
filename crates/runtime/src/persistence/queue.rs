//! Which keys are dirty, and in which order they are tried (C-1 … C-3, C-6). Pure: it is told the time.
//!
//! A key is at one of four places: it *waits* for the next pass, is *ready*, *rests* after a failure, or is
//! *flying*: on its way in a call. Ready keys leave oldest first. What failed with its whole call leaves
//! again in halves, each half apart from all other keys and behind everything that was ready at the time: so
//! a key that hangs its call is found by halving, and the calls in between, which succeed, keep the breaker
//! closed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use highwater_core::ports::Moment;

/// A key, shared between the places that name it.
pub(super) type Key = Arc<str>;

/// There is no place for another key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The dirty keys.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: HashMap<Key, Entry>,
    waiting: BTreeMap<u64, Key>,
    ready: BTreeMap<u64, Item>,
    resting: BTreeMap<(Moment, u64), Item>,
    /// Numbers marks and places; each number is given once.
    numbers: u64,
}

/// What takes a place: a key that may travel with others, or keys that travel apart from all others.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Key(Key),
    Apart(Vec<Key>),
}

#[derive(Debug)]
struct Entry {
    /// The newest mark.
    mark: u64,
    /// Marks below this number are durable.
    dirty_from: u64,
    age: Age,
    /// The first mark since it is flying.
    again: Option<Age>,
    /// It was marked as due since it is flying.
    due: bool,
    /// Failures of its own in a row.
    failures: u32,
    place: Place,
}

/// Since when a key is dirty: the number orders, the moment tells.
#[derive(Debug, Clone, Copy)]
struct Age {
    number: u64,
    since: Moment,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Waiting,
    Ready,
    Resting(Moment, u64),
    /// With the newest mark at the take-off.
    Flying(u64),
}

impl Queue {
    /// Marks a key: what is its present value from now on, a later call has to write. `due` does not wait for
    /// the next pass; a key that rests goes on resting. Whether the key is new.
    pub(super) fn mark(&mut self, key: &str, due: bool, now: Moment, most: usize) -> Result<bool, Full> {
        let known = self.entries.len();
        let number = self.number();
        let age = Age { number, since: now };
        if let Some(entry) = self.entries.get_mut(key) {
            entry.mark = number;
            if matches!(entry.place, Place::Flying(_)) {
                entry.again.get_or_insert(age);
                entry.due |= due;
            } else if due && matches!(entry.place, Place::Waiting) {
                self.make_due(key);
            }
            return Ok(false);
        }
        if known >= most {
            return Err(Full);
        }
        let key: Key = key.into();
        let place = if due { Place::Ready } else { Place::Waiting };
        let entry =
            Entry { mark: number, dirty_from: number, age, again: None, due: false, failures: 0, place };
        self.entries.insert(key.clone(), entry);
        if due {
            self.ready.insert(number, Item::Key(key));
        } else {
            self.waiting.insert(number, key);
        }
        Ok(true)
    }

    /// Makes a dirty key ready, or as soon as it has landed; also one that rests, with those it travels with.
    pub(super) fn make_due(&mut self, key: &str) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match entry.place {
            Place::Waiting => {
                entry.place = Place::Ready;
                if let Some(key) = self.waiting.remove(&entry.age.number) {
                    self.ready.insert(entry.age.number, Item::Key(key));
                }
            }
            Place::Resting(until, number) => {
                if let Some(item) = self.resting.remove(&(until, number)) {
                    self.place_ready(number, item);
                }
            }
            Place::Flying(_) => entry.due = true,
            Place::Ready => {}
        }
    }

    /// A pass begins: everything that waits is ready. The greatest number that belongs to it.
    pub(super) fn begin_pass(&mut self) -> u64 {
        for (number, key) in std::mem::take(&mut self.waiting) {
            self.place_ready(number, Item::Key(key));
        }
        self.numbers
    }

    /// What has rested long enough is ready.
    pub(super) fn wake(&mut self, now: Moment) {
        while let Some(first) = self.resting.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, number), item) = first.remove_entry();
            self.place_ready(number, item);
        }
    }

    /// Everything that rests is ready.
    pub(super) fn wake_all(&mut self) {
        while let Some(((_, number), item)) = self.resting.pop_first() {
            self.place_ready(number, item);
        }
    }

    /// The number of the ready item that leaves next.
    pub(super) fn next_ready(&self) -> Option<u64> {
        self.ready.first_key_value().map(|(number, _)| *number)
    }

    /// When the next key has rested long enough.
    pub(super) fn next_rested(&self) -> Option<Moment> {
        self.resting.first_key_value().map(|((until, _), _)| *until)
    }

    /// Whether a key waits for a pass.
    pub(super) fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes the keys of the next call, at most `most`, oldest first: of all that are ready, or of those
    /// among them that `wanted` names (and those that travel with them). For a `probe`, keys whose call has
    /// failed come last: it is to find out about the target, and one of them may be what the calls fail of.
    pub(super) fn take(&mut self, most: usize, probe: bool, wanted: impl Fn(&str) -> bool) -> Vec<Key> {
        let meant = |item: &Item| match item {
            Item::Key(key) => wanted(key),
            Item::Apart(keys) => keys.iter().any(|key| wanted(key)),
        };
        let mut candidates =
            self.ready.iter().filter(|(_, item)| meant(item)).map(|(number, item)| (*number, item));
        let unsuspected = |candidate: &(u64, &Item)| matches!(candidate.1, Item::Key(_));
        let first = if probe {
            candidates.clone().find(unsuspected).or_else(|| candidates.next())
        } else {
            candidates.next()
        };
        let Some((number, _)) = first else { return Vec::new() };
        let keys = match self.ready.remove(&number) {
            Some(Item::Apart(mut keys)) => {
                let rest = keys.split_off(most.min(keys.len()));
                if !rest.is_empty() {
                    self.ready.insert(number, Item::Apart(rest));
                }
                keys
            }
            Some(Item::Key(first)) => {
                let more = self.ready.iter().filter_map(|(number, item)| match item {
                    Item::Key(key) if wanted(key) => Some((*number, key.clone())),
                    _ => None,
                });
                let more: Vec<(u64, Key)> = more.take(most.saturating_sub(1)).collect();
                for (number, _) in &more {
                    self.ready.remove(number);
                }
                std::iter::once(first).chain(more.into_iter().map(|(_, key)| key)).collect()
            }
            None => Vec::new(),
        };
        for key in &keys {
            if let Some(entry) = self.entries.get_mut(key) {
                (entry.place, entry.again, entry.due) = (Place::Flying(entry.mark), None, false);
            }
        }
        keys
    }

    /// A flying key was written: it is clean, unless it was marked since the take-off (C-1). The mark that is
    /// durable now.
    pub(super) fn written(&mut self, key: &Key) -> u64 {
        let Some(entry) = self.entries.get_mut(key) else { return 0 };
        let Place::Flying(covered) = entry.place else { return 0 };
        if let Some(age) = entry.again.take() {
            (entry.dirty_from, entry.age, entry.failures) = (covered + 1, age, 0);
            if entry.due {
                entry.place = Place::Ready;
                self.ready.insert(age.number, Item::Key(key.clone()));
            } else {
                entry.place = Place::Waiting;
                self.waiting.insert(age.number, key.clone());
            }
        } else {
            self.entries.remove(key);
        }
        covered
    }

    /// The target refused a flying key. It rests so long as `rest` says for so many failures in a row, which
    /// are the answer; behind that it travels with others again, by its age.
    pub(super) fn refused(&mut self, key: &Key, now: Moment, rest: impl FnOnce(u32) -> Duration) -> u32 {
        let Some(entry) = self.entries.get_mut(key) else { return 0 };
        entry.failures = entry.failures.saturating_add(1);
        let (until, number) = (now + rest(entry.failures), entry.age.number);
        entry.place = Place::Resting(until, number);
        self.resting.insert((until, number), Item::Key(key.clone()));
        entry.failures
    }

    /// A call failed as a whole: its keys are ready again in two halves, each apart from all others and
    /// behind everything that is ready now. A key that was alone rests, since nobody but it can be to blame.
    pub(super) fn lost(&mut self, mut keys: Vec<Key>, now: Moment, rest: impl FnOnce(u32) -> Duration) {
        if let [only] = keys.as_slice() {
            let Some(entry) = self.entries.get_mut(only) else { return };
            entry.failures = entry.failures.saturating_add(1);
            let until = now + rest(entry.failures);
            let number = self.number();
            self.place(only, Place::Resting(until, number));
            self.resting.insert((until, number), Item::Apart(keys));
            return;
        }
        let newer = keys.split_off(keys.len().div_ceil(2));
        for half in [keys, newer] {
            if !half.is_empty() {
                let number = self.number();
                self.place_ready(number, Item::Apart(half));
            }
        }
    }

    /// A call was given up before it ended: its keys are ready again, as if it had not begun.
    pub(super) fn given_up(&mut self, keys: &[Key]) {
        for key in keys {
            let Some(age) = self.entries.get(key).map(|entry| entry.age.number) else { continue };
            self.place_ready(age, Item::Key(key.clone()));
        }
    }

    /// The newest mark of a dirty key.
    pub(super) fn mark_of(&self, key: &str) -> Option<u64> {
        self.entries.get(key).map(|entry| entry.mark)
    }

    /// Whether this mark of a key is durable.
    pub(super) fn is_durable(&self, key: &str, mark: u64) -> bool {
        self.entries.get(key).is_none_or(|entry| entry.dirty_from > mark)
    }

    /// Whether the key is on its way.
    pub(super) fn is_flying(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| matches!(entry.place, Place::Flying(_)))
    }

    /// How many keys are dirty.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The dirty keys, oldest first.
    pub(super) fn dirty(&self) -> Vec<Key> {
        let mut keys: Vec<_> = self.entries.iter().map(|(key, entry)| (entry.age.number, key)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key.clone()).collect()
    }

    /// Since when the oldest one is dirty.
    pub(super) fn oldest(&self) -> Option<Moment> {
        self.entries.values().map(|entry| entry.age.since).min()
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn place(&mut self, key: &str, place: Place) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.place = place;
        }
    }

    fn place_ready(&mut self, number: u64, item: Item) {
        match &item {
            Item::Key(key) => self.place(key, Place::Ready),
            Item::Apart(keys) => keys.iter().for_each(|key| self.place(key, Place::Ready)),
        }
        self.ready.insert(number, item);
    }
}

#[cfg(test)]
mod tests;

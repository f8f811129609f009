//! The target of a persistence worker, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;

use highwater_core::ports::PersistTarget;
use highwater_core::{Error, ErrorKind};

use super::cut_off;
use crate::contract::TargetProbe;
use crate::sync::lock;

/// A target that copies present values to written ones. Clones share both.
///
/// It can be told to refuse a key, to fail as a whole, and to hang.
#[derive(Clone)]
pub struct MemoryTarget {
    state: Arc<Mutex<State>>,
    hanging: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
struct State {
    present: BTreeMap<String, u64>,
    written: BTreeMap<String, u64>,
    bad: BTreeSet<String>,
    outage: bool,
    calls: Vec<Vec<String>>,
}

impl MemoryTarget {
    /// A target that takes every key.
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::default(), hanging: Arc::new(watch::Sender::new(false)) }
    }

    /// Sets the present value of a key, which the next `persist` writes; absent keys are 0.
    pub fn set(&self, key: &str, value: u64) {
        lock(&self.state).present.insert(key.to_owned(), value);
    }

    /// What was written, by key.
    #[must_use]
    pub fn all_written(&self) -> BTreeMap<String, u64> {
        lock(&self.state).written.clone()
    }

    /// The keys of each call, in order; calls that failed or hung included.
    #[must_use]
    pub fn calls(&self) -> Vec<Vec<String>> {
        lock(&self.state).calls.clone()
    }

    /// Refuses this key (`true`) until it is told `false`, as a permanent error of its own.
    pub fn set_bad(&self, key: &str, bad: bool) {
        let mut state = lock(&self.state);
        if bad {
            state.bad.insert(key.to_owned());
        } else {
            state.bad.remove(key);
        }
    }

    /// Cuts the target off (`true`): every call fails as `Unavailable`, until it is told `false`.
    pub fn set_outage(&self, outage: bool) {
        lock(&self.state).outage = outage;
    }

    /// Makes every call wait (`true`), until it is told `false`.
    pub fn set_hanging(&self, hanging: bool) {
        self.hanging.send_replace(hanging);
    }
}

impl Default for MemoryTarget {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl PersistTarget for MemoryTarget {
    async fn persist(&self, keys: &[String]) -> Result<Vec<Result<(), Error>>, Error> {
        lock(&self.state).calls.push(keys.to_vec());
        let mut hanging = self.hanging.subscribe();
        hanging
            .wait_for(|hanging| !hanging)
            .await
            .map_err(|error| Error::new(ErrorKind::Closed, "persist keys").because(error))?;
        let mut state = lock(&self.state);
        if state.outage {
            return Err(cut_off("persist keys"));
        }
        let write = |key: &String| {
            if state.bad.contains(key) {
                return Err(Error::new(ErrorKind::Unstorable, "persist a key").with("key", key));
            }
            let value = state.present.get(key).copied().unwrap_or(0);
            state.written.insert(key.clone(), value);
            Ok(())
        };
        Ok(keys.iter().map(write).collect())
    }
}

#[async_trait]
impl TargetProbe for MemoryTarget {
    async fn change(&self, key: &str, value: u64) {
        self.set(key, value);
    }

    async fn written(&self, key: &str) -> Option<u64> {
        lock(&self.state).written.get(key).copied()
    }
}

//! A read model store in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use highwater_core::model::{InstanceRank, ProjectionKey, ProjectionName, ProjectionPart, ProjectionState};
use highwater_core::ports::{Claim, Membership, ReadModelStore};
use highwater_core::{Error, ErrorKind};

use super::cut_off;
use super::store_data::{Data, TxCounts};
use super::store_unit::MemoryUnit;
use super::tx::MemoryTx;
use crate::sync::lock;

/// Read models, states, failed events and letters in memory. Clones share them.
///
/// Transactions run side by side in their callers' tasks, see what is committed, and lock state rows as a
/// server database does. Two that write the same row of a table do not wait for each other: the later commit
/// wins.
#[derive(Clone)]
pub struct MemoryStore {
    pub(super) shared: Arc<SharedStore>,
    process: Arc<str>,
    heard: Heard,
}

/// How many commits a handle was told of; a clone of it has heard of nothing yet.
#[derive(Default)]
struct Heard(Mutex<Option<u64>>);

impl Clone for Heard {
    fn clone(&self) -> Self {
        Self::default()
    }
}

pub(super) struct SharedStore {
    pub(super) data: Mutex<Data>,
    /// Raised with every commit.
    pub(super) commits: watch::Sender<u64>,
    /// Told when a transaction has ended.
    pub(super) unlocked: Notify,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let shared =
            SharedStore { data: Mutex::default(), commits: watch::Sender::new(0), unlocked: Notify::new() };
        Self { shared: Arc::new(shared), process: "memory".into(), heard: Heard::default() }
    }

    /// The same store as a process of this name would have it; the name is what `owner` answers.
    #[must_use]
    pub fn as_process(&self, name: &str) -> Self {
        Self { shared: self.shared.clone(), process: name.into(), heard: Heard::default() }
    }

    /// The committed rows of a table.
    #[must_use]
    pub fn table(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        lock(&self.shared.data).tables.get(name).cloned().unwrap_or_default()
    }

    /// The committed rows of a table whose values are text.
    ///
    /// # Panics
    /// When a value is not UTF-8.
    #[must_use]
    pub fn texts(&self, name: &str) -> BTreeMap<String, String> {
        let text = |value| String::from_utf8(value).expect("the test keeps text in this table");
        self.table(name).into_iter().map(|(key, value)| (key, text(value))).collect()
    }

    /// The committed state of a projection.
    #[must_use]
    pub fn state(&self, key: &ProjectionKey) -> Option<ProjectionState> {
        lock(&self.shared.data).states.get(key).cloned()
    }

    /// Writes a state row past every lock and condition: for tests that need one that could not come about.
    pub fn put_state(&self, state: ProjectionState) {
        lock(&self.shared.data).states.insert(state.key.clone(), state);
        self.shared.committed();
    }

    /// What the transactions did so far.
    #[must_use]
    pub fn counts(&self) -> TxCounts {
        lock(&self.shared.data).counts
    }

    /// Counts from 0 again.
    pub fn reset_counts(&self) {
        lock(&self.shared.data).counts = TxCounts::default();
    }

    /// Cuts the store off (`true`): every call fails as `Unavailable`, until it is told `false`. Transactions
    /// that are under way cannot go on.
    pub fn set_outage(&self, outage: bool) {
        lock(&self.shared.data).outage = outage;
    }

    /// Ends a claim under its owner's feet, as a server that lost the owner's session: another process can
    /// claim while the owner still believes in its lease. Says whether there was a claim.
    pub fn break_claim(&self, part: &ProjectionPart) -> bool {
        lock(&self.shared.data).claims.remove(part).is_some()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedStore {
    pub(super) fn committed(&self) {
        self.commits.send_modify(|commits| *commits += 1);
    }
}

/// Ownership of a projection, or of a partition of it, in a [`MemoryStore`]; ends when it is dropped.
pub struct MemoryLease {
    shared: Arc<SharedStore>,
    part: ProjectionPart,
    number: u64,
}

impl fmt::Debug for MemoryLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLease")
            .field("part", &self.part)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        let mut data = lock(&self.shared.data);
        if data.claims.get(&self.part).is_some_and(|(number, _)| *number == self.number) {
            data.claims.remove(&self.part);
        }
    }
}

struct MemoryMembership {
    shared: Arc<SharedStore>,
    /// Whose partitions, and the number under which this instance joined.
    entry: (ProjectionName, u64),
}

impl Drop for MemoryMembership {
    fn drop(&mut self) {
        lock(&self.shared.data).members.remove(&self.entry);
    }
}

#[async_trait]
impl Membership for MemoryMembership {
    async fn rank(&self) -> Result<InstanceRank, Error> {
        let data = lock(&self.shared.data);
        if data.outage {
            return Err(cut_off("count the instances"));
        }
        let mut found = InstanceRank { rank: 0, instances: 0 };
        for (name, number) in &data.members {
            if *name == self.entry.0 {
                found.instances += 1;
                found.rank += u32::from(*number < self.entry.1);
            }
        }
        Ok(found)
    }
}

impl ReadModelStore for MemoryStore {
    type Tx = MemoryTx;
    type Unit = MemoryUnit;
    type Lease = MemoryLease;

    async fn claim(&self, part: &ProjectionPart) -> Result<Claim<MemoryLease>, Error> {
        let mut data = lock(&self.shared.data);
        if data.outage {
            return Err(cut_off("claim a projection"));
        }
        if data.claims.contains_key(part) {
            return Ok(Claim::Busy);
        }
        let number = data.number();
        data.claims.insert(part.clone(), (number, self.process.clone()));
        Ok(Claim::Owned(MemoryLease { shared: self.shared.clone(), part: part.clone(), number }))
    }

    async fn join(&self, name: &ProjectionName) -> Result<Option<Box<dyn Membership>>, Error> {
        let mut data = lock(&self.shared.data);
        if data.outage {
            return Err(cut_off("join the instances"));
        }
        let entry = (name.clone(), data.number());
        data.members.insert(entry.clone());
        Ok(Some(Box::new(MemoryMembership { shared: self.shared.clone(), entry })))
    }

    fn stirred(&self) -> bool {
        let commits = *self.shared.commits.borrow();
        lock(&self.heard.0).replace(commits) != Some(commits)
    }

    async fn transact<F, Fut, T>(&self, deadline: Duration, job: F) -> Result<T, Error>
    where
        F: FnOnce(MemoryUnit) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
        T: Send + 'static,
    {
        let number = {
            let mut data = lock(&self.shared.data);
            if data.outage {
                return Err(cut_off("begin a transaction"));
            }
            data.counts.transactions += 1;
            data.number()
        };
        let tx = MemoryTx::begin(self.shared.clone(), number, deadline);
        match tokio::time::timeout(deadline, job(MemoryUnit::new(tx))).await {
            Ok(answer) => answer,
            Err(elapsed) => {
                let error = Error::new(ErrorKind::Timeout, "run a transaction").because(elapsed);
                Err(error.with("deadline", format_args!("{deadline:?}")))
            }
        }
    }
}

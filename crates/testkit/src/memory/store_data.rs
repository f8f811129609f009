//! What the store in memory holds, and what a transaction wants to change in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_core::model::{
    DeadLetter, FailedEvent, FailedState, Position, ProjectionKey, ProjectionName, ProjectionPart,
    ProjectionState, RecordedEvent,
};

/// Tables by name; each a map from key to value.
pub type Tables = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// What the transactions of a store did, all together: for tests such as "a clean batch uses one savepoint".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TxCounts {
    /// Transactions begun.
    pub transactions: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions rolled back, however that came about.
    pub rollbacks: u64,
    /// Savepoints set.
    pub savepoints: u64,
    /// Returns to a savepoint.
    pub rolled_back_to: u64,
    /// Savepoints released.
    pub released: u64,
    /// Statements that projections ran, failed ones included.
    pub statements: u64,
}

/// A failed event's row and its letter's event.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) row: FailedEvent,
    pub(super) letter: Option<RecordedEvent>,
}

impl Failed {
    pub(super) fn dead_letter(&self) -> Option<DeadLetter> {
        let event = self.letter.clone()?;
        Some(DeadLetter { failed: self.row.clone(), event })
    }

    /// Parked, held or recorded: given up, until somebody asks for another try.
    pub(super) fn is_open(&self) -> bool {
        self.row.state != FailedState::Retrying
    }
}

/// The committed data, and who has locked or claimed what.
#[derive(Default)]
pub(super) struct Data {
    pub(super) tables: Tables,
    pub(super) states: BTreeMap<ProjectionKey, ProjectionState>,
    pub(super) failed: BTreeMap<(ProjectionKey, Position), Failed>,
    /// Which projection created a table.
    pub(super) owners: BTreeMap<String, ProjectionName>,
    /// State rows locked by a transaction, with its number.
    pub(super) locks: BTreeMap<ProjectionKey, u64>,
    /// Claimed projections, with the lease's number and the owner's name.
    pub(super) claims: BTreeMap<ProjectionPart, (u64, Arc<str>)>,
    /// Instances that run partitions of a projection, by the numbers under which they joined.
    pub(super) members: BTreeSet<(ProjectionName, u64)>,
    pub(super) counts: TxCounts,
    pub(super) outage: bool,
    numbers: u64,
}

impl Data {
    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Whether a transaction other than `transaction` has locked the row.
    pub(super) fn locked_by_another(&self, key: &ProjectionKey, transaction: u64) -> bool {
        self.locks.get(key).is_some_and(|holder| *holder != transaction)
    }

    pub(super) fn apply(&mut self, work: Work) {
        for ((table, key), value) in work.rows {
            let rows = self.tables.entry(table).or_default();
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        for (key, state) in work.states {
            match state {
                Some(state) => self.states.insert(key, state),
                None => self.states.remove(&key),
            };
        }
        for (key, failed) in work.failed {
            match failed {
                Some(failed) => self.failed.insert(key, failed),
                None => self.failed.remove(&key),
            };
        }
        for (table, owner) in work.owners {
            match owner {
                Some(owner) => self.owners.insert(table, owner),
                None => self.owners.remove(&table),
            };
        }
    }
}

/// A check that runs when a savepoint is released and at commit; its text says what is violated.
pub(super) type Deferred = Arc<dyn Fn(&Tables) -> Result<(), String> + Send + Sync>;

/// What a transaction has changed, seen over the committed data. `None` = deleted. A copy is a savepoint.
#[derive(Clone, Default)]
pub(super) struct Work {
    pub(super) rows: BTreeMap<(String, String), Option<Vec<u8>>>,
    pub(super) states: BTreeMap<ProjectionKey, Option<ProjectionState>>,
    pub(super) failed: BTreeMap<(ProjectionKey, Position), Option<Failed>>,
    pub(super) owners: BTreeMap<String, Option<ProjectionName>>,
    pub(super) deferred: Vec<Deferred>,
}

impl Work {
    pub(super) fn row(&self, data: &Data, table: &str, key: &str) -> Option<Vec<u8>> {
        match self.rows.get(&(table.to_owned(), key.to_owned())) {
            Some(changed) => changed.clone(),
            None => data.tables.get(table).and_then(|rows| rows.get(key)).cloned(),
        }
    }

    pub(super) fn tables(&self, data: &Data) -> Tables {
        let mut tables = data.tables.clone();
        for ((table, key), value) in &self.rows {
            let rows = tables.entry(table.clone()).or_default();
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        tables
    }

    pub(super) fn state(&self, data: &Data, key: &ProjectionKey) -> Option<ProjectionState> {
        match self.states.get(key) {
            Some(changed) => changed.clone(),
            None => data.states.get(key).cloned(),
        }
    }

    /// The states of a projection, by version and partition.
    pub(super) fn states_of(&self, data: &Data, name: &ProjectionName) -> Vec<ProjectionState> {
        let keys: BTreeSet<_> = data.states.keys().chain(self.states.keys()).collect();
        let named = keys.into_iter().filter(|key| key.name == *name);
        named.filter_map(|key| self.state(data, key)).collect()
    }

    /// The projection that a table belongs to: one that still has a state.
    pub(super) fn owner(&self, data: &Data, table: &str) -> Option<ProjectionName> {
        let owner = match self.owners.get(table) {
            Some(changed) => changed.clone(),
            None => data.owners.get(table).cloned(),
        };
        owner.filter(|owner| !self.states_of(data, owner).is_empty())
    }

    /// The failed events of a projection, by position.
    pub(super) fn failed_of(&self, data: &Data, key: &ProjectionKey) -> BTreeMap<Position, Failed> {
        let all = (key.clone(), Position::MIN)..=(key.clone(), Position::MAX);
        let committed = data.failed.range(all.clone());
        let mut found: BTreeMap<_, _> = committed.map(|((_, at), failed)| (*at, failed.clone())).collect();
        for ((_, at), changed) in self.failed.range(all) {
            match changed {
                Some(failed) => found.insert(*at, failed.clone()),
                None => found.remove(at),
            };
        }
        found
    }

    pub(super) fn check_deferred(&self, data: &Data) -> Result<(), String> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        let tables = self.tables(data);
        self.deferred.iter().try_for_each(|check| check(&tables))
    }
}

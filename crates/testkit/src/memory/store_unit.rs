//! The unit of work over the store in memory.

use std::time::Duration;

use highwater_core::model::{
    DeadLetter, FailedEvent, FailedState, Position, ProjectionKey, ProjectionName, ProjectionState,
};
use highwater_core::ports::{Acquired, Locked, TableTaken, UnitOfWork};
use highwater_core::{Error, ErrorKind};

use super::store_data::{Data, Failed, Work};
use super::tx::{MemoryTx, no_savepoint};
use crate::sync::lock;

/// One transaction of a [`MemoryStore`](super::MemoryStore).
pub struct MemoryUnit {
    tx: MemoryTx,
}

impl MemoryUnit {
    pub(super) fn new(tx: MemoryTx) -> Self {
        Self { tx }
    }

    fn failed_of(&self, key: &ProjectionKey) -> impl Iterator<Item = Failed> {
        self.tx.read(|work, data| work.failed_of(data, key)).into_values()
    }
}

impl UnitOfWork for MemoryUnit {
    type Tx = MemoryTx;

    async fn lock(&mut self, key: &ProjectionKey) -> Result<Locked, Error> {
        self.tx.usable("lock a projection's state")?;
        let mut data = lock(&self.tx.shared.data);
        if data.locked_by_another(key, self.tx.number) {
            return Ok(Locked::Busy);
        }
        let Some(state) = self.tx.work.state(&data, key) else { return Ok(Locked::Missing) };
        data.locks.insert(key.clone(), self.tx.number);
        let failed = self.tx.work.failed_of(&data, key);
        let retrying = failed.values().find(|failed| failed.row.state == FailedState::Retrying);
        let replay = failed.values().find(|failed| failed.is_open() && failed.row.replay_requested);
        Ok(Locked::Acquired(Box::new(Acquired {
            state,
            retrying: retrying.map(|failed| failed.row.clone()),
            replay: replay.map(|failed| failed.row.clone()),
        })))
    }

    async fn create_state(&mut self, state: &ProjectionState) -> Result<(), Error> {
        self.tx.usable("create a projection's state")?;
        let mut data = lock(&self.tx.shared.data);
        if self.tx.work.state(&data, &state.key).is_some() {
            let error = Error::new(ErrorKind::AlreadyExists, "create a projection's state");
            return Err(error.with("projection", &state.key));
        }
        if data.locked_by_another(&state.key, self.tx.number) {
            let error = Error::new(ErrorKind::Contention, "create a projection's state");
            return Err(error.with("projection", &state.key));
        }
        data.locks.insert(state.key.clone(), self.tx.number);
        self.tx.work.states.insert(state.key.clone(), Some(state.clone()));
        Ok(())
    }

    async fn remove_state(&mut self, key: &ProjectionKey) -> Result<(), Error> {
        self.tx.usable("remove a projection's state")?;
        let refuse = |kind| Error::new(kind, "remove a projection's state").with("projection", key);
        let data = lock(&self.tx.shared.data);
        if self.tx.work.state(&data, key).is_none() {
            return Err(refuse(ErrorKind::NotFound));
        }
        if data.locks.get(key) != Some(&self.tx.number) {
            return Err(refuse(ErrorKind::Contention));
        }
        self.tx.work.states.insert(key.clone(), None);
        Ok(())
    }

    async fn states(&mut self, name: &ProjectionName) -> Result<Vec<ProjectionState>, Error> {
        self.tx.usable("read a projection's states")?;
        Ok(self.tx.read(|work, data| work.states_of(data, name)))
    }

    async fn note_tables(&mut self) -> Result<(), Error> {
        self.tx.usable("note the tables that are created")?;
        self.tx.created = Some(Vec::new());
        Ok(())
    }

    async fn own_tables(
        &mut self,
        name: &ProjectionName,
        named: &[String],
    ) -> Result<Vec<TableTaken>, Error> {
        self.tx.usable("give tables to a projection")?;
        let mut tables = self.tx.created.take().unwrap_or_default();
        tables.extend_from_slice(named);
        let mut taken = Vec::new();
        for table in tables {
            match self.tx.read(|work, data| work.owner(data, &table)) {
                Some(owner) if owner != *name => taken.push(TableTaken { table, owner }),
                _ => {
                    self.tx.work.owners.insert(table, Some(name.clone()));
                }
            }
        }
        Ok(taken)
    }

    async fn savepoint(&mut self) -> Result<(), Error> {
        self.tx.usable("set a savepoint")?;
        self.tx.savepoints.push(self.tx.work.clone());
        lock(&self.tx.shared.data).counts.savepoints += 1;
        Ok(())
    }

    async fn rollback_to(&mut self) -> Result<(), Error> {
        self.tx.return_to_savepoint()?;
        lock(&self.tx.shared.data).counts.rolled_back_to += 1;
        Ok(())
    }

    async fn release(&mut self) -> Result<(), Error> {
        self.tx.usable("release a savepoint")?;
        self.tx.read(|work, data| work.check_deferred(data)).map_err(|violated| {
            Error::new(ErrorKind::Constraint, "check the deferred constraints").because(violated)
        })?;
        self.tx.savepoints.pop().ok_or_else(|| no_savepoint("release a savepoint"))?;
        lock(&self.tx.shared.data).counts.released += 1;
        Ok(())
    }

    fn tx(&mut self) -> &mut MemoryTx {
        &mut self.tx
    }

    async fn statement_timeout(&mut self, limit: Option<Duration>) -> Result<(), Error> {
        self.tx.usable("limit the statements")?;
        self.tx.statement_limit = limit;
        Ok(())
    }

    async fn parked_streams(&mut self, key: &ProjectionKey) -> Result<Vec<String>, Error> {
        self.tx.usable("read the parked streams")?;
        let mut streams: Vec<String> =
            self.failed_of(key).filter(waits).map(|failed| failed.row.stream.to_string()).collect();
        streams.sort();
        streams.dedup();
        Ok(streams)
    }

    async fn open_failures(&mut self, key: &ProjectionKey) -> Result<u64, Error> {
        self.tx.usable("count the failed events")?;
        Ok((0..).zip(self.failed_of(key).filter(Failed::is_open)).map(|(n, _)| n + 1).last().unwrap_or(0))
    }

    async fn record_failed(
        &mut self,
        failed: &FailedEvent,
        letter: Option<&DeadLetter>,
    ) -> Result<(), Error> {
        self.tx.usable("record a failed event")?;
        let kept = Failed { row: failed.clone(), letter: letter.map(|letter| letter.event.detached()) };
        self.tx.work.failed.insert((failed.key.clone(), failed.position), Some(kept));
        Ok(())
    }

    async fn dead_letter(
        &mut self,
        key: &ProjectionKey,
        position: Position,
    ) -> Result<Option<DeadLetter>, Error> {
        self.tx.usable("read a dead letter")?;
        Ok(self
            .failed_of(key)
            .find(|failed| failed.row.position == position)
            .and_then(|failed| failed.dead_letter()))
    }

    async fn first_of_stream(
        &mut self,
        key: &ProjectionKey,
        stream: &str,
    ) -> Result<Option<DeadLetter>, Error> {
        self.tx.usable("read the first event of a parked stream")?;
        let first = |failed: &Failed| waits(failed) && *failed.row.stream == *stream;
        Ok(self.failed_of(key).find(first).and_then(|failed| failed.dead_letter()))
    }

    async fn resolve_failed(&mut self, key: &ProjectionKey, position: Position) -> Result<(), Error> {
        self.tx.usable("resolve a failed event")?;
        self.tx.work.failed.insert((key.clone(), position), None);
        Ok(())
    }

    async fn clear_failed(&mut self, key: &ProjectionKey) -> Result<(), Error> {
        self.tx.usable("clear the failed events")?;
        let all: Vec<Position> = self.failed_of(key).map(|failed| failed.row.position).collect();
        self.tx.work.failed.extend(all.into_iter().map(|position| ((key.clone(), position), None)));
        Ok(())
    }

    async fn commit(self, read: &ProjectionState, next: &ProjectionState) -> Result<(), Error> {
        let Self { tx } = self;
        tx.usable("commit")?;
        let shared = tx.shared.clone();
        let mut data = lock(&shared.data);
        if let Some(error) = refusal(&tx, &data, read) {
            drop(data); // before the transaction, whose end takes the lock itself
            return Err(error);
        }
        let mut work = tx.into_work(&mut data);
        work.states.insert(next.key.clone(), Some(next.clone()));
        data.apply(work);
        data.counts.commits += 1;
        drop(data);
        shared.committed();
        Ok(())
    }

    async fn rollback(self) -> Result<(), Error> {
        drop(self);
        Ok(())
    }
}

/// Parked, or held behind one that is.
fn waits(failed: &Failed) -> bool {
    matches!(failed.row.state, FailedState::Parked | FailedState::Held)
}

/// Why the transaction may not commit.
fn refusal(tx: &MemoryTx, data: &Data, read: &ProjectionState) -> Option<Error> {
    let refuse = |kind| Error::new(kind, "move a projection's state").with("projection", &read.key);
    if data.locked_by_another(&read.key, tx.number) {
        return Some(refuse(ErrorKind::Contention));
    }
    let as_read = tx.work.state(data, &read.key).is_some_and(|stored| {
        (stored.epoch, stored.generation, stored.scanned) == (read.epoch, read.generation, read.scanned)
    });
    if !as_read {
        return Some(refuse(ErrorKind::LostOwnership));
    }
    let of_another = |(table, owner): (&String, &Option<ProjectionName>)| {
        owner.is_some()
            && Work::default().owner(data, table).is_some_and(|other| owner.as_ref() != Some(&other))
    };
    if tx.work.owners.iter().any(of_another) {
        return Some(refuse(ErrorKind::Contention));
    }
    let violated = tx.work.check_deferred(data).err()?;
    Some(Error::new(ErrorKind::Constraint, "check the deferred constraints").because(violated))
}

//! A read model store with faults.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;

use highwater_core::Error;
use highwater_core::model::{
    DeadLetter, FailedEvent, InstanceRank, Position, ProjectionKey, ProjectionName, ProjectionPart,
    ProjectionState,
};
use highwater_core::ports::{Claim, Locked, Membership, ReadModelStore, TableTaken, UnitOfWork};

use super::{FaultPlan, Faulty};

impl<S: ReadModelStore> ReadModelStore for Faulty<S> {
    type Tx = S::Tx;
    type Unit = FaultyUnit<S::Unit>;
    type Lease = S::Lease;

    async fn claim(&self, part: &ProjectionPart) -> Result<Claim<S::Lease>, Error> {
        self.plan.around("store.claim", self.inner.claim(part)).await
    }

    async fn join(&self, name: &ProjectionName) -> Result<Option<Box<dyn Membership>>, Error> {
        let joined = self.plan.around("store.join", self.inner.join(name)).await?;
        Ok(joined.map(|inner| Box::new(FaultyMembership { inner, plan: self.plan.clone() }) as _))
    }

    fn stirred(&self) -> bool {
        self.inner.stirred()
    }

    async fn transact<F, Fut, T>(&self, deadline: Duration, job: F) -> Result<T, Error>
    where
        F: FnOnce(Self::Unit) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
        T: Send + 'static,
    {
        let plan = self.plan.clone();
        let inner = self.inner.transact(deadline, move |inner| job(FaultyUnit { inner, plan }));
        self.plan.around("store.transact", inner).await
    }
}

struct FaultyMembership {
    inner: Box<dyn Membership>,
    plan: FaultPlan,
}

#[async_trait]
impl Membership for FaultyMembership {
    async fn rank(&self) -> Result<InstanceRank, Error> {
        self.plan.around("membership.rank", self.inner.rank()).await
    }
}

/// A unit of work with faults. The projection's own statements have no points: what they do is in the
/// transaction, and goes with it.
pub struct FaultyUnit<U> {
    inner: U,
    plan: FaultPlan,
}

impl<U: UnitOfWork> UnitOfWork for FaultyUnit<U> {
    type Tx = U::Tx;

    async fn lock(&mut self, key: &ProjectionKey) -> Result<Locked, Error> {
        self.plan.around("unit.lock", self.inner.lock(key)).await
    }

    async fn create_state(&mut self, state: &ProjectionState) -> Result<(), Error> {
        self.plan.around("unit.create_state", self.inner.create_state(state)).await
    }

    async fn remove_state(&mut self, key: &ProjectionKey) -> Result<(), Error> {
        self.plan.around("unit.remove_state", self.inner.remove_state(key)).await
    }

    async fn states(&mut self, name: &ProjectionName) -> Result<Vec<ProjectionState>, Error> {
        self.plan.around("unit.states", self.inner.states(name)).await
    }

    async fn note_tables(&mut self) -> Result<(), Error> {
        self.plan.around("unit.note_tables", self.inner.note_tables()).await
    }

    async fn own_tables(
        &mut self,
        name: &ProjectionName,
        named: &[String],
    ) -> Result<Vec<TableTaken>, Error> {
        self.plan.around("unit.own_tables", self.inner.own_tables(name, named)).await
    }

    async fn savepoint(&mut self) -> Result<(), Error> {
        self.plan.around("unit.savepoint", self.inner.savepoint()).await
    }

    async fn rollback_to(&mut self) -> Result<(), Error> {
        self.plan.around("unit.rollback_to", self.inner.rollback_to()).await
    }

    async fn release(&mut self) -> Result<(), Error> {
        self.plan.around("unit.release", self.inner.release()).await
    }

    fn tx(&mut self) -> &mut U::Tx {
        self.inner.tx()
    }

    async fn statement_timeout(&mut self, limit: Option<Duration>) -> Result<(), Error> {
        self.plan.around("unit.statement_timeout", self.inner.statement_timeout(limit)).await
    }

    async fn parked_streams(&mut self, key: &ProjectionKey) -> Result<Vec<String>, Error> {
        self.plan.around("unit.parked_streams", self.inner.parked_streams(key)).await
    }

    async fn open_failures(&mut self, key: &ProjectionKey) -> Result<u64, Error> {
        self.plan.around("unit.open_failures", self.inner.open_failures(key)).await
    }

    async fn record_failed(
        &mut self,
        failed: &FailedEvent,
        letter: Option<&DeadLetter>,
    ) -> Result<(), Error> {
        self.plan.around("unit.record_failed", self.inner.record_failed(failed, letter)).await
    }

    async fn dead_letter(
        &mut self,
        key: &ProjectionKey,
        position: Position,
    ) -> Result<Option<DeadLetter>, Error> {
        self.plan.around("unit.dead_letter", self.inner.dead_letter(key, position)).await
    }

    async fn first_of_stream(
        &mut self,
        key: &ProjectionKey,
        stream: &str,
    ) -> Result<Option<DeadLetter>, Error> {
        self.plan.around("unit.first_of_stream", self.inner.first_of_stream(key, stream)).await
    }

    async fn resolve_failed(&mut self, key: &ProjectionKey, position: Position) -> Result<(), Error> {
        self.plan.around("unit.resolve_failed", self.inner.resolve_failed(key, position)).await
    }

    async fn clear_failed(&mut self, key: &ProjectionKey) -> Result<(), Error> {
        self.plan.around("unit.clear_failed", self.inner.clear_failed(key)).await
    }

    async fn commit(self, read: &ProjectionState, next: &ProjectionState) -> Result<(), Error> {
        self.plan.around("unit.commit", self.inner.commit(read, next)).await
    }

    async fn rollback(self) -> Result<(), Error> {
        self.plan.around("unit.rollback", self.inner.rollback()).await
    }
}

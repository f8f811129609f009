//! The operator's side of a read model store, with faults.

use async_trait::async_trait;

use highwater_core::Error;
use highwater_core::model::{
    DeadLetter, FailedEvent, Position, ProjectionKey, ProjectionName, ProjectionPart, ProjectionState,
};
use highwater_core::ports::{FailedQuery, Owner, ProjectionControl};

use super::Faulty;

#[async_trait]
impl<C: ProjectionControl> ProjectionControl for Faulty<C> {
    async fn states(&self) -> Result<Vec<ProjectionState>, Error> {
        self.plan.around("control.states", self.inner.states()).await
    }

    async fn set_paused(&self, name: &ProjectionName, paused: bool) -> Result<bool, Error> {
        self.plan.around("control.set_paused", self.inner.set_paused(name, paused)).await
    }

    async fn failed_events(&self, query: &FailedQuery, limit: usize) -> Result<Vec<FailedEvent>, Error> {
        self.plan.around("control.failed_events", self.inner.failed_events(query, limit)).await
    }

    async fn dead_letter(
        &self,
        key: &ProjectionKey,
        position: Position,
    ) -> Result<Option<DeadLetter>, Error> {
        self.plan.around("control.dead_letter", self.inner.dead_letter(key, position)).await
    }

    async fn request_replay(&self, query: &FailedQuery) -> Result<u64, Error> {
        self.plan.around("control.request_replay", self.inner.request_replay(query)).await
    }

    async fn discard(&self, query: &FailedQuery) -> Result<u64, Error> {
        self.plan.around("control.discard", self.inner.discard(query)).await
    }

    async fn owner(&self, part: &ProjectionPart) -> Result<Option<Owner>, Error> {
        self.plan.around("control.owner", self.inner.owner(part)).await
    }

    async fn changed(&self) -> Result<(), Error> {
        self.plan.around("control.changed", self.inner.changed()).await
    }
}

//! A checkpoint store with faults.

use std::time::Duration;

use async_trait::async_trait;

use highwater_core::Error;
use highwater_core::model::{Advance, Checkpoint, Position};
use highwater_core::ports::{
    CheckpointPage, CheckpointStore, GroupClaim, GroupOwner, OwnedAdvance, OwnedCheckpoints, OwnedEntry,
};

use super::Faulty;

#[async_trait]
impl<C: CheckpointStore> CheckpointStore for Faulty<C> {
    async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error> {
        self.plan.around("checkpoints.get", self.inner.get(key)).await
    }

    async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error> {
        self.plan.around("checkpoints.set_if_newer", self.inner.set_if_newer(key, to)).await
    }

    async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error> {
        self.plan.around("checkpoints.set_many_if_newer", self.inner.set_many_if_newer(entries)).await
    }

    async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error> {
        self.plan.around("checkpoints.reset", self.inner.reset(key, to, expected)).await
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        self.plan.around("checkpoints.delete", self.inner.delete(key)).await
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error> {
        self.plan.around("checkpoints.scan", self.inner.scan(prefix, after, limit)).await
    }

    async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error> {
        self.plan.around("checkpoints.clear", self.inner.clear(prefix, dry_run)).await
    }
}

#[async_trait]
impl<C: OwnedCheckpoints> OwnedCheckpoints for Faulty<C> {
    async fn claim(&self, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error> {
        self.plan.around("checkpoints.claim", self.inner.claim(key, owner, lease)).await
    }

    async fn advance_owned(
        &self,
        owner: &str,
        lease: Duration,
        entries: &[OwnedEntry],
    ) -> Result<Vec<OwnedAdvance>, Error> {
        self.plan.around("checkpoints.advance_owned", self.inner.advance_owned(owner, lease, entries)).await
    }

    async fn release(&self, key: &str, owner: &str, epoch: u64) -> Result<bool, Error> {
        self.plan.around("checkpoints.release", self.inner.release(key, owner, epoch)).await
    }

    async fn owner(&self, key: &str) -> Result<Option<GroupOwner>, Error> {
        self.plan.around("checkpoints.owner", self.inner.owner(key)).await
    }

    async fn remembers(&self) -> Result<bool, Error> {
        self.plan.around("checkpoints.remembers", self.inner.remembers()).await
    }
}

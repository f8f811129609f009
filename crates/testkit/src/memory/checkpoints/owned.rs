//! The owners of checkpoints in memory.

use std::time::Duration;

use async_trait::async_trait;

use highwater_core::ports::{GroupClaim, GroupOwner, OwnedAdvance, OwnedCheckpoints, OwnedEntry};
use highwater_core::{Error, ErrorKind};

use super::keys::Held;
use super::{MemoryCheckpoints, State};

impl MemoryCheckpoints {
    fn claim_in(
        state: &mut State,
        key: &str,
        owner: &str,
        lease: Duration,
        now: Duration,
    ) -> Result<GroupClaim, Error> {
        if let Some(known) = state.keys.get(key) {
            let other = known.held.as_ref().filter(|held| held.owner != owner && held.until > now);
            if let Some(held) = other {
                return Ok(GroupClaim::Held { owner: held.owner.clone(), remaining: held.until - now });
            }
            if known.is_lost() {
                return Err(Error::new(ErrorKind::CheckpointLost, "claim a checkpoint").with("key", key));
            }
        }
        let known = state.keys.entry(key);
        known.held = Some(Held { owner: owner.to_owned(), until: now.saturating_add(lease) });
        known.epoch += 1;
        Ok(GroupClaim::Won { epoch: known.epoch, generation: known.generation, checkpoint: known.checkpoint })
    }

    fn advance_in(
        &self,
        state: &mut State,
        owner: &str,
        lease: Duration,
        now: Duration,
        entry: &OwnedEntry,
    ) -> OwnedAdvance {
        let known = state.keys.get_mut(&entry.key).filter(|known| known.is_held_by(owner, entry.epoch));
        let Some(held) = known.and_then(|known| known.held.as_mut()) else { return OwnedAdvance::Lost };
        held.until = now.saturating_add(lease);
        OwnedAdvance::Owned(entry.to.map(|to| self.forward(state, &entry.key, to)))
    }
}

#[async_trait]
impl OwnedCheckpoints for MemoryCheckpoints {
    async fn claim(&self, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error> {
        self.with("claim a checkpoint", |state| {
            let now = self.now(state);
            Self::claim_in(state, key, owner, lease, now)
        })?
    }

    async fn advance_owned(
        &self,
        owner: &str,
        lease: Duration,
        entries: &[OwnedEntry],
    ) -> Result<Vec<OwnedAdvance>, Error> {
        self.with("advance checkpoints", |state| {
            let now = self.now(state);
            entries.iter().map(|entry| self.advance_in(state, owner, lease, now, entry)).collect()
        })
    }

    async fn release(&self, key: &str, owner: &str, epoch: u64) -> Result<bool, Error> {
        self.with("release a checkpoint", |state| {
            let known = state.keys.get_mut(key).filter(|known| known.is_held_by(owner, epoch));
            known.is_some_and(|known| known.held.take().is_some())
        })
    }

    async fn owner(&self, key: &str) -> Result<Option<GroupOwner>, Error> {
        self.with("read the owner of a checkpoint", |state| {
            let now = self.now(state);
            let known = state.keys.get(key).filter(|known| known.epoch > 0)?;
            let (owner, remaining) = known
                .held
                .as_ref()
                .map_or_else(Default::default, |held| (held.owner.clone(), held.until.saturating_sub(now)));
            Some(GroupOwner { owner, epoch: known.epoch, generation: known.generation, remaining })
        })
    }

    async fn remembers(&self) -> Result<bool, Error> {
        self.with("look for known checkpoints", |state| !state.forgetful || state.keys.any_stored())
    }
}

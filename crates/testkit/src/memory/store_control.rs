//! The operator's side of the store in memory.

use async_trait::async_trait;

use highwater_core::model::{
    DeadLetter, FailedEvent, FailedState, Position, ProjectionKey, ProjectionName, ProjectionPart,
    ProjectionState,
};
use highwater_core::ports::{FailedQuery, Owner, ProjectionControl};
use highwater_core::{Error, ErrorKind};

use super::cut_off;
use super::store::{MemoryStore, SharedStore};
use super::store_data::{Data, Failed};
use crate::sync::lock;

impl SharedStore {
    fn reading<T>(&self, operation: &'static str, read: impl FnOnce(&Data) -> T) -> Result<T, Error> {
        let data = lock(&self.data);
        if data.outage { Err(cut_off(operation)) } else { Ok(read(&data)) }
    }

    /// Changes data that transactions hold by the lock on their state row: waits until no transaction has
    /// locked a state of the projection (of any, for `None`).
    async fn changing<T>(
        &self,
        operation: &'static str,
        name: Option<&ProjectionName>,
        change: impl FnOnce(&mut Data) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            // Before the question, so that a transaction which ends in between ends the wait.
            let unlocked = self.unlocked.notified();
            {
                let mut data = lock(&self.data);
                if data.outage {
                    return Err(cut_off(operation));
                }
                if !data.locks.keys().any(|key| name.is_none_or(|name| key.name == *name)) {
                    let answer = change(&mut data)?;
                    drop(data);
                    self.committed();
                    return Ok(answer);
                }
            }
            unlocked.await;
        }
    }
}

fn matches(query: &FailedQuery, row: &FailedEvent) -> bool {
    query.projection.as_ref().is_none_or(|name| row.key.name == *name)
        && query.version.is_none_or(|version| row.key.version == version)
        && (query.states.is_empty() || query.states.contains(&row.state))
        && query.position.is_none_or(|position| row.position == position)
        && (query.after.is_none() || Some(row.position) > query.after)
}

#[async_trait]
impl ProjectionControl for MemoryStore {
    async fn states(&self) -> Result<Vec<ProjectionState>, Error> {
        self.shared.reading("read the states", |data| data.states.values().cloned().collect())
    }

    async fn set_paused(&self, name: &ProjectionName, paused: bool) -> Result<bool, Error> {
        let change = |data: &mut Data| {
            let (mut known, mut changed) = (false, false);
            for state in data.states.values_mut().filter(|state| state.key.name == *name) {
                known = true;
                changed |= state.paused != paused;
                state.paused = paused;
            }
            let unknown = || Error::new(ErrorKind::NotFound, "pause a projection").with("projection", name);
            if known { Ok(changed) } else { Err(unknown()) }
        };
        self.shared.changing("pause a projection", Some(name), change).await
    }

    async fn failed_events(&self, query: &FailedQuery, limit: usize) -> Result<Vec<FailedEvent>, Error> {
        self.shared.reading("read failed events", |data| {
            let mut rows: Vec<&FailedEvent> =
                data.failed.values().map(|failed| &failed.row).filter(|row| matches(query, row)).collect();
            rows.sort_by(|a, b| (&a.key.name, a.position, &a.key).cmp(&(&b.key.name, b.position, &b.key)));
            rows.into_iter().take(limit.max(1)).cloned().collect()
        })
    }

    async fn dead_letter(
        &self,
        key: &ProjectionKey,
        position: Position,
    ) -> Result<Option<DeadLetter>, Error> {
        self.shared.reading("read a dead letter", |data| {
            data.failed.get(&(key.clone(), position)).and_then(Failed::dead_letter)
        })
    }

    async fn request_replay(&self, query: &FailedQuery) -> Result<u64, Error> {
        let change = |data: &mut Data| {
            let mut marked = 0;
            for failed in data.failed.values_mut().filter(|failed| matches(query, &failed.row)) {
                if failed.row.state == FailedState::Retrying {
                    failed.row.next_attempt_micros = Some(0);
                } else {
                    failed.row.replay_requested = true;
                }
                marked += 1;
            }
            Ok(marked)
        };
        self.shared.changing("request a replay", query.projection.as_ref(), change).await
    }

    async fn discard(&self, query: &FailedQuery) -> Result<u64, Error> {
        let change = |data: &mut Data| {
            let mut discarded = 0;
            data.failed.retain(|_, failed| {
                let goes = failed.is_open() && matches(query, &failed.row);
                discarded += u64::from(goes);
                !goes
            });
            Ok(discarded)
        };
        self.shared.changing("discard failed events", query.projection.as_ref(), change).await
    }

    async fn owner(&self, part: &ProjectionPart) -> Result<Option<Owner>, Error> {
        self.shared.reading("read a projection's owner", |data| {
            data.claims.get(part).map(|(_, process)| Owner { name: process.to_string() })
        })
    }

    async fn changed(&self) -> Result<(), Error> {
        let mut commits = self.shared.commits.subscribe();
        let changed = commits.changed().await;
        changed.map_err(|error| Error::new(ErrorKind::Closed, "watch the store").because(error))
    }
}

//! The port with owners.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::ports::{GroupClaim, GroupOwner, OwnedAdvance, OwnedCheckpoints, OwnedEntry};

use crate::database::now_micros;
use crate::error::During;

use super::keys::{self, Known};
use super::rows;
use super::store::{SqliteCheckpoints, check_key};

const CLAIM: &str = "claim a checkpoint";
const ADVANCE: &str = "advance checkpoints";
const OWNER: &str = "read the owner of a checkpoint";

#[async_trait]
impl OwnedCheckpoints for SqliteCheckpoints {
    async fn claim(&self, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error> {
        check_key(key)?;
        let (key, owner) = (key.to_owned(), owner.to_owned());
        self.database.write(CLAIM, move |conn| claim(conn, &key, &owner, lease)).await
    }

    async fn advance_owned(
        &self,
        owner: &str,
        lease: Duration,
        entries: &[OwnedEntry],
    ) -> Result<Vec<OwnedAdvance>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        entries.iter().try_for_each(|entry| check_key(&entry.key))?;
        let (owner, entries) = (owner.to_owned(), entries.to_vec());
        let work = move |conn: &Connection| {
            let now = now_micros(conn).during(ADVANCE)?;
            entries.iter().map(|entry| advance(conn, &owner, lease, now, entry)).collect()
        };
        self.database.write(ADVANCE, work).await
    }

    async fn release(&self, key: &str, owner: &str, epoch: u64) -> Result<bool, Error> {
        check_key(key)?;
        let (key, owner) = (key.to_owned(), owner.to_owned());
        let work = move |conn: &Connection| keys::release(conn, &key, &owner, epoch);
        self.database.write("release a checkpoint", work).await
    }

    async fn owner(&self, key: &str) -> Result<Option<GroupOwner>, Error> {
        check_key(key)?;
        let key = key.to_owned();
        self.database.read(move |conn| owner(conn, &key)).await
    }
}

fn claim(conn: &Connection, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error> {
    let now = now_micros(conn).during(CLAIM)?;
    let known = keys::read(conn, key)?;
    let held = known.as_ref().and_then(|known| known.held.as_ref());
    if let Some((other, until)) = held
        && other != owner
        && *until > now
    {
        return Ok(GroupClaim::Held { owner: other.clone(), remaining: between(now, *until) });
    }
    let checkpoint = rows::read(conn, key)?;
    if checkpoint.is_none() && known.as_ref().is_some_and(|known| known.stored) {
        return Err(Error::new(ErrorKind::CheckpointLost, CLAIM).with("key", key).because(
            "there was a checkpoint and its row is gone: set it to where to go on, or delete the key to begin anew",
        ));
    }
    let (epoch, generation) = keys::give(conn, key, known, owner, end_of(lease, now))?;
    Ok(GroupClaim::Won { epoch, generation, checkpoint })
}

fn advance(
    conn: &Connection,
    owner: &str,
    lease: Duration,
    now: i64,
    entry: &OwnedEntry,
) -> Result<OwnedAdvance, Error> {
    if !keys::renew(conn, &entry.key, owner, entry.epoch, end_of(lease, now))? {
        return Ok(OwnedAdvance::Lost);
    }
    let moved = entry.to.map(|to| rows::advance(conn, &entry.key, to, now)).transpose()?;
    Ok(OwnedAdvance::Owned(moved))
}

fn owner(conn: &Connection, key: &str) -> Result<Option<GroupOwner>, Error> {
    let Some(Known { held, epoch: epoch @ 1.., generation, .. }) = keys::read(conn, key)? else {
        return Ok(None);
    };
    let now = now_micros(conn).during(OWNER)?;
    let (owner, until) = held.unwrap_or((String::new(), now));
    Ok(Some(GroupOwner { owner, epoch, generation, remaining: between(now, until) }))
}

/// When a lease that begins now runs out.
fn end_of(lease: Duration, now: i64) -> i64 {
    now.saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX))
}

fn between(now: i64, until: i64) -> Duration {
    Duration::from_micros(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
}

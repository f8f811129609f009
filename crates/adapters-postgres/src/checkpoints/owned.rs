//! The port with owners.

use std::time::Duration;

use async_trait::async_trait;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::Position;
use highwater_core::ports::{GroupClaim, GroupOwner, OwnedAdvance, OwnedCheckpoints, OwnedEntry};

use crate::columns::Columns;
use crate::error::During;
use crate::text::escaped;

use super::rows::{advance_in, check_key, checkpoint_in, each};
use super::store::PgCheckpoints;

const CLAIM: &str = "claim a checkpoint";
const ADVANCE: &str = "advance checkpoints";
const RELEASE: &str = "release a checkpoint";
const OWNER: &str = "read the owner of a checkpoint";
/// The longest lease, in microseconds: a century, to which every time of the server can be added.
const LONGEST: i64 = 100 * 366 * 86_400 * 1_000_000;

#[async_trait]
impl OwnedCheckpoints for PgCheckpoints {
    async fn claim(&self, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error> {
        check_key(key)?;
        let statement = self.database.names().sql(
            "SELECT outcome, holder, remaining, won_epoch::text, won_generation::text, stored_commit::text,
                 stored_prepare::text, (extract(epoch FROM stored_at) * 1000000)::bigint
             FROM highwater.claim_checkpoint($1, $2, $3)",
        );
        let row = sqlx::query(statement.safe())
            .bind(escaped(key))
            .bind(escaped(owner))
            .bind(micros(lease))
            .fetch_one(&mut *self.database.connection(CLAIM).await?)
            .await
            .during(CLAIM)?;
        claim_in(&mut Columns::from(&row, 0, CLAIM)).map_err(|error| error.with("key", key))
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
        let column = |half: fn(Position) -> u64| -> Vec<Option<String>> {
            entries.iter().map(|entry| entry.to.map(|to| half(to).to_string())).collect()
        };
        let keys: Vec<_> = entries.iter().map(|entry| escaped(&entry.key)).collect();
        let epochs: Vec<_> = entries.iter().map(|entry| entry.epoch.to_string()).collect();
        let statement = self.database.names().sql(
            "SELECT owned, applied, stored_commit::text, stored_prepare::text
             FROM highwater.advance_owned_checkpoints($1, $2, $3, $4::text[]::numeric[], $5::text[]::numeric[],
                 $6::text[]::numeric[])
             ORDER BY entry",
        );
        let rows = sqlx::query(statement.safe())
            .bind(escaped(owner))
            .bind(micros(lease))
            .bind(keys)
            .bind(epochs)
            .bind(column(Position::commit))
            .bind(column(Position::prepare))
            .fetch_all(&mut *self.database.connection(ADVANCE).await?)
            .await
            .during(ADVANCE)?;
        each(&rows, entries, ADVANCE, |entry| &entry.key, owned_in)
    }

    async fn release(&self, key: &str, owner: &str, epoch: u64) -> Result<bool, Error> {
        check_key(key)?;
        let statement = self.database.names().sql(
            "UPDATE highwater.checkpoint_key SET owner = NULL, lease_until = NULL
             WHERE key = $1 AND owner = $2 AND epoch = $3::numeric",
        );
        let done = sqlx::query(statement.safe())
            .bind(escaped(key))
            .bind(escaped(owner))
            .bind(epoch.to_string())
            .execute(&mut *self.database.connection(RELEASE).await?)
            .await
            .during(RELEASE)?;
        Ok(done.rows_affected() > 0)
    }

    async fn owner(&self, key: &str) -> Result<Option<GroupOwner>, Error> {
        check_key(key)?;
        let statement = self.database.names().sql(
            "SELECT coalesce(owner, ''), epoch::text, generation::text,
                 greatest(0, ceil(extract(epoch FROM coalesce(lease_until - clock_timestamp(), '0')) * 1000000))
                     ::bigint
             FROM highwater.checkpoint_key WHERE key = $1 AND epoch > 0",
        );
        let row = sqlx::query(statement.safe())
            .bind(escaped(key))
            .fetch_optional(&mut *self.database.connection(OWNER).await?)
            .await
            .during(OWNER)?;
        let Some(row) = row else { return Ok(None) };
        let mut columns = Columns::from(&row, 0, OWNER);
        Ok(Some(GroupOwner {
            owner: columns.text()?,
            epoch: columns.unsigned()?,
            generation: columns.unsigned()?,
            remaining: remaining(&mut columns)?,
        }))
    }
}

fn claim_in(columns: &mut Columns<'_>) -> Result<GroupClaim, Error> {
    match columns.take::<String>()?.as_str() {
        "held" => Ok(GroupClaim::Held { owner: columns.text()?, remaining: remaining(columns)? }),
        "won" => {
            columns.skip(2);
            let (epoch, generation) = (columns.unsigned()?, columns.unsigned()?);
            let checkpoint = if columns.is_null()? { None } else { Some(checkpoint_in(columns)?) };
            Ok(GroupClaim::Won { epoch, generation, checkpoint })
        }
        "lost" => Err(Error::new(ErrorKind::CheckpointLost, CLAIM).because(
            "there was a checkpoint and its row is gone: set it to where to go on, or delete the key to begin anew",
        )),
        other => Err(columns.corrupt(format!("`{other}` is no outcome of a claim"))),
    }
}

fn owned_in(columns: &mut Columns<'_>, entry: &OwnedEntry) -> Result<OwnedAdvance, Error> {
    if !columns.take::<bool>()? {
        return Ok(OwnedAdvance::Lost);
    }
    let moved = entry.to.map(|to| advance_in(columns, &entry.key, to)).transpose()?;
    Ok(OwnedAdvance::Owned(moved))
}

fn micros(lease: Duration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}

fn remaining(columns: &mut Columns<'_>) -> Result<Duration, Error> {
    let micros: i64 = columns.take()?;
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

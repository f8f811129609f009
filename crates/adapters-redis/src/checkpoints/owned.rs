//! The port with owners.

use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{Value, cmd};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Checkpoint, Position};
use highwater_core::ports::{GroupClaim, GroupOwner, OwnedAdvance, OwnedCheckpoints, OwnedEntry};

use crate::error::corrupt;
use crate::reply::{Fields, integer};
use crate::script::Call;
use crate::server::{Again, Way, is_no_script};

use super::answer::{Moved, micros, no_position};
use super::store::{RedisCheckpoints, check_key, log, position};

const CLAIM: &str = "claim a checkpoint";
const ADVANCE: &str = "advance checkpoints";
const RELEASE: &str = "release a checkpoint";
const OWNER: &str = "read the owner of a checkpoint";
const REMEMBERS: &str = "look for the registry of checkpoints";
/// How often it is looked again at a checkpoint that seems lost. One that was deleted while its owner was about to write
/// it for the first time is registered for a moment longer than it is there.
const LOOKS: u32 = 8;
/// The longest lease: a century. Together with any time it is a number that the scripts count with exactly.
const LONGEST_MICROS: u64 = 100 * 366 * 86_400 * 1_000_000;

/// What the script of a claim answers.
enum Claimed {
    Decided(GroupClaim),
    /// There is no such hash, and none was to be created.
    Unknown,
}

impl RedisCheckpoints {
    fn claiming(&self, key: &str, owner: &str, lease: Duration, create: &'static str) -> Call {
        Call::on(self.redis.names().checkpoint(key)).arg(owner).arg(leased(lease)).arg(create)
    }

    /// Claims a key that there is, and says whether it is registered, both as of one moment.
    async fn claim_known(&self, key: &str, owner: &str, lease: Duration) -> Result<(Claimed, bool), Error> {
        let (script, call) = (&self.scripts.claim, self.claiming(key, owner, lease, "0"));
        let mut registered = cmd("SISMEMBER");
        registered.arg(self.redis.names().registry()).arg(key);
        let both = |claim| self.redis.at_once(Way::Link, Again::Safe, CLAIM, vec![claim, registered.clone()]);
        let mut answers = both(call.by_hash(script)).await?;
        if answers.first().is_some_and(is_no_script) {
            answers = both(call.whole(script)).await?;
        }
        let mut answers = answers.into_iter();
        let claim = claimed(answers.next().unwrap_or_default()).map_err(|error| self.redis.at(error))?;
        let registered = integer(CLAIM, answers.next().unwrap_or_default())?;
        Ok((claim, registered > 0))
    }

    async fn claim_new(&self, key: &str, owner: &str, lease: Duration) -> Result<Claimed, Error> {
        let call = self.claiming(key, owner, lease, "1");
        claimed(self.redis.run_one(Way::Link, Again::Safe, CLAIM, &self.scripts.claim, call).await?)
    }

    async fn try_claim(&self, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error> {
        let (mut claim, mut registered) = self.claim_known(key, owner, lease).await?;
        for _ in 0..LOOKS {
            if !(registered && matches!(claim, Claimed::Unknown)) {
                break;
            }
            (claim, registered) = self.claim_known(key, owner, lease).await?;
        }
        if matches!(claim, Claimed::Unknown) {
            if registered {
                return Err(Error::new(ErrorKind::CheckpointLost, CLAIM).because(
                    "there was a checkpoint and the server has lost it: set it to where to go on, or delete the key \
                     to begin anew",
                ));
            }
            claim = self.claim_new(key, owner, lease).await?;
            registered = false;
        }
        match claim {
            Claimed::Decided(claim) => {
                // The registry may have been lost by itself.
                if !registered && position_of(&claim).is_some() {
                    self.remember(CLAIM, key).await?;
                }
                Ok(claim)
            }
            Claimed::Unknown => Err(corrupt(CLAIM, "the server has not created what it was told to")),
        }
    }
}

#[async_trait]
impl OwnedCheckpoints for RedisCheckpoints {
    async fn claim(&self, key: &str, owner: &str, lease: Duration) -> Result<GroupClaim, Error> {
        check_key(key)?;
        let claim = self.try_claim(key, owner, lease).await.map_err(|error| error.with("key", key))?;
        log("claim", key, position_of(&claim), None);
        Ok(claim)
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
        let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
        let lease = leased(lease);
        let arguments = |call: Call, places: &[usize], create: &'static str| {
            let call = call.arg(owner).arg(&lease).arg(create);
            places.iter().fold(call, |call, place| {
                let OwnedEntry { epoch, to, .. } = &entries[*place];
                position(call.arg(epoch.to_string()), *to)
            })
        };
        let outcomes = self.advance(ADVANCE, &self.scripts.advance, &keys, arguments).await?;
        let answers = outcomes.into_iter().zip(entries).map(|(outcome, entry)| {
            log("advance_owned", &entry.key, entry.to, None);
            match outcome {
                Moved::Advanced(advance) => Ok(OwnedAdvance::Owned(Some(advance))),
                Moved::Renewed => Ok(OwnedAdvance::Owned(None)),
                Moved::Lost => Ok(OwnedAdvance::Lost),
                Moved::Missing => Err(Error::new(ErrorKind::Corrupt, ADVANCE).with("key", &entry.key)),
            }
        });
        answers.collect()
    }

    async fn release(&self, key: &str, owner: &str, epoch: u64) -> Result<bool, Error> {
        check_key(key)?;
        let call = Call::on(self.redis.names().checkpoint(key)).arg(owner).arg(epoch.to_string());
        // A second time it would find that it is released already.
        let answer =
            self.redis.run_one(Way::Link, Again::Unsafe, RELEASE, &self.scripts.release, call).await?;
        let released = Fields::of(RELEASE, answer)?.text()? == "released";
        log("release", key, None, None);
        Ok(released)
    }

    async fn owner(&self, key: &str) -> Result<Option<GroupOwner>, Error> {
        check_key(key)?;
        let call = Call::on(self.redis.names().checkpoint(key));
        let answer = self.redis.run_one(Way::Link, Again::Safe, OWNER, &self.scripts.owner, call).await?;
        let mut fields = Fields::of(OWNER, answer)?;
        log("owner", key, None, None);
        if fields.text()? == "nobody" {
            return Ok(None);
        }
        let (epoch, generation) = (fields.number()?, fields.number()?);
        let owner = fields.text()?;
        Ok(Some(GroupOwner { owner, epoch, generation, remaining: Duration::from_micros(fields.number()?) }))
    }

    async fn remembers(&self) -> Result<bool, Error> {
        let mut command = cmd("EXISTS");
        command.arg(self.redis.names().registry());
        let answer = self.redis.ask(Way::Link, Again::Safe, REMEMBERS, command).await?;
        integer(REMEMBERS, answer).map(|found| found > 0).map_err(|error| self.redis.at(error))
    }
}

fn claimed(answer: Value) -> Result<Claimed, Error> {
    let mut fields = Fields::of(CLAIM, answer)?;
    Ok(match fields.text()?.as_str() {
        "held" => Claimed::Decided(GroupClaim::Held {
            owner: fields.text()?,
            remaining: Duration::from_micros(fields.number()?),
        }),
        "won" => {
            let (epoch, generation) = (fields.number()?, fields.number()?);
            let position = fields.maybe_position()?;
            let updated_at_micros = micros(fields.bytes()?.as_deref());
            let checkpoint = position.map(|position| Checkpoint { position, updated_at_micros });
            Claimed::Decided(GroupClaim::Won { epoch, generation, checkpoint })
        }
        "unknown" => Claimed::Unknown,
        "corrupt" => return Err(no_position(CLAIM, &fields.text()?, &fields.text()?)),
        other => return Err(fields.corrupt(&format!("`{other}` is no outcome of a claim"))),
    })
}

fn position_of(claim: &GroupClaim) -> Option<Position> {
    match claim {
        GroupClaim::Won { checkpoint, .. } => checkpoint.map(|checkpoint| checkpoint.position),
        GroupClaim::Held { .. } => None,
    }
}

/// A lease in microseconds.
fn leased(lease: Duration) -> String {
    u64::try_from(lease.as_micros()).unwrap_or(u64::MAX).min(LONGEST_MICROS).to_string()
}

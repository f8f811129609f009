//! The port without owners.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{Cmd, Value, cmd, pipe};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Advance, Checkpoint, Position};
use highwater_core::ports::{CheckpointPage, CheckpointStore};

use crate::error::corrupt;
use crate::reply::{Fields, integer};
use crate::script::{Call, Script};
use crate::server::{Again, Redis, Way};

use super::answer::{Moved, ask_for, checkpoint_of, moved};
use super::scripts::Scripts;

const READ: &str = "read a checkpoint";
pub(super) const SET: &str = "set a checkpoint";
const RESET: &str = "reset a checkpoint";
const DELETE: &str = "delete a checkpoint";
const MAX_KEY_BYTES: usize = 1024;
/// Keys of one call of a script. To call one costs more than a key does, and while it runs nobody else is served: for
/// about a millisecond.
const KEYS_A_CALL: usize = 100;
/// Keys that are read in one flight.
const PIPELINE: usize = 100;
/// What each debug line says of where it is from.
pub(super) const COMPONENT: &str = "redis_checkpoints";

/// Checkpoints in Redis, with their owners; leases and time stamps go by the server's clock. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RedisCheckpoints {
    pub(super) redis: Redis,
    pub(super) scripts: Arc<Scripts>,
}

impl RedisCheckpoints {
    /// The checkpoints in this server, below its prefix.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        Self { redis: redis.clone(), scripts: Arc::new(Scripts::new()) }
    }

    /// Runs a script that moves many keys in one call; `arguments` are those for the keys at some places of `keys`.
    /// Where it answers that there is no checkpoint, the key is registered and asked for again, now with the
    /// permission to create one.
    pub(super) async fn advance(
        &self,
        operation: &'static str,
        script: &Script,
        keys: &[&str],
        arguments: impl Fn(Call, &[usize], &'static str) -> Call,
    ) -> Result<Vec<Moved>, Error> {
        let call = |places: &[usize], create| {
            let names = places.iter().map(|place| self.redis.names().checkpoint(keys[*place]));
            arguments(Call::on_all(names), places, create)
        };
        let places: Vec<usize> = (0..keys.len()).collect();
        let calls = places.chunks(KEYS_A_CALL).map(|places| call(places, "0")).collect();
        let answers = self.redis.run(Way::Link, Again::Safe, operation, script, calls).await?;
        let mut outcomes = each(operation, keys, answers)?;
        let missing: Vec<_> =
            places.into_iter().filter(|place| matches!(outcomes[*place], Moved::Missing)).collect();
        for missing in missing.chunks(KEYS_A_CALL) {
            let of_missing: Vec<_> = missing.iter().map(|place| keys[*place]).collect();
            // Both at once: who looks in between would find a key that is registered and has nothing, which is lost.
            // The script goes whole, so that it cannot be missing just there.
            let commands = vec![self.registering(&of_missing), call(missing, "1").whole(script)];
            let mut answers =
                self.redis.at_once(Way::Link, Again::Safe, operation, commands).await?.into_iter();
            integer(operation, answers.next().unwrap_or_default())?;
            for (place, outcome) in missing.iter().zip(each(operation, &of_missing, answers)?) {
                // Taken away from its owner between two flights, before it ever had a checkpoint.
                if matches!(outcome, Moved::Lost) {
                    self.remember(operation, keys[*place]).await?;
                }
                outcomes[*place] = outcome;
            }
        }
        Ok(outcomes)
    }

    /// Makes the registry say whether there is a checkpoint, as of one moment: somebody may be deleting or writing it.
    pub(super) async fn remember(&self, operation: &'static str, key: &str) -> Result<(), Error> {
        let names = self.redis.names();
        let call = Call::on_all([names.checkpoint(key), names.registry()]).arg(key);
        let script = &self.scripts.remember;
        self.redis.run_one(Way::Link, Again::Safe, operation, script, call).await.map(drop)
    }

    fn registering(&self, keys: &[&str]) -> Cmd {
        let mut command = cmd("SADD");
        command.arg(self.redis.names().registry()).arg(keys);
        command
    }

    pub(super) async fn set_all(
        &self,
        entries: &[(&str, Position)],
        ttl: Option<u64>,
    ) -> Result<Vec<Advance>, Error> {
        let keys: Vec<_> = entries.iter().map(|(key, _)| *key).collect();
        let ttl = ttl.map_or_else(String::new, |ttl| ttl.to_string());
        let arguments = |call: Call, places: &[usize], create: &'static str| {
            let call = call.arg(&ttl).arg(create);
            places.iter().fold(call, |call, place| position(call, Some(entries[*place].1)))
        };
        let outcomes = self.advance(SET, &self.scripts.set, &keys, arguments).await?;
        outcomes.into_iter().zip(&keys).map(|(outcome, key)| decided(SET, key, outcome)).collect()
    }

    /// The checkpoints of these keys, in order.
    pub(super) async fn read_all(
        &self,
        way: Way,
        operation: &'static str,
        keys: &[&str],
    ) -> Result<Vec<Option<Checkpoint>>, Error> {
        let mut found = Vec::with_capacity(keys.len());
        for keys in keys.chunks(PIPELINE) {
            let mut commands = pipe();
            for key in keys {
                ask_for(&mut commands, &self.redis.names().checkpoint(key));
            }
            let mut answers = self.redis.flight(way, Again::Safe, operation, &commands).await?.into_iter();
            for key in keys {
                let checkpoint = checkpoint_of(operation, &mut answers);
                found.push(checkpoint.map_err(|error| self.redis.at(error).with("key", key))?);
            }
        }
        Ok(found)
    }

    pub(super) async fn read(&self, key: &str) -> Result<Option<Checkpoint>, Error> {
        let found = self.read_all(Way::Link, READ, &[key]).await?;
        found.into_iter().next().ok_or_else(|| corrupt(READ, "the server has not answered"))
    }
}

#[async_trait]
impl CheckpointStore for RedisCheckpoints {
    async fn get(&self, key: &str) -> Result<Option<Checkpoint>, Error> {
        check_key(key)?;
        let found = self.read(key).await?;
        log("get", key, found.map(|checkpoint| checkpoint.position), None);
        Ok(found)
    }

    async fn set_if_newer(&self, key: &str, to: Position) -> Result<Advance, Error> {
        check_key(key)?;
        let answers = self.set_all(&[(key, to)], None).await?;
        log("set_if_newer", key, Some(to), None);
        answers.into_iter().next().ok_or_else(|| corrupt(SET, "the server has not answered"))
    }

    async fn set_many_if_newer(&self, entries: &[(String, Position)]) -> Result<Vec<Advance>, Error> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        entries.iter().try_for_each(|(key, _)| check_key(key))?;
        let borrowed: Vec<_> = entries.iter().map(|(key, to)| (key.as_str(), *to)).collect();
        let answers = self.set_all(&borrowed, None).await?;
        for (key, to) in borrowed {
            log("set_many_if_newer", key, Some(to), None);
        }
        Ok(answers)
    }

    async fn reset(&self, key: &str, to: Position, expected: Position) -> Result<Advance, Error> {
        check_key(key)?;
        let call = position(Call::on(self.redis.names().checkpoint(key)), Some(to));
        let call = position(call, Some(expected));
        // A second time it would find what it has written itself, and call it stale.
        let answer = self.redis.run_one(Way::Link, Again::Unsafe, RESET, &self.scripts.reset, call).await?;
        let outcome = moved(RESET, answer).map_err(|error| error.with("key", key))?;
        log("reset", key, Some(to), None);
        decided(RESET, key, outcome)
    }

    async fn delete(&self, key: &str) -> Result<bool, Error> {
        check_key(key)?;
        let commands = forgetting(&self.redis, &[key.as_bytes()]);
        let answers = self.redis.at_once(Way::Link, Again::Unsafe, DELETE, commands).await?;
        let mut known = 0;
        for answer in answers {
            known += integer(DELETE, answer).map_err(|error| self.redis.at(error))?;
        }
        log("delete", key, None, None);
        Ok(known > 0)
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<CheckpointPage, Error> {
        self.scan_page(prefix, after, limit).await
    }

    async fn clear(&self, prefix: &str, dry_run: bool) -> Result<u64, Error> {
        self.clear_literally(prefix, self.redis.options().page, dry_run).await
    }
}

/// Deletes keys, and what is remembered of them.
pub(super) fn forgetting(redis: &Redis, names: &[&[u8]]) -> Vec<Cmd> {
    let (mut registry, mut keys) = (cmd("SREM"), cmd("UNLINK"));
    registry.arg(redis.names().registry()).arg(names);
    let base = redis.names().checkpoints();
    for name in names {
        keys.arg([&*base, *name].concat());
    }
    vec![registry, keys]
}

pub(super) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::new(ErrorKind::Invalid, "use a checkpoint")
            .with("bytes", key.len())
            .because(format!("a key has 1 to {MAX_KEY_BYTES} bytes of UTF-8")));
    }
    Ok(())
}

/// With a position as its next arguments; empty ones where there is none.
pub(super) fn position(call: Call, position: Option<Position>) -> Call {
    match position {
        Some(position) => call.arg(position.commit().to_string()).arg(position.prepare().to_string()),
        None => call.arg("").arg(""),
    }
}

/// What became of each key, from what the calls have answered.
fn each(
    operation: &'static str,
    keys: &[&str],
    answers: impl IntoIterator<Item = Value>,
) -> Result<Vec<Moved>, Error> {
    let mut outcomes = Vec::with_capacity(keys.len());
    for answer in answers {
        let mut answers = Fields::of(operation, answer)?;
        while let Some(answer) = answers.value() {
            let key = keys.get(outcomes.len()).copied().unwrap_or_default();
            outcomes.push(moved(operation, answer).map_err(|error| error.with("key", key))?);
        }
    }
    if outcomes.len() != keys.len() {
        return Err(corrupt(operation, "the server has not answered for every key"));
    }
    Ok(outcomes)
}

/// An outcome of a move by anybody.
pub(super) fn decided(operation: &'static str, key: &str, outcome: Moved) -> Result<Advance, Error> {
    match outcome {
        Moved::Advanced(advance) => Ok(advance),
        Moved::Missing => Err(Error::new(ErrorKind::NotFound, operation).with("key", key)),
        Moved::Lost | Moved::Renewed => {
            Err(corrupt(operation, "the server has answered another question").with("key", key))
        }
    }
}

/// One line an operation.
pub(super) fn log(method: &'static str, key: &str, position: Option<Position>, ttl: Option<Duration>) {
    tracing::debug!(
        component = COMPONENT,
        method,
        key,
        commit = position.map(Position::commit),
        prepare = position.map(Position::prepare),
        ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        "checkpoint"
    );
}

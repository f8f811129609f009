//! What an operator does beside the ports.

use std::collections::BTreeMap;
use std::time::Duration;

use deadpool_redis::redis::cmd;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Advance, Checkpoint, Position};

use crate::error::corrupt;
use crate::reply::integer;
use crate::server::{Again, Way};

use super::scan::as_key;
use super::store::{RedisCheckpoints, SET, check_key, log};

const EXISTS: &str = "look for a checkpoint";
const GET_ALL: &str = "read checkpoints";
const CLEAR: &str = "clear checkpoints";
/// The longest time to live: a century.
const LONGEST_MILLIS: u64 = 100 * 366 * 86_400 * 1_000;

impl RedisCheckpoints {
    /// Moves forward, and lets the checkpoint vanish after a time to live, in milliseconds; each write without one
    /// takes it back. For keys that nobody runs: one that has run out counts as lost, and its key has to be deleted
    /// before it can begin anew.
    ///
    /// # Errors
    /// `Invalid` for less than a millisecond or more than a century, and for a key that somebody owns (D-6); as
    /// `set_if_newer`.
    pub async fn set_with_ttl(&self, key: &str, to: Position, ttl: Duration) -> Result<Advance, Error> {
        check_key(key)?;
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if !(1..=LONGEST_MILLIS).contains(&millis) {
            return Err(Error::new(ErrorKind::Invalid, SET)
                .with("key", key)
                .because("a time to live is at least a millisecond and at most a century"));
        }
        let answers = self.set_all(&[(key, to)], Some(millis)).await?;
        log("set_with_ttl", key, Some(to), Some(ttl));
        answers.into_iter().next().ok_or_else(|| corrupt(SET, "the server has not answered"))
    }

    /// Whether there is a checkpoint.
    ///
    /// # Errors
    /// When the server cannot be asked, or what it holds is of another type.
    pub async fn exists(&self, key: &str) -> Result<bool, Error> {
        check_key(key)?;
        let mut command = cmd("HEXISTS");
        command.arg(self.redis.names().checkpoint(key)).arg("commit");
        let answer = self.redis.ask(Way::Link, Again::Safe, EXISTS, command).await?;
        let found = integer(EXISTS, answer).map_err(|error| self.redis.at(error).with("key", key))?;
        log("exists", key, None, None);
        Ok(found > 0)
    }

    /// All checkpoints whose keys begin with `prefix`, literally, in the order of the keys; an empty one is all. Looks
    /// at `page` keys of the server in one flight.
    ///
    /// What is written meanwhile may be seen or not.
    ///
    /// # Errors
    /// When the server cannot be asked, or what it holds is corrupt.
    pub async fn get_all(&self, prefix: &str, page: usize) -> Result<Vec<(String, Checkpoint)>, Error> {
        let mut walk = self.walk(GET_ALL, prefix, page).await?;
        let mut found = BTreeMap::new();
        while let Some(names) = walk.next().await? {
            let keys = names.into_iter().map(|name| as_key(GET_ALL, name)).collect::<Result<Vec<_>, _>>()?;
            let borrowed: Vec<_> = keys.iter().map(String::as_str).collect();
            let checkpoints = self.read_all(Way::Pool, GET_ALL, &borrowed).await?;
            found.extend(keys.into_iter().zip(checkpoints).filter_map(|(key, found)| Some((key, found?))));
        }
        log("get_all", prefix, None, None);
        Ok(found.into_iter().collect())
    }

    /// Deletes all keys that begin with `prefix`, and answers how many there were, those included that are only
    /// claimed, or lost; with `dry_run` it only counts. Looks at `page` keys of the server in one flight.
    ///
    /// # Errors
    /// `Invalid` for an empty prefix, and for one that ends with `*`: a prefix is literal, so it would name only keys
    /// with that character. When the server cannot be asked; then a part may be deleted.
    pub async fn clear(&self, prefix: &str, page: usize, dry_run: bool) -> Result<u64, Error> {
        if let Some(meant) = prefix.strip_suffix('*') {
            return Err(Error::new(ErrorKind::Invalid, CLEAR).with("prefix", prefix).because(format!(
                "a prefix is literal: to clear all that begins with `{meant}`, leave the * out"
            )));
        }
        self.clear_literally(prefix, page, dry_run).await
    }
}

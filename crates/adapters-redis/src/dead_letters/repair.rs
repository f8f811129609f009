//! Bringing stream and index together again, after somebody else has trimmed the stream or lost the index.

use deadpool_redis::redis::cmd;

use highwater_core::error::Error;

use crate::reply::{Fields, checked};
use crate::script::Script;
use crate::server::{Again, Way};

use super::entry::Entry;
use super::store::{LIST, RedisDeadLetters};

const REPAIR: &str = "repair the index of dead letters";
/// Entries, or members of the index, in one flight.
const PAGE: usize = 100;

/// What a repair has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Letters that were in the stream and not in the index.
    pub indexed: u64,
    /// Letters that were in the index and are gone.
    pub dropped: u64,
}

impl RedisDeadLetters {
    /// Puts the letters of a group that are in its stream into its index, and takes those out that are gone. May be
    /// run while letters are published, and again.
    ///
    /// # Errors
    /// When the server cannot be asked, or an entry of the stream is no letter.
    pub async fn repair(&self, group: &str) -> Result<Repaired, Error> {
        Ok(Repaired { dropped: self.drop_gone(group).await?, indexed: self.index_all(group).await? })
    }

    async fn drop_gone(&self, group: &str) -> Result<u64, Error> {
        let (mut dropped, mut from) = (0, "-".to_owned());
        loop {
            let (_, _, members) = self.index_page(group, from, PAGE).await?;
            let Some(last) = members.last() else { return Ok(dropped) };
            from = format!("({last}");
            dropped += self.change(group, &self.scripts.drop, members).await?;
        }
    }

    async fn index_all(&self, group: &str) -> Result<u64, Error> {
        let (mut indexed, mut from) = (0, "-".to_owned());
        loop {
            let mut command = cmd("XRANGE");
            command.arg(self.redis.names().letters(group)).arg(&from).arg("+").arg("COUNT").arg(PAGE);
            let answer = self.redis.ask(Way::Pool, Again::Safe, REPAIR, command).await?;
            let mut entries =
                Entry::all(REPAIR, checked(REPAIR, answer).map_err(|error| self.redis.at(error))?)?;
            let Some(last) = entries.last() else { return Ok(indexed) };
            from = format!("({}", last.id);
            let members = entries.iter_mut().map(|entry| Ok(format!("{}:{}", entry.identity()?, entry.id)));
            let members = members.collect::<Result<Vec<_>, Error>>()?;
            indexed += self.change(group, &self.scripts.index, members).await?;
        }
    }

    async fn change(&self, group: &str, script: &Script, members: Vec<String>) -> Result<u64, Error> {
        let call = members.into_iter().fold(self.on(group), |call, member| call.arg(member));
        let answer = self.redis.run_one(Way::Pool, Again::Safe, LIST, script, call).await?;
        Fields::of(REPAIR, answer)?.number()
    }
}

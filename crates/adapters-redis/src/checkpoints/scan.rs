//! Looking through the server's keys, page by page.
//!
//! SCAN answers some keys of the whole server at a time, in no order, and some of them twice. It names no key, so
//! that a node of a cluster which has none of ours would answer with nothing, and a wrong node must not look like an
//! empty one: each flight also asks for the registry, to which every other node answers with where to go.

use std::collections::{BTreeSet, HashSet};

use deadpool_redis::redis::{Pipeline, Value, pipe};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::ports::CheckpointPage;

use crate::error::{corrupt, failed};
use crate::glob::beginning_with;
use crate::reply::{checked, integer};
use crate::server::{Again, Redis, Session, Way};

use super::store::{RedisCheckpoints, forgetting, log};

const SCAN: &str = "scan checkpoints";
const CLEAR: &str = "clear checkpoints";

/// A walk over all names that begin with something.
pub(super) struct Walk {
    redis: Redis,
    session: Session,
    operation: &'static str,
    /// What comes before the part that is answered.
    base: Vec<u8>,
    prefix: Vec<u8>,
    kind: Kind,
    page: usize,
    /// `None` at the end.
    cursor: Option<Vec<u8>>,
}

/// What is walked over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Names of keys of any type.
    Keys,
    /// Names of keys that are strings.
    Strings,
    /// Members of the registry.
    Registered,
}

impl Walk {
    pub(super) async fn begin(
        redis: &Redis,
        operation: &'static str,
        kind: Kind,
        base: Vec<u8>,
        prefix: &[u8],
        page: usize,
    ) -> Result<Self, Error> {
        // Where a cluster has moved our keys, this follows them, and the pool is that of the right node then.
        let mut commands = pipe();
        commands.cmd("EXISTS").arg(redis.names().registry());
        for answer in redis.flight(Way::Pool, Again::Safe, operation, &commands).await? {
            integer(operation, answer).map_err(|error| redis.at(error))?;
        }
        let session = redis.session(operation).await?;
        let (cursor, prefix) = (Some(b"0".to_vec()), [&*base, prefix].concat());
        Ok(Self { redis: redis.clone(), session, operation, base, prefix, kind, page: page.max(1), cursor })
    }

    /// Some more names, without the base; `None` at the end. A name may come again on a later page, or on the same.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        let commands = self.commands(&cursor);
        let sent = self.session.send(&commands).await;
        let mut answers = sent.map_err(|error| self.redis.at(failed(self.operation, error)))?.into_iter();
        let mut answer = || checked(self.operation, answers.next().unwrap_or_default());
        let page = answer().and_then(|_here| answer()).map_err(|error| self.redis.at(error))?;
        let (next, names) =
            page_of(page).ok_or_else(|| corrupt(self.operation, "SCAN has answered with no page"))?;
        self.cursor = (next != b"0").then_some(next);
        let names = names.into_iter().filter(|name| name.starts_with(&self.prefix));
        Ok(Some(names.map(|mut name| name.split_off(self.base.len())).collect()))
    }

    fn commands(&self, cursor: &[u8]) -> Pipeline {
        let mut commands = pipe();
        commands.cmd("EXISTS").arg(self.redis.names().registry());
        match self.kind {
            Kind::Keys | Kind::Strings => commands.cmd("SCAN"),
            Kind::Registered => commands.cmd("SSCAN").arg(self.redis.names().registry()),
        };
        commands.arg(cursor).arg("MATCH").arg(beginning_with(&self.prefix)).arg("COUNT").arg(self.page);
        if self.kind == Kind::Strings {
            commands.arg("TYPE").arg("string");
        }
        commands
    }
}

impl RedisCheckpoints {
    /// Walks over the keys that begin with a prefix.
    pub(super) async fn walk(
        &self,
        operation: &'static str,
        prefix: &str,
        page: usize,
    ) -> Result<Walk, Error> {
        let base = self.redis.names().checkpoints();
        Walk::begin(&self.redis, operation, Kind::Keys, base, prefix.as_bytes(), page).await
    }

    /// One page in the order of the keys. The server has no order: each page looks through all of its keys, and keeps
    /// no more of them in memory than the page has.
    pub(super) async fn scan_page(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<CheckpointPage, Error> {
        let limit = limit.max(1);
        let mut walk = self.walk(SCAN, prefix, self.redis.options().page).await?;
        let (mut first, mut more) = (BTreeSet::new(), false);
        while let Some(names) = walk.next().await? {
            for name in names {
                let key = as_key(SCAN, name)?;
                if after.is_none_or(|after| *key > *after) {
                    first.insert(key);
                }
                if first.len() > limit {
                    first.pop_last();
                    more = true;
                }
            }
        }
        let keys: Vec<_> = first.iter().map(String::as_str).collect();
        let checkpoints = self.read_all(Way::Pool, SCAN, &keys).await?;
        log("scan", prefix, None, None);
        let next = if more { first.last().cloned() } else { None };
        let found = first.into_iter().zip(checkpoints);
        // One that is only claimed has none, and one that was deleted meanwhile has none any more.
        Ok(CheckpointPage {
            checkpoints: found.filter_map(|(key, found)| Some((key, found?))).collect(),
            next,
        })
    }

    pub(super) async fn clear_literally(
        &self,
        prefix: &str,
        page: usize,
        dry_run: bool,
    ) -> Result<u64, Error> {
        if prefix.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, CLEAR)
                .because("an empty prefix means every checkpoint there is; name a prefix"));
        }
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut count = 0;
        let mut walk = self.walk(CLEAR, prefix, page).await?;
        while let Some(names) = walk.next().await? {
            let new: Vec<_> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
            count += if dry_run { as_u64(new.len()) } else { self.forget(&new).await? };
        }
        // What is left of the registry are keys that were lost.
        let registry = Kind::Registered;
        let mut walk = Walk::begin(&self.redis, CLEAR, registry, Vec::new(), prefix.as_bytes(), page).await?;
        while let Some(names) = walk.next().await? {
            let new: Vec<_> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
            count += if dry_run { as_u64(new.len()) } else { self.unregister(&new).await? };
        }
        log("clear", prefix, None, None);
        Ok(count)
    }

    /// Deletes keys; answers how many of them there were.
    async fn forget(&self, names: &[Vec<u8>]) -> Result<u64, Error> {
        if names.is_empty() {
            return Ok(0);
        }
        let names: Vec<_> = names.iter().map(Vec::as_slice).collect();
        let commands = forgetting(&self.redis, &names);
        let answers = self.redis.at_once(Way::Pool, Again::Unsafe, CLEAR, commands).await?;
        Ok(self.counts(answers)?.last().copied().unwrap_or(0))
    }

    async fn unregister(&self, names: &[Vec<u8>]) -> Result<u64, Error> {
        if names.is_empty() {
            return Ok(0);
        }
        let mut commands = pipe();
        commands.cmd("SREM").arg(self.redis.names().registry()).arg(names);
        let answers = self.redis.flight(Way::Pool, Again::Unsafe, CLEAR, &commands).await?;
        Ok(self.counts(answers)?.iter().sum())
    }

    fn counts(&self, answers: Vec<Value>) -> Result<Vec<u64>, Error> {
        let read = |answer| integer(CLEAR, answer).map_err(|error| self.redis.at(error));
        answers.into_iter().map(read).collect()
    }
}

/// Cursor and names of an answer to SCAN.
fn page_of(answer: Value) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let Value::Array(parts) = answer else { return None };
    let [cursor, names]: [Value; 2] = parts.try_into().ok()?;
    let bytes = |value| match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    };
    let Value::Array(names) = names else { return None };
    Some((bytes(cursor)?, names.into_iter().map(bytes).collect::<Option<_>>()?))
}

/// The name of a key of ours is text; we write no other.
pub(super) fn as_key(operation: &'static str, name: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(name).map_err(|error| {
        let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
        corrupt(operation, "there is a key that is no text: clear it, or delete it in the server")
            .with("key", shown)
    })
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

//! The port.

use std::sync::Arc;

use async_trait::async_trait;
use deadpool_redis::redis::{Value, pipe};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::Position;
use highwater_core::ports::{DeadLetters, HandlerLetter};

use crate::error::corrupt;
use crate::reply::{Fields, checked, integer};
use crate::script::{Call, Script};
use crate::server::{Again, Redis, Way};

use super::entry::{Entry, at, identity, member, written};

const PUBLISH: &str = "publish a dead letter";
pub(super) const LIST: &str = "list dead letters";
const REMOVE: &str = "remove a dead letter";
/// Letters in one flight: their payloads come with them.
const PIPELINE: usize = 20;

/// Dead letters in Redis. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RedisDeadLetters {
    pub(super) redis: Redis,
    pub(super) scripts: Arc<Scripts>,
}

#[derive(Debug)]
pub(super) struct Scripts {
    publish: Script,
    pub(super) list: Script,
    remove: Script,
    pub(super) drop: Script,
    pub(super) index: Script,
}

impl RedisDeadLetters {
    /// The dead letters in this server, below its prefix.
    #[must_use]
    pub fn new(redis: &Redis) -> Self {
        let scripts = Scripts {
            publish: Script::new(include_str!("lua/publish.lua")),
            list: Script::new(include_str!("lua/list.lua")),
            remove: Script::new(include_str!("lua/remove.lua")),
            drop: Script::new(include_str!("lua/drop.lua")),
            index: Script::new(include_str!("lua/index.lua")),
        };
        Self { redis: redis.clone(), scripts: Arc::new(scripts) }
    }

    /// A call on the stream and the index of a group.
    pub(super) fn on(&self, group: &str) -> Call {
        let names = self.redis.names();
        Call::on_all([names.letters(group), names.letter_index(group)])
    }

    /// Publishes, and waits until as many replicas as were asked for have it.
    async fn publish_to(&self, replicas: u32, call: Call) -> Result<Value, Error> {
        let patience = self.redis.options().response_timeout / 2;
        let mut commands = pipe();
        // Whole: WAIT counts for what its own connection has written, in the same flight.
        commands.add_command(call.whole(&self.scripts.publish));
        commands
            .cmd("WAIT")
            .arg(replicas)
            .arg(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1));
        let answers = self.redis.flight(Way::Pool, Again::Safe, PUBLISH, &commands).await?;
        let mut answers =
            answers.into_iter().map(|answer| checked(PUBLISH, answer).map_err(|error| self.redis.at(error)));
        let outcome = answers.next().transpose()?.unwrap_or_default();
        let reached = integer(PUBLISH, answers.next().transpose()?.unwrap_or_default())?;
        if reached < u64::from(replicas) {
            return Err(self.redis.at(Error::new(ErrorKind::Unavailable, PUBLISH).because(format!(
                "{reached} of {replicas} replicas have it: wait for the others, or ask for fewer"
            ))));
        }
        Ok(outcome)
    }

    /// A page of the index: position and entry of each letter.
    pub(super) async fn index_page(
        &self,
        group: &str,
        from: String,
        most: usize,
    ) -> Result<(u64, u64, Vec<String>), Error> {
        let call = self.on(group).arg(from).arg(most.to_string());
        let answer = self.redis.run_one(Way::Pool, Again::Safe, LIST, &self.scripts.list, call).await?;
        let Value::Array(parts) = checked(LIST, answer)? else {
            return Err(corrupt(LIST, "the server has not answered with a list"));
        };
        let members = parts.len().saturating_sub(2);
        let mut fields = Fields::of(LIST, Value::Array(parts))?;
        let (entries, indexed) = (fields.number()?, fields.number()?);
        let members = (0..members).map(|_| fields.text()).collect::<Result<_, _>>()?;
        Ok((entries, indexed, members))
    }

    /// The letters of these entries, in order, but those that are gone by now.
    async fn read(&self, group: &str, ids: &[String]) -> Result<Vec<HandlerLetter>, Error> {
        let mut letters = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PIPELINE) {
            let mut commands = pipe();
            for id in ids {
                commands.cmd("XRANGE").arg(self.redis.names().letters(group)).arg(id).arg(id);
            }
            for answer in self.redis.flight(Way::Pool, Again::Safe, LIST, &commands).await? {
                let answer = checked(LIST, answer).map_err(|error| self.redis.at(error))?;
                for entry in Entry::all(LIST, answer)? {
                    letters.push(entry.letter(group).map_err(|error| error.with("group", group))?);
                }
            }
        }
        Ok(letters)
    }
}

#[async_trait]
impl DeadLetters for RedisDeadLetters {
    async fn publish(&self, letter: &HandlerLetter) -> Result<(), Error> {
        let most = self.redis.options().max_letters;
        let identity = identity(letter.event.position(), letter.generation);
        let call = written(self.on(&letter.group).arg(identity).arg(most.to_string()), letter);
        let answer = match self.redis.options().replicas {
            0 => self.redis.run_one(Way::Pool, Again::Safe, PUBLISH, &self.scripts.publish, call).await?,
            replicas => self.publish_to(replicas, call).await?,
        };
        let mut fields = Fields::of(PUBLISH, answer)?;
        match fields.text()?.as_str() {
            "published" => {}
            "full" => {
                return Err(Error::new(ErrorKind::Backpressure, PUBLISH)
                    .with("group", &letter.group)
                    .because(format!(
                        "there are {most} dead letters already: retry or discard some, or allow more"
                    )));
            }
            other => return Err(fields.corrupt(&format!("`{other}` is no outcome"))),
        }
        tracing::debug!(
            component = "redis_dead_letters",
            method = "publish",
            key = letter.group,
            commit = letter.event.position().commit(),
            prepare = letter.event.position().prepare(),
            "dead letter"
        );
        Ok(())
    }

    async fn list(
        &self,
        group: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<HandlerLetter>, Error> {
        let limit = limit.max(1);
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({}\u{7f}", at(after)));
        // One more, to see whether the page ends inside a position: the next page begins behind it.
        let (entries, indexed, members) = self.index_page(group, from, limit.saturating_add(1)).await?;
        if entries != indexed {
            return Err(corrupt(LIST, format!(
                "there are {entries} letters and {indexed} in their index: somebody else has removed some; repair it"
            ))
            .with("group", group));
        }
        let members = members.iter().map(|found| member(LIST, found)).collect::<Result<Vec<_>, _>>()?;
        let whole = match members.get(limit) {
            // More generations of one event than a page holds cannot be told apart by position: a part, then.
            Some((cut, _)) => match members.iter().take_while(|(position, _)| position < cut).count() {
                0 => limit,
                whole => whole,
            },
            None => members.len(),
        };
        let ids: Vec<_> = members.into_iter().take(whole).map(|(_, id)| id).collect();
        self.read(group, &ids).await
    }

    async fn remove(&self, group: &str, generation: u64, position: Position) -> Result<bool, Error> {
        let call = self.on(group).arg(identity(position, generation));
        // A second time it would find nothing.
        let answer = self.redis.run_one(Way::Pool, Again::Unsafe, REMOVE, &self.scripts.remove, call).await?;
        let removed = Fields::of(REMOVE, answer)?.number()? > 0;
        tracing::debug!(
            component = "redis_dead_letters",
            method = "remove",
            key = group,
            commit = position.commit(),
            prepare = position.prepare(),
            removed,
            "dead letter"
        );
        Ok(removed)
    }
}

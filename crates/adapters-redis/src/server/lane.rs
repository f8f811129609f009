//! One flight: commands that go out together, and their answers.

use deadpool_redis::redis::{Cmd, Pipeline, RedisError, Value};

use highwater_core::error::{Error, ErrorKind};

use crate::error::{corrupt, failed, no_connection};
use crate::reply::checked;

use super::Redis;
use super::session::Session;

/// How often a cluster may send us on within one call. Twice is what it takes while a slot moves.
const REDIRECTS: u32 = 3;

/// Which connection a flight takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The shared one.
    Link,
    /// One of the pool's.
    Pool,
}

/// Whether a flight may go out a second time when its answer was lost with the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It ends as if it had gone out once.
    Safe,
    /// Its answer would be another one.
    Unsafe,
}

impl Redis {
    /// Sends commands in one flight and returns the answer to each, which may be an error of the server.
    ///
    /// # Errors
    /// When there is no connection, or it broke or was silent for too long: then nothing is known of any command.
    pub(crate) async fn flight(
        &self,
        way: Way,
        again: Again,
        operation: &'static str,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, Error> {
        let (mut redirects, mut repeated) = (0, false);
        loop {
            let (sent, old) = match way {
                Way::Link => self.by_link(operation, commands).await?,
                Way::Pool => {
                    let mut session = self.session(operation).await?;
                    (session.send(commands).await, false)
                }
            };
            let answers = match sent {
                Ok(answers) => answers,
                // The server may have closed it long ago: a restart, an idle time-out.
                Err(error) if old && !repeated && again == Again::Safe && error.is_connection_dropped() => {
                    repeated = true;
                    continue;
                }
                Err(error) => return Err(self.at(failed(operation, error))),
            };
            if answers.len() != commands.len() {
                return Err(self.at(corrupt(operation, "the server has not answered every command")));
            }
            match answers.iter().find_map(node_of) {
                Some(node) if redirects < REDIRECTS && self.endpoint().follow(&node) => redirects += 1,
                _ => return Ok(answers),
            }
        }
    }

    /// As [`Redis::flight`], with nobody between the commands, and all of them or none: MULTI and EXEC. An error that
    /// a command meets when it runs is its answer, and does not keep the others from running.
    ///
    /// # Errors
    /// When the server takes one of them not even in.
    pub(crate) async fn at_once(
        &self,
        way: Way,
        again: Again,
        operation: &'static str,
        commands: Vec<Cmd>,
    ) -> Result<Vec<Value>, Error> {
        let count = commands.len();
        let mut transaction = Pipeline::with_capacity(count + 2);
        transaction.cmd("MULTI");
        for command in commands {
            transaction.add_command(command);
        }
        transaction.cmd("EXEC");
        let answers = self.flight(way, again, operation, &transaction).await?;
        let mut last = Value::Nil;
        for answer in answers {
            last = checked(operation, answer).map_err(|error| self.at(error))?;
        }
        match last {
            Value::Array(answers) if answers.len() == count => Ok(answers),
            _ => Err(self.at(corrupt(operation, "the server has not answered every command"))),
        }
    }

    /// Over the shared connection; says whether it was there before.
    async fn by_link(
        &self,
        operation: &'static str,
        commands: &Pipeline,
    ) -> Result<(Result<Vec<Value>, RedisError>, bool), Error> {
        let linked =
            self.link().connection(self.endpoint(), operation).await.map_err(|error| self.at(error))?;
        let mut connection = linked.connection;
        let sent = connection.send_packed_commands(commands, 0, commands.len()).await;
        if spoils(&sent) {
            self.link().broken(linked.id);
        }
        Ok((sent, !linked.is_new))
    }

    /// A connection of the pool, for several flights in turn.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn session(&self, operation: &'static str) -> Result<Session, Error> {
        let (pool, most) = self.pool().map_err(|error| self.at(error))?;
        match pool.get().await {
            Ok(connection) => Ok(Session::new(connection)),
            Err(error) => {
                let error = no_connection(operation, error, most);
                if error.kind() == ErrorKind::Unavailable {
                    self.endpoint().go_home();
                }
                Err(self.at(error))
            }
        }
    }
}

/// Whether a connection is of no further use: it broke, it was silent for too long, or the server behind it is not,
/// or not any more, the one that takes writes.
pub(super) fn spoils(sent: &Result<Vec<Value>, RedisError>) -> bool {
    match sent {
        Err(_) => true,
        Ok(answers) => answers.iter().any(|answer| {
            matches!(answer, Value::ServerError(error) if matches!(error.code(), "READONLY" | "MOVED" | "MASTERDOWN"))
        }),
    }
}

/// The node that an answer names instead of itself.
fn node_of(answer: &Value) -> Option<String> {
    match answer {
        Value::ServerError(error) if error.code() == "MOVED" => {
            error.details().and_then(|details| details.split_ascii_whitespace().nth(1)).map(str::to_owned)
        }
        _ => None,
    }
}

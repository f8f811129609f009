//! A connection of the pool, for one task at a time.

use deadpool_redis::Connection;
use deadpool_redis::redis::{Pipeline, RedisError, Value};

use super::lane::spoils;

/// A connection that goes back into the pool, unless it broke.
pub(crate) struct Session {
    connection: Option<Connection>,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection: Some(connection) }
    }

    /// Sends commands in one flight.
    ///
    /// # Errors
    /// When the connection broke or was silent for too long, now or before.
    pub(crate) async fn send(&mut self, commands: &Pipeline) -> Result<Vec<Value>, RedisError> {
        let Some(connection) = &mut self.connection else {
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
        };
        let sent = connection.send_packed_commands(commands, 0, commands.len()).await;
        if spoils(&sent)
            && let Some(broken) = self.connection.take()
        {
            // Not back into the pool.
            drop(Connection::take(broken));
        }
        sent
    }
}

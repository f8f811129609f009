//! The one connection for checkpoints, made anew when it has broken.

use std::sync::{Mutex, PoisonError};

use deadpool_redis::redis::AsyncConnectionConfig;
use deadpool_redis::redis::aio::MultiplexedConnection;

use highwater_core::error::{Error, ErrorKind};

use crate::error::failed;

use super::endpoint::Endpoint;

/// The connection, if there is one.
pub(super) struct Link {
    config: AsyncConnectionConfig,
    state: Mutex<State>,
    /// Held by the one who connects; the others wait for what comes of it.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<(u64, MultiplexedConnection)>,
    /// How often it was tried to connect.
    attempts: u64,
    /// Why the last attempt failed; many may be told of it.
    refusal: Option<Refusal>,
}

#[derive(Clone)]
struct Refusal {
    kind: ErrorKind,
    code: Option<String>,
    because: String,
}

/// A connection, and how old it is.
pub(super) struct Linked {
    pub(super) id: u64,
    pub(super) connection: MultiplexedConnection,
    /// Made for this call, so that its end is no news of an older one's.
    pub(super) is_new: bool,
}

impl Link {
    pub(super) fn new(config: AsyncConnectionConfig) -> Self {
        Self { config, state: Mutex::default(), connecting: tokio::sync::Mutex::new(()) }
    }

    /// The connection; a new one where there is none. Callers that come while one is made wait for that one, and are
    /// told of its failure: a server that does not answer is asked by one at a time, for all of them.
    pub(super) async fn connection(
        &self,
        endpoint: &Endpoint,
        operation: &'static str,
    ) -> Result<Linked, Error> {
        let attempts = match self.state().current() {
            Ok(linked) => return Ok(linked),
            Err(attempts) => attempts,
        };
        let _turn = self.connecting.lock().await;
        {
            let state = self.state();
            match state.current() {
                Ok(linked) => return Ok(linked),
                Err(now) if now != attempts => {
                    if let Some(refusal) = state.refusal.clone() {
                        return Err(refusal.error(operation));
                    }
                }
                Err(_) => {}
            }
        }
        let connected = match endpoint.client() {
            Ok(client) => client.get_multiplexed_async_connection_with_config(&self.config).await,
            Err(error) => Err(error),
        };
        let mut state = self.state();
        state.attempts += 1;
        match connected {
            Ok(connection) => {
                let id = state.attempts;
                state.current = Some((id, connection.clone()));
                state.refusal = None;
                Ok(Linked { id, connection, is_new: true })
            }
            Err(error) => {
                endpoint.go_home();
                let error = failed(operation, error);
                state.refusal = Some(Refusal::of(&error));
                Err(error)
            }
        }
    }

    /// Lets a connection go that has broken, unless it is another one by now.
    pub(super) fn broken(&self, id: u64) {
        let mut state = self.state();
        if state.current.as_ref().is_some_and(|(current, _)| *current == id) {
            state.current = None;
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The connection, or how often it was tried to make one.
    fn current(&self) -> Result<Linked, u64> {
        match &self.current {
            Some((id, connection)) => Ok(Linked { id: *id, connection: connection.clone(), is_new: false }),
            None => Err(self.attempts),
        }
    }
}

impl Refusal {
    fn of(error: &Error) -> Self {
        let because = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        Self { kind: error.kind(), code: error.backend_code().map(str::to_owned), because }
    }

    fn error(self, operation: &'static str) -> Error {
        let error = Error::new(self.kind, operation).because(self.because);
        match self.code {
            Some(code) => error.code(code),
            None => error,
        }
    }
}

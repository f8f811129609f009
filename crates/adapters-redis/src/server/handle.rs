//! The handle to a server.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_redis::redis::{AsyncConnectionConfig, Cmd, ConnectionInfo, Pipeline, Value};
use deadpool_redis::{Manager, Pool, Runtime};
use futures_util::future::try_join_all;

use highwater_core::error::{Error, ErrorKind};

use crate::address;
use crate::error::{corrupt, failed};
use crate::names::Names;
use crate::options::RedisOptions;
use crate::reply::checked;
use crate::script::{Call, Script};

use super::endpoint::Endpoint;
use super::inspect::Warning;
use super::lane::{Again, Way};
use super::link::Link;

const OPEN: &str = "connect to Redis";
/// Calls of a script that are under way at a time: one is made up while the server works on those before it.
const CALLS_AT_ONCE: usize = 16;

/// One server and one prefix. A clone is another handle to the same connections.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    config: AsyncConnectionConfig,
    link: Link,
    pool: Mutex<Option<(u64, Pool)>>,
    names: Names,
    options: RedisOptions,
    cluster: AtomicBool,
}

impl Redis {
    /// Connects, checks the server's version, and warns in the log of a server that will lose checkpoints or takes
    /// none ([`Warning`]).
    ///
    /// The address is `redis://user:password@host:port/database`, or `rediss://` for TLS.
    ///
    /// # Errors
    /// `Invalid` for an address or a prefix that cannot be used, `Unavailable` or `Timeout` if no server answers,
    /// `AccessDenied`, `Unsupported` for a server older than 7.
    pub async fn open(url: &str, options: &RedisOptions) -> Result<Self, Error> {
        let names = Names::new(&options.prefix)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.response_timeout));
        let redis = Self(Arc::new(Inner {
            endpoint: Endpoint::new(address::parse(url)?),
            config: config.clone(),
            link: Link::new(config),
            pool: Mutex::default(),
            names,
            options: options.clone(),
            cluster: false.into(),
        }));
        let found = redis.look(OPEN).await?;
        redis.0.cluster.store(found.cluster, Ordering::Relaxed);
        for warning in &found.warnings {
            tracing::warn!(server = redis.shown(), "{warning}");
        }
        Ok(redis)
    }

    /// What is wrong with the server now, as [`Redis::open`] has looked at it.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn inspect(&self) -> Result<Vec<Warning>, Error> {
        Ok(self.look("look at the Redis server").await?.warnings)
    }

    /// Where it is, without secrets: `host:port/database`.
    #[must_use]
    pub fn shown(&self) -> String {
        self.0.endpoint.shown()
    }

    /// What all our names in the server begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0.options.prefix
    }

    /// Whether it was a node of a cluster when it was opened.
    pub(crate) fn is_cluster(&self) -> bool {
        self.0.cluster.load(Ordering::Relaxed)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    pub(crate) fn options(&self) -> &RedisOptions {
        &self.0.options
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    pub(super) fn link(&self) -> &Link {
        &self.0.link
    }

    /// The pool of the present node, and how many connections it has at most.
    pub(super) fn pool(&self) -> Result<(Pool, usize), Error> {
        let most = self.0.options.max_connections;
        let (node, number) = self.0.endpoint.node();
        let mut pool = self.0.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, pool)) = &*pool
            && *of == number
        {
            return Ok((pool.clone(), most));
        }
        let made = self.make_pool(node)?;
        *pool = Some((number, made.clone()));
        Ok((made, most))
    }

    fn make_pool(&self, node: ConnectionInfo) -> Result<Pool, Error> {
        let manager =
            Manager::new_with_config(node, self.0.config.clone()).map_err(|error| failed(OPEN, error))?;
        let limit = Some(self.0.options.connect_timeout);
        Pool::builder(manager)
            .max_size(self.0.options.max_connections)
            .wait_timeout(limit)
            .create_timeout(limit)
            .recycle_timeout(limit)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::new(ErrorKind::Other, OPEN).because(error.to_string()))
    }

    /// Says which server it was, where that is what somebody has to see to.
    pub(crate) fn at(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Unavailable
            | ErrorKind::Timeout
            | ErrorKind::AccessDenied
            | ErrorKind::Unsupported => error.with("server", self.shown()),
            _ => error,
        }
    }

    /// Runs a script once for each call, several at a time, and returns every answer, in the order of the calls.
    ///
    /// # Errors
    /// The first error of the server or the connection; calls before and after it may have had their effect.
    pub(crate) async fn run(
        &self,
        way: Way,
        again: Again,
        operation: &'static str,
        script: &Script,
        calls: Vec<Call>,
    ) -> Result<Vec<Value>, Error> {
        let mut answers = Vec::with_capacity(calls.len());
        let mut calls = calls.into_iter().map(|call| self.run_one(way, again, operation, script, call));
        loop {
            let together: Vec<_> = calls.by_ref().take(CALLS_AT_ONCE).collect();
            if together.is_empty() {
                return Ok(answers);
            }
            // A stream of futures would wake its own task, and so another of the runtime's threads, with each call.
            answers.extend(try_join_all(together).await?);
        }
    }

    /// As [`Redis::run`], of one call.
    pub(crate) async fn run_one(
        &self,
        way: Way,
        again: Again,
        operation: &'static str,
        script: &Script,
        call: Call,
    ) -> Result<Value, Error> {
        let mut answer = self.ask(way, again, operation, call.by_hash(script)).await?;
        if is_no_script(&answer) {
            // The server has been restarted, or somebody has flushed its scripts. Whole, it cannot miss again.
            answer = self.ask(way, again, operation, call.whole(script)).await?;
        }
        checked(operation, answer).map_err(|error| self.at(error))
    }

    /// Sends one command and returns its answer, which may be an error of the server.
    ///
    /// # Errors
    /// As [`Redis::flight`].
    pub(crate) async fn ask(
        &self,
        way: Way,
        again: Again,
        operation: &'static str,
        command: Cmd,
    ) -> Result<Value, Error> {
        let mut commands = Pipeline::with_capacity(1);
        commands.add_command(command);
        let answers = self.flight(way, again, operation, &commands).await?;
        answers.into_iter().next().ok_or_else(|| corrupt(operation, "the server has not answered"))
    }
}

/// Whether the server has not got the script.
pub(crate) fn is_no_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("server", &self.shown()).field("prefix", &self.prefix()).finish()
    }
}

//! A connection, or why there is none.
//!
//! The driver's pool tries a server that refuses connections again and again, and says in the end only that it has
//! waited. So where a connection does not come at once, the server itself is asked for one beside the pool: its
//! answer tells a server that cannot be reached, which is an error at once, from a pool whose connections are all
//! in use, which is waited for. However many callers wait, it is asked by one at a time, for all of them.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{Connection, PgConnection, Postgres};
use tokio::sync::Mutex;
use tokio::time::timeout;

use highwater_core::error::{Error, ErrorKind};

use crate::database::Database;
use crate::error::kind_of;
use crate::fault::{Fault, code_of, fault_of};

/// How long the pool may take before the server is asked: longer than a connection takes that is free, or is made
/// to a server that is near.
const AT_ONCE: Duration = Duration::from_millis(150);

/// What the server said last.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    asked: AtomicU64,
    last: Mutex<Option<Arc<Refusal>>>,
}

/// Why there is no connection; many may be told of it.
#[derive(Debug)]
struct Refusal {
    kind: ErrorKind,
    code: Option<String>,
    because: String,
}

impl Refusal {
    fn new(error: &sqlx::Error) -> Self {
        Self { kind: kind(error), code: code_of(error), because: error.to_string() }
    }

    /// The server lives: it is only that it does not take us, or nobody, at the moment.
    fn is_an_answer(&self) -> bool {
        self.code.as_deref().is_some_and(|code| !code.starts_with("57"))
    }

    fn error(&self, operation: &'static str) -> Error {
        with_code(Error::new(self.kind, operation), self.code.clone()).because(self.because.clone())
    }
}

impl Reach {
    /// Makes a connection and ends it; `None` if that could be done.
    async fn ask(&self, options: &PgConnectOptions, limit: Duration) -> Option<Arc<Refusal>> {
        let asked = self.asked.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if self.asked.load(Ordering::SeqCst) != asked {
            // Somebody else has meanwhile.
            return last.clone();
        }
        let answer = timeout(limit, async { PgConnection::connect_with(options).await?.close().await });
        *last = match answer.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Arc::new(Refusal::new(&error))),
            Err(_elapsed) => Some(Arc::new(Refusal {
                kind: ErrorKind::Unavailable,
                code: None,
                because: no_answer(limit),
            })),
        };
        self.asked.fetch_add(1, Ordering::SeqCst);
        last.clone()
    }
}

/// A connection of the pool. Where all are in use, one is waited for with patience, at least for the time that a
/// connection may take.
///
/// # Errors
/// `Unavailable` with the reason, at once where the server refuses at once; `AccessDenied` and `Unsupported` where
/// that is the reason.
pub(crate) async fn acquire(
    database: &Database,
    patience: Duration,
    operation: &'static str,
) -> Result<PoolConnection<Postgres>, Error> {
    from_pool(database.pool(), database.reach(), patience, operation).await
}

/// The same of a pool that nobody else knows.
pub(crate) async fn from_pool(
    pool: &PgPool,
    reach: &Reach,
    patience: Duration,
    operation: &'static str,
) -> Result<PoolConnection<Postgres>, Error> {
    wait_for(pool, reach, patience, operation)
        .await
        .map_err(|error| error.with("server", shown(&pool.connect_options())))
}

async fn wait_for(
    pool: &PgPool,
    reach: &Reach,
    patience: Duration,
    operation: &'static str,
) -> Result<PoolConnection<Postgres>, Error> {
    let most = pool.options().get_max_connections();
    let limit = pool.options().get_acquire_timeout();
    let mut waited = Duration::ZERO;
    loop {
        let options = pool.connect_options();
        let mut acquiring = pin!(pool.acquire());
        let mut asking = pin!(reach.ask(&options, limit));
        let mut answer = None;
        let acquired = match timeout(AT_ONCE, &mut acquiring).await {
            Ok(acquired) => acquired,
            Err(_elapsed) => tokio::select! {
                biased;
                acquired = &mut acquiring => acquired,
                refusal = &mut asking => {
                    // A full server has no connection to spare for us, but the pool will have.
                    if let Some(refusal) = &refusal
                        && !(refusal.is_an_answer() && pool.size() >= most)
                    {
                        return Err(refusal.error(operation));
                    }
                    answer = Some(refusal);
                    acquiring.await
                }
            },
        };
        let error = match acquired {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        if !matches!(error, sqlx::Error::PoolTimedOut) {
            return Err(refused(operation, error));
        }
        let full = pool.size() >= most;
        let refusal = match answer {
            Some(refusal) => refusal,
            None => asking.await,
        };
        waited += limit;
        let refusal = match refusal {
            Some(refusal) if !(refusal.is_an_answer() && full) => return Err(refusal.error(operation)),
            refusal => refusal,
        };
        if !full {
            return Err(Error::new(ErrorKind::Unavailable, operation).because(no_answer(limit)));
        }
        if waited >= patience {
            return Err(all_in_use(operation, most, waited, refusal.as_deref()));
        }
    }
}

fn all_in_use(operation: &'static str, most: u32, waited: Duration, refusal: Option<&Refusal>) -> Error {
    let waited = waited.as_millis();
    let mut reason =
        format!("all {most} connections of the pool are in use, and none came back within {waited} ms");
    let Some(refusal) = refusal else {
        return Error::new(ErrorKind::Unavailable, operation)
            .because(reason + ": allow more, or run less at a time");
    };
    reason.push_str("; nor does the server give another one: ");
    reason.push_str(&refusal.because);
    with_code(Error::new(ErrorKind::Unavailable, operation), refusal.code.clone()).because(reason)
}

/// A connection beside the pool.
///
/// # Errors
/// As [`acquire`].
pub(crate) async fn connect(
    options: &PgConnectOptions,
    operation: &'static str,
) -> Result<PgConnection, Error> {
    PgConnection::connect_with(options)
        .await
        .map_err(|error| refused(operation, error).with("server", shown(options)))
}

/// Where it is, without secrets: `host:port/database`.
pub(crate) fn shown(connect: &PgConnectOptions) -> String {
    let host = connect
        .get_socket()
        .map_or_else(|| connect.get_host().to_owned(), |socket| socket.display().to_string());
    let database = connect.get_database().unwrap_or_else(|| connect.get_username());
    format!("{host}:{}/{database}", connect.get_port())
}

fn refused(operation: &'static str, error: sqlx::Error) -> Error {
    with_code(Error::new(kind(&error), operation), code_of(&error)).because(error)
}

fn with_code(error: Error, code: Option<String>) -> Error {
    match code {
        Some(code) => error.code(code),
        None => error,
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {} ms", limit.as_millis())
}

/// What it means that a connection could not be made. Nothing was asked yet, so that there is nothing wrong with
/// any statement or value; a database that is not there may be restored.
fn kind(error: &sqlx::Error) -> ErrorKind {
    match fault_of(error) {
        fault @ (Fault::Access | Fault::Unsupported) => kind_of(fault),
        // A setting of the session that this server does not take.
        Fault::Value => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    }
}

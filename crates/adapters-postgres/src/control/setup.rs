//! What a connection is made with, and what is asked on it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use highwater_core::error::{Error, ErrorKind};

use crate::options::{Ownership, PgOptions};
use crate::schema::{Schema, Statement};

use super::names::{Channels, Instance};
use super::signals::Signals;

/// How long an answer may take before the connection counts as dead. Nothing that is asked here waits for a
/// lock.
const PATIENCE: Duration = Duration::from_secs(4);
/// What the control session needs on top of the settings of every session: a limit below our own patience, no
/// limit on being idle, and no wait for the disk, since a beat that is lost with a crash is of no use
/// afterwards.
const SESSION: [(&str, &str); 4] = [
    ("statement_timeout", "3s"),
    ("lock_timeout", "1s"),
    ("idle_session_timeout", "0"),
    ("synchronous_commit", "off"),
];

/// All that does not change.
pub(super) struct Setup {
    pub(super) connect: PgConnectOptions,
    pub(super) connect_timeout: Duration,
    pub(super) instance: Instance,
    pub(super) channels: Channels,
    pub(super) ownership: Ownership,
    /// Whether there are notifications.
    pub(super) notify: bool,
    /// How long a lease lasts, with lease rows.
    pub(super) term: Duration,
    pub(super) sql: Sql,
    pub(super) signals: Arc<Signals>,
}

/// The statements.
pub(super) struct Sql {
    pub(super) enter: Statement,
    pub(super) own: Statement,
    pub(super) fence: Statement,
    pub(super) disown: Statement,
    pub(super) leave: Statement,
    pub(super) owner: Statement,
    pub(super) renew: Statement,
    pub(super) give_up: Statement,
    pub(super) leaseholder: Statement,
}

impl Setup {
    pub(super) fn new(
        connect: PgConnectOptions,
        schema: &Schema,
        options: &PgOptions,
        signals: Arc<Signals>,
    ) -> Self {
        let instance = Instance::new(&connect, options);
        let connect = match options.ownership {
            Ownership::Session => connect.options(SESSION),
            Ownership::Lease => connect,
        };
        Self {
            connect,
            connect_timeout: options.connect_timeout,
            instance,
            channels: Channels::new(schema),
            ownership: options.ownership,
            notify: options.notify && options.ownership == Ownership::Session,
            term: options.lease_term,
            sql: Sql::new(schema),
            signals,
        }
    }

    /// Waits for an answer of the server, but not for ever. Afterwards, unless it is `Ok`, the connection is
    /// in no state to be used again.
    pub(super) async fn ask<T>(
        &self,
        operation: &'static str,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.signals.count();
        within(PATIENCE, operation, question).await
    }

    /// The same for a connection that is being made.
    pub(super) async fn connecting<T>(
        &self,
        operation: &'static str,
        connection: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        within(self.connect_timeout, operation, connection).await
    }
}

impl Sql {
    fn new(schema: &Schema) -> Self {
        Self {
            enter: schema.sql("SELECT highwater.enter($1)"),
            own: schema.sql(
                "SELECT clock, won, holders, beats, ranks, sizes FROM highwater.own($1, $2, $3, $4, $5, $6)",
            ),
            fence: schema.sql("SELECT highwater.fence($1, $2)"),
            disown: schema.sql("SELECT highwater.disown($1)"),
            leave: schema.sql("SELECT highwater.leave($1)"),
            owner: schema.sql("SELECT highwater.owner_of($1)"),
            renew: schema
                .sql("SELECT kept, won, ranks, sizes FROM highwater.renew($1, $2, $3, $4, $5, $6, $7)"),
            give_up: schema.sql("SELECT highwater.give_up($1, $2)"),
            leaseholder: schema
                .sql("SELECT name FROM highwater.lease WHERE key = $1 AND expires_at > clock_timestamp()"),
        }
    }
}

async fn within<T>(
    limit: Duration,
    operation: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_elapsed) => Err(Error::new(ErrorKind::Unavailable, operation)
            .because(format!("no answer within {} ms", limit.as_millis()))),
    }
}

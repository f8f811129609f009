//! A connection of the pool with a transaction on it.
//!
//! It goes back to the pool only when the server has nothing left to do for it. Statements whose future was
//! dropped still run: they are waited for where the transaction goes on, and cancelled where it is undone.

use std::mem;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgDatabaseError, PgSeverity, PgTransactionManager};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres};
use sqlx_core::transaction::TransactionManager;
use tokio::runtime::Handle;
use tokio::time::timeout;

use highwater_core::error::{Error, ErrorKind};

use super::cancel::{cancel, mark};
use crate::database::Database;
use crate::error::{During, failed};
use crate::reach::acquire;

const BEGIN: &str = "begin a transaction";
const UNDO: &str = "roll a transaction back";
/// How long a statement may still take that nobody waits for any more. Ending it sooner would spare little, and
/// the server logs an error for each that is ended.
const NEARLY_DONE: Duration = Duration::from_millis(200);
/// How long undoing may take before the connection is given up; the server notices that it is gone.
const UNDO_LIMIT: Duration = Duration::from_secs(3);
/// The least depth at which the driver makes savepoints of what a projection begins.
const IN_TRANSACTION: usize = 1;

/// A connection in a transaction. Dropped, it rolls back.
pub(super) struct Session {
    /// `None` once it was given up.
    connection: Option<PoolConnection<Postgres>>,
    database: Database,
    mark: i64,
    sound: bool,
    /// It is being undone in the background: if that is dropped as well, there is no more than to cut it off.
    abandoned: bool,
    /// The ROLLBACK has been sent. Whoever is dropped then does not send another one.
    rolling_back: bool,
}

impl Session {
    /// Begins in one flight, on a connection that works: what died while it was idle is not used.
    pub(super) async fn begin(database: &Database, deadline: Duration) -> Result<Self, Error> {
        let limit = milliseconds(deadline);
        let mut stale = 0;
        loop {
            let connection = acquire(database, deadline, BEGIN).await?;
            let mark = mark();
            let mut session = Self {
                connection: Some(connection),
                database: database.clone(),
                mark,
                sound: false,
                abandoned: false,
                rolling_back: false,
            };
            // A client that is gone or frozen is ended by the server: its statements by the one limit, its
            // silence by the other.
            let begin = format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED;
                 SELECT set_config('statement_timeout', '{limit}', true),
                     set_config('idle_in_transaction_session_timeout', '{}', true),
                     set_config('hw.unit', '{mark}', true), pg_advisory_xact_lock_shared({mark})",
                limit.saturating_add(1_000)
            );
            // Only the guard is forgotten, which borrows: the session ends what it would have ended.
            let begun = session.connection().begin_with(AssertSqlSafe(begin)).await.map(mem::forget);
            match begun {
                Ok(()) => {
                    session.sound = true;
                    return Ok(session);
                }
                Err(error) if is_lost(&error) && stale < database.options().max_connections => {
                    stale += 1;
                    tracing::debug!(%error, "a connection had died while it was idle");
                }
                Err(error) => return Err(failed(BEGIN, error)),
            }
        }
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a session has its connection until it is given up")
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn mark(&self) -> i64 {
        self.mark
    }

    /// The transaction is not what it was: the connection is closed in the end.
    pub(super) fn is_unsound(&mut self) {
        self.sound = false;
    }

    /// Waits until abandoned statements have ended. Their errors are nobody's any more; what they did to the
    /// transaction shows at the next statement. Costs nothing where there is none.
    pub(super) async fn settle(&mut self) -> Result<(), sqlx::Error> {
        loop {
            match self.connection().flush().await {
                Ok(()) => return Ok(()),
                Err(error) if is_lost(&error) => return Err(error),
                Err(error) => tracing::debug!(%error, "a statement that was abandoned has failed"),
            }
        }
    }

    /// As [`Session::settle`], ending what goes on running. A statement that has failed is over a little after its
    /// error: to cancel that takes a connection, and hits nothing.
    pub(super) async fn interrupt(&mut self) -> Result<(), Error> {
        const INTERRUPT: &str = "interrupt a statement";
        if let Ok(settled) = timeout(NEARLY_DONE, self.settle()).await {
            return settled.during(INTERRUPT);
        }
        // Waited for before anything else is sent, which it would hit; where it fails, the statement's own
        // limit is left.
        if let Err(error) = cancel(&self.database, self.mark).await {
            tracing::debug!(error = error.chain(), "an abandoned statement could not be cancelled");
        }
        self.settle().await.during(INTERRUPT)
    }

    fn is_in_flight(&mut self) -> bool {
        loop {
            match self.connection().flush().now_or_never() {
                None => return true,
                Some(Ok(())) => return false,
                Some(Err(error)) if is_lost(&error) => {
                    self.sound = false;
                    return false;
                }
                Some(Err(error)) => tracing::debug!(%error, "a statement that was abandoned has failed"),
            }
        }
    }

    fn is_plain(&mut self) -> bool {
        self.sound && PgTransactionManager::get_transaction_depth(self.connection()) == IN_TRANSACTION
    }

    /// Undoes everything, whatever is going on, and gives the connection back; what cannot be undone in time
    /// is cut off, which undoes it, too.
    pub(super) async fn undo(mut self) -> Result<(), Error> {
        let undone = match timeout(UNDO_LIMIT, self.roll_back()).await {
            Ok(undone) => undone,
            Err(_elapsed) => Err(Error::new(ErrorKind::Timeout, UNDO).because("the server does not answer")),
        };
        if undone.is_err() {
            self.sound = false;
        }
        undone
    }

    async fn roll_back(&mut self) -> Result<(), Error> {
        self.interrupt().await?;
        if !self.is_plain() {
            self.sound = false;
            return Ok(());
        }
        self.rolling_back = true;
        PgTransactionManager::rollback(self.connection()).await.during(UNDO)
    }

    fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// What was not committed is undone. The ROLLBACK leaves at once; the pool waits for its answer.
impl Drop for Session {
    fn drop(&mut self) {
        if self.connection.is_none() {
            return;
        }
        if !self.sound {
            return self.cut();
        }
        if PgTransactionManager::get_transaction_depth(self.connection()) == 0 {
            return; // rolled back
        }
        if self.rolling_back {
            return self.cut();
        }
        if self.is_in_flight() {
            let Some(runtime) = Handle::try_current().ok().filter(|_| !self.abandoned) else {
                return self.cut();
            };
            let again = Self {
                connection: self.connection.take(),
                database: self.database.clone(),
                mark: self.mark,
                sound: true,
                abandoned: true,
                rolling_back: false,
            };
            runtime.spawn(async move {
                if let Err(error) = again.undo().await {
                    tracing::debug!(
                        error = error.chain(),
                        "a connection was closed, which ends its transaction"
                    );
                }
            });
            return;
        }
        if !self.is_plain() {
            return self.cut();
        }
        PgTransactionManager::start_rollback(self.connection());
        if let Some(Err(error)) = self.connection().flush().now_or_never() {
            tracing::debug!(%error, "a connection is closed, which ends its transaction");
            self.cut();
        }
    }
}

/// Whether the connection is gone, and with it the transaction.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        _ => true,
    }
}

/// A limit as the server takes it: at least 1, since 0 is none.
pub(super) fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1)
}

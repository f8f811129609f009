//! What a projection writes with.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rusqlite::Connection;

use highwater_core::error::Error;

use super::authorizer::{Authority, authorizer};
use crate::error::sqlite_error;

/// The batch's transaction, as a projection is given it: a connection on which everything works except ending
/// the transaction.
///
/// It derefs to [`Connection`]: `tx.execute(..)`, `tx.prepare_cached(..)`, `tx.query_row(..)`. It does so
/// immutably only, so `transaction()` does not compile, and `COMMIT`, `ROLLBACK`, `SAVEPOINT`, `ATTACH` and
/// the pragmas that change the connection are refused when they are prepared ("not authorized"). So are
/// writes to the tables whose names begin with `highwater_`.
///
/// A `Statement` or its `Rows` must not live across an `.await`: end them in a block of their own.
///
/// ```
/// use highwater_sqlite::SqliteTx;
///
/// fn count(tx: &mut SqliteTx, origin: &str) -> Result<(), highwater_sqlite::rusqlite::Error> {
///     tx.prepare_cached("INSERT INTO departures VALUES (?1, 1) ON CONFLICT DO UPDATE SET n = n + 1")?
///         .execute([origin])?;
///     Ok(())
/// }
/// ```
pub struct SqliteTx {
    conn: Connection,
    authority: Arc<Authority>,
    id: u64,
}

static IDS: AtomicU64 = AtomicU64::new(1);

impl SqliteTx {
    /// Takes the connection under an authorizer. It is set once: to set one expires every prepared statement.
    pub(super) fn new(conn: Connection) -> Result<Self, Error> {
        let authority = Arc::new(Authority::default());
        conn.authorizer(Some(authorizer(authority.clone())))
            .map_err(|cause| sqlite_error("set the authorizer", cause))?;
        Ok(Self { conn, authority, id: IDS.fetch_add(1, Ordering::Relaxed) })
    }

    /// A number that no other connection of this process has: what was prepared under one number (a temp
    /// view, a function) must be prepared again under another.
    #[must_use]
    pub fn connection_id(&self) -> u64 {
        self.id
    }

    /// Begins to write down which tables are created on this connection, from none.
    pub(super) fn record_created_tables(&self) {
        self.authority.record_created();
    }

    /// The tables that statements have created since [`SqliteTx::record_created_tables`], each once, in
    /// order; also those that `IF NOT EXISTS` has left as they were, but no temp tables and no inner tables
    /// of virtual ones. Ends the recording.
    pub(super) fn created_tables(&self) -> Vec<String> {
        self.authority.created()
    }

    /// Whether a projection holds it.
    pub(super) fn lent(&self) -> &AtomicBool {
        self.authority.lent()
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }
}

impl Deref for SqliteTx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.conn
    }
}

impl fmt::Debug for SqliteTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTx").field("id", &self.id).finish_non_exhaustive()
    }
}

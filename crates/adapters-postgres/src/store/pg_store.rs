//! The store's port.

use std::fmt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::PgConnection;
use tokio::sync::oneshot;
use tokio::time::timeout;

use highwater_core::error::Error;
use highwater_core::model::{ProjectionName, ProjectionPart};
use highwater_core::ports::{Claim, Membership, ReadModelStore};

use super::session::Session;
use super::stir::Stir;
use super::unit::{PgUnit, timed_out};
use crate::control::PgLease;
use crate::database::Database;
use crate::options::Ownership;

/// Read models in a PostgreSQL database, with their state, failed events and dead letters.
///
/// A clone is another handle to the same. Each transaction takes a connection of the [`Database`]'s pool for
/// as long as it lasts; a pool of one works, and then they come one after the other.
///
/// The job of [`ReadModelStore::transact`] runs in the caller's task. When it is dropped, or its deadline
/// passes, the running statement is cancelled; the connection is used again when the server has rolled back.
#[derive(Clone)]
pub struct PgStore {
    pub(super) database: Database,
    /// How many commits `changed` has reported.
    pub(super) reported: Arc<AtomicU64>,
    stir: Stir,
}

impl PgStore {
    /// The store in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        let committed = database.control().committed();
        let reported = Arc::new(AtomicU64::new(*committed.borrow()));
        let options = database.options();
        let deaf = !options.notify || options.ownership == Ownership::Lease;
        Self { database: database.clone(), reported, stir: Stir::new(committed, deaf) }
    }

    /// The database that it is in.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl fmt::Debug for PgStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgStore").field("database", &self.database).finish_non_exhaustive()
    }
}

impl ReadModelStore for PgStore {
    type Tx = PgConnection;
    type Unit = PgUnit;
    type Lease = PgLease;

    async fn claim(&self, part: &ProjectionPart) -> Result<Claim<PgLease>, Error> {
        self.database.control().claim(&part.lock_key()).await
    }

    async fn join(&self, name: &ProjectionName) -> Result<Option<Box<dyn Membership>>, Error> {
        self.database.control().join(name.as_str()).await.map(Some)
    }

    fn stirred(&self) -> bool {
        self.stir.stirred()
    }

    async fn transact<F, Fut, T>(&self, deadline: Duration, job: F) -> Result<T, Error>
    where
        F: FnOnce(Self::Unit) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
        T: Send + 'static,
    {
        let session = Session::begin(&self.database, deadline).await?;
        let (back, mut handed_back) = oneshot::channel();
        let committing = Arc::new(AtomicBool::new(false));
        let unit = PgUnit::new(session, deadline, back, committing.clone());
        let ended = {
            let mut running = pin!(AssertUnwindSafe(job(unit)).catch_unwind());
            match timeout(deadline, &mut running).await {
                Ok(ended) => ended,
                // A COMMIT is on its way: it bounds itself, and only its answer tells what happened.
                Err(_elapsed) if committing.load(Ordering::Acquire) => running.await,
                Err(_elapsed) => Ok(Err(timed_out("run a transaction"))),
            }
        };
        // What the job has left open ends before the caller goes on, so that nobody finds the state locked.
        if let Ok(session) = handed_back.try_recv()
            && let Err(error) = session.undo().await
        {
            tracing::debug!(error = error.chain(), "a connection was closed, which ends its transaction");
        }
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

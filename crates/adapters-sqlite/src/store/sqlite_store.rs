//! The store's port.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::runtime::Handle;

use highwater_core::error::Error;
use highwater_core::model::ProjectionPart;
use highwater_core::ports::{Claim, ReadModelStore};

use super::claim::SqliteLease;
use super::job::timed_out;
use super::session::{Home, Slot};
use super::unit::SqliteUnit;
use crate::cancel::{blocking, cancelled, pair};
use crate::database::Database;
use crate::options::SqliteOptions;

/// Read models in a SQLite file, with their state, failed events and dead letters.
///
/// A clone uses the same connection, one transaction after the other. [`SqliteStore::for_projection`] gives a
/// store over the same file with a connection of its own, for its own prepared statements and temp views. All
/// stores over one file in a process write in turn, in the order in which they ask; while another process
/// writes, `transact` waits for `SqliteOptions::busy_timeout` and then fails with `Contention`.
///
/// The job of [`ReadModelStore::transact`] runs on a blocking thread of the caller's tokio runtime, whose
/// timers must be enabled; time-outs and I/O that it awaits work as usual.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pub(super) database: Arc<Database>,
    slot: Arc<Slot>,
    /// How many commits `changed` has reported.
    pub(super) reported: Arc<AtomicU64>,
}

impl SqliteStore {
    /// Opens the store in this file, and creates file and tables where the options permit it.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or is from a newer version.
    pub async fn open(path: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self, Error> {
        let database = Database::open(path.as_ref(), options).await?;
        let commits = database.file().signal().borrow().commits;
        Ok(Self { database, slot: Arc::default(), reported: Arc::new(AtomicU64::new(commits)) })
    }

    /// The same store with a connection of its own, opened at its first transaction.
    #[must_use]
    pub fn for_projection(&self) -> Self {
        Self { slot: Arc::default(), ..self.clone() }
    }

    /// The file, behind links and dots.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.database.path()
    }
}

impl ReadModelStore for SqliteStore {
    type Tx = super::tx::SqliteTx;
    type Unit = SqliteUnit;
    type Lease = SqliteLease;

    async fn claim(&self, part: &ProjectionPart) -> Result<Claim<SqliteLease>, Error> {
        let (database, part) = (self.database.clone(), part.clone());
        blocking(move || super::claim::claim(database.path(), &part)).await
    }

    async fn transact<F, Fut, T>(&self, deadline: Duration, job: F) -> Result<T, Error>
    where
        F: FnOnce(Self::Unit) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
        T: Send + 'static,
    {
        let permit = self.database.file().enter().await?;
        let home = Home { slot: self.slot.clone(), database: self.database.clone(), _permit: permit };
        let (_guard, mut dropped) = pair();
        let runtime = Handle::current();
        blocking(move || {
            dropped.check()?;
            let unit = SqliteUnit::begin(home, deadline, dropped.flag())?;
            runtime.block_on(async move {
                tokio::select! {
                    biased;
                    () = dropped.wait() => Err(cancelled()),
                    ended = tokio::time::timeout(deadline, job(unit)) => {
                        ended.unwrap_or_else(|_| Err(timed_out("run a transaction")))
                    }
                }
            })
        })
        .await
    }
}

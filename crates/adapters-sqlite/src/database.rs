//! One handle to a file: opens connections and runs work on them, on threads that may block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use highwater_core::error::{Error, ErrorKind};

use crate::cancel::{blocking, pair};
use crate::error::During;
use crate::file::SharedFile;
use crate::migrations;
use crate::open::{Role, connect};
use crate::options::SqliteOptions;

/// Connections that wait for work; more are opened when more work comes at once, and closed after it.
const IDLE: usize = 2;

/// A file, with a few connections to it.
#[derive(Debug)]
pub(crate) struct Database {
    file: Arc<SharedFile>,
    options: SqliteOptions,
    idle: Mutex<Vec<Connection>>,
}

impl Database {
    /// Opens the file, creates it where the options permit it, and makes sure that it has our tables.
    pub(crate) async fn open(path: &Path, options: &SqliteOptions) -> Result<Arc<Self>, Error> {
        let (path, options) = (path.to_owned(), options.clone());
        blocking(move || Self::open_here(&path, options).map(Arc::new)).await
    }

    fn open_here(path: &Path, options: SqliteOptions) -> Result<Self, Error> {
        let place = |cause: std::io::Error| {
            Error::new(ErrorKind::Invalid, "open the database").with("file", path.display()).because(cause)
        };
        let path: PathBuf = std::path::absolute(path).map_err(place)?;
        let conn = connect(&path, &options, Role::Write)?;
        migrations::ensure(&conn, options.migrate).map_err(|error| error.with("file", path.display()))?;
        // Behind links and dots: one file must have one gate and one place for its locks.
        let path = path.canonicalize().map_err(place)?;
        let file = SharedFile::of(&path, &options);
        Ok(Self { file, options, idle: Mutex::new(vec![conn]) })
    }

    pub(crate) fn file(&self) -> &Arc<SharedFile> {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// A new connection. Blocks.
    pub(crate) fn connect(&self, role: Role) -> Result<Connection, Error> {
        connect(self.path(), &self.options, role)
    }

    fn take(&self) -> Result<Connection, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.connect(Role::Write), Ok)
    }

    fn put(&self, conn: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(conn);
        }
    }

    /// Reads; a dropped future interrupts it.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, Error>
    where
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let database = self.clone();
        let (_guard, cancelled) = pair();
        blocking(move || {
            let conn = database.take()?;
            let result = cancelled.interrupting(&conn, work);
            database.put(conn);
            result
        })
        .await
    }

    /// Does `work` in a transaction of its own: all of it is committed, or nothing. A dropped future leaves
    /// it done or not done; once begun, it ends by itself.
    pub(crate) async fn write<T, F>(self: &Arc<Self>, operation: &'static str, work: F) -> Result<T, Error>
    where
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let permit = self.file.enter().await?;
        let database = self.clone();
        blocking(move || database.write_here(operation, work, permit)).await
    }

    fn write_here<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Error>,
        permit: OwnedSemaphorePermit,
    ) -> Result<T, Error> {
        let conn = self.take()?;
        self.begin(&conn, operation)?;
        let result =
            work(&conn).and_then(|done| conn.execute_batch("COMMIT").during(operation).map(|()| done));
        match result {
            Ok(_) => self.put(conn),
            // SQLite may have rolled back by itself; if it has not and cannot, the connection's end will do
            // it.
            Err(_) if conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok() => self.put(conn),
            Err(_) => drop(conn),
        }
        drop(permit);
        match result {
            Ok(done) => {
                self.file.committed();
                Ok(done)
            }
            Err(error) => Err(self.located(error)),
        }
    }

    /// Says which file it was, where that is what somebody has to see to: the disk under it.
    pub(crate) fn located(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Unavailable => error.with("file", self.path().display()),
            _ => error,
        }
    }

    /// Begins a transaction that may write, when it is this process's turn.
    pub(crate) fn begin(&self, conn: &Connection, operation: &'static str) -> Result<(), Error> {
        let turn = self.file.turn();
        let begun = conn.execute_batch("BEGIN IMMEDIATE").during(operation);
        drop(turn);
        begun.map_err(|error| error.with("file", self.path().display()))
    }

    /// Waits until another process, or another handle here, has committed something since `seen`; answers how
    /// often that was seen to happen.
    pub(crate) async fn changed(self: &Arc<Self>, seen: u64) -> Result<u64, Error> {
        self.watch().await?;
        let mut signal = self.file.signal();
        let ended = |error| Error::new(ErrorKind::Closed, "wait for a commit").because(error);
        Ok(signal.wait_for(|signal| signal.commits != seen).await.map_err(ended)?.commits)
    }

    /// Begins to watch the file, unless that has been tried; says whether it is watched.
    pub(crate) async fn watch(self: &Arc<Self>) -> Result<bool, Error> {
        if let Some(watched) = self.file.is_watched() {
            return Ok(watched);
        }
        let database = self.clone();
        blocking(move || Ok(database.file.watch(&database.options))).await
    }
}

/// The database's clock: microseconds since 1970, in steps of a millisecond.
pub(crate) fn now_micros(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) * 1000")?
        .query_row([], |row| row.get(0))
}

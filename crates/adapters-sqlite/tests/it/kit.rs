//! What the tests share.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use highwater_core::Error;
use highwater_core::model::{Position, ProjectionKey, ProjectionName, ProjectionPart, ProjectionState};
use highwater_core::ports::{Locked, ReadModelStore, UnitOfWork};
use highwater_sqlite::rusqlite::Connection;
use highwater_sqlite::{SqliteOptions, SqliteStore, SqliteUnit, Synchronous};

/// Far more than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const ENDLESS: &str =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

/// A folder with one database, removed in the end.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    /// The database as somebody sees it who knows nothing of us.
    pub(crate) fn raw(&self) -> Connection {
        raw(&self.file())
    }

    pub(crate) async fn store(&self) -> SqliteStore {
        SqliteStore::open(self.file(), &options()).await.expect("the store opens")
    }
}

pub(crate) fn raw(path: &Path) -> Connection {
    let conn = Connection::open(path).expect("the file opens");
    conn.busy_timeout(SOON).expect("a time-out");
    conn
}

/// Nothing here outlives a power cut.
pub(crate) fn options() -> SqliteOptions {
    SqliteOptions::default().synchronous(Synchronous::Normal)
}

pub(crate) fn name(text: &str) -> ProjectionName {
    ProjectionName::new(text).expect("a valid name")
}

pub(crate) fn part(text: &str) -> ProjectionPart {
    key(text).part()
}

pub(crate) fn key(text: &str) -> ProjectionKey {
    ProjectionKey { name: name(text), version: 1, partition: 0 }
}

pub(crate) fn state(text: &str) -> ProjectionState {
    ProjectionState::new(key(text), None, "filter".to_owned(), "sql".to_owned())
}

pub(crate) fn at(state: &ProjectionState, commit: u64) -> ProjectionState {
    ProjectionState { scanned: Some(Position::new(commit, 0)), ..state.clone() }
}

/// Creates and commits the state of a projection.
pub(crate) async fn create(store: &SqliteStore, text: &str) -> ProjectionState {
    let state = state(text);
    let new = state.clone();
    transact(store, move |mut unit| async move {
        unit.create_state(&new).await?;
        unit.commit(&new, &new).await
    })
    .await
    .expect("there is no such row yet");
    state
}

pub(crate) async fn transact<F, Fut, T>(store: &SqliteStore, job: F) -> Result<T, Error>
where
    F: FnOnce(SqliteUnit) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, Error>> + Send,
    T: Send + 'static,
{
    store.transact(SOON, job).await
}

/// The committed state of a projection.
pub(crate) async fn committed(store: &SqliteStore, text: &str) -> ProjectionState {
    let key = key(text);
    let locked = transact(store, move |mut unit| async move { unit.lock(&key).await }).await;
    match locked.expect("the store answers") {
        Locked::Acquired(acquired) => acquired.state,
        other => panic!("not acquired: {other:?}"),
    }
}

/// A query's one number.
pub(crate) fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).expect("a number")
}

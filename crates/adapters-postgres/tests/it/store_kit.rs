//! What the tests of the store share.

use std::future::Future;
use std::time::Duration;

use highwater_core::model::{Position, ProjectionKey, ProjectionName, ProjectionState};
use highwater_core::policy::{Class, Classifier};
use highwater_core::ports::{Acquired, Locked, ReadModelStore, UnitOfWork};
use highwater_core::{BoxError, Error, ErrorKind, Failure};
use highwater_postgres::sqlx::{AssertSqlSafe, Connection, Error as SqlError, Executor, Row, raw_sql};
use highwater_postgres::{PgClassifier, PgConnection, PgStore, PgUnit};

use crate::kit::Place;

/// Far more than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const ENDLESS: &str = "SELECT pg_sleep(1000000)";

pub(crate) fn key(text: &str) -> ProjectionKey {
    ProjectionKey { name: ProjectionName::new(text).expect("a valid name"), version: 1, partition: 0 }
}

pub(crate) fn state(text: &str) -> ProjectionState {
    ProjectionState::new(key(text), None, "filter".to_owned(), "sql".to_owned())
}

pub(crate) fn at(state: &ProjectionState, commit: u64) -> ProjectionState {
    ProjectionState { scanned: Some(Position::new(commit, 0)), ..state.clone() }
}

/// A store over a place with a table `model (x int primary key)` of the user's.
pub(crate) async fn with_model() -> Option<(Place, PgStore)> {
    let place = Place::new().await?;
    let store = PgStore::new(&place.database().await);
    place.execute("CREATE TABLE model (x int PRIMARY KEY)").await;
    Some((place, store))
}

pub(crate) async fn transact<F, Fut, T>(store: &PgStore, job: F) -> Result<T, Error>
where
    F: FnOnce(PgUnit) -> Fut + Send + 'static,
    Fut: Future<Output = Result<T, Error>> + Send,
    T: Send + 'static,
{
    store.transact(SOON, job).await
}

/// Creates and commits the state of a projection.
pub(crate) async fn create(store: &PgStore, text: &str) -> ProjectionState {
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

/// Locks the state.
pub(crate) async fn lock(unit: &mut PgUnit, key: &ProjectionKey) -> Result<Box<Acquired>, Error> {
    match unit.lock(key).await? {
        Locked::Acquired(acquired) => Ok(acquired),
        other => Err(Error::new(ErrorKind::Busy, "lock").because(format!("{other:?}"))),
    }
}

/// The committed state of a projection. A transaction that was cut off a moment ago may still have it.
pub(crate) async fn committed(store: &PgStore, text: &str) -> ProjectionState {
    loop {
        let key = key(text);
        let locked = transact(store, move |mut unit| async move { unit.lock(&key).await }).await;
        match locked.expect("the store answers") {
            Locked::Acquired(acquired) => return acquired.state,
            Locked::Busy => {}
            Locked::Missing => panic!("it exists"),
        }
    }
}

/// Runs a statement of the user's.
pub(crate) async fn run(tx: &mut PgConnection, sql: &str) -> Result<(), SqlError> {
    tx.execute(raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(|_| ())
}

/// A query's one number.
pub(crate) async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    let row = connection.fetch_one(AssertSqlSafe(sql.to_owned())).await.expect("one row");
    row.get(0)
}

/// A query's one number, as committed.
pub(crate) async fn found(place: &Place, sql: &str) -> i64 {
    let mut connection = place.raw().await;
    let number = number(&mut connection, sql).await;
    connection.close().await.expect("it closes");
    number
}

pub(crate) fn class(error: impl Into<BoxError>) -> Class {
    Classifier::new().with(std::sync::Arc::new(PgClassifier)).failure(&Failure::new(error)).class
}

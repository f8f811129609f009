//! One transaction.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::sync::oneshot;
use tokio::time::timeout;

use highwater_core::error::{Error, ErrorKind, Retry};
use highwater_core::model::{
    DeadLetter, FailedEvent, Position, ProjectionKey, ProjectionName, ProjectionState,
};
use highwater_core::ports::{Locked, TableTaken, UnitOfWork};

use super::session::{Session, is_lost, milliseconds};
use super::{failed_rows, state_row, tables};
use crate::database::Database;
use crate::error::failed;
use crate::fault::code_of;
use crate::stopwatch::Stopwatch;

// One name does for all: the server means the last savepoint of that name.
const SAVEPOINT: &str = "SAVEPOINT highwater";
const ROLLBACK_TO: &str = "ROLLBACK TO SAVEPOINT highwater";
// An error in the first statement leaves the savepoint as it was.
const RELEASE: &str =
    "SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT highwater; SET CONSTRAINTS ALL DEFERRED";
/// How long the answer to a COMMIT is waited for.
const COMMIT_LIMIT: Duration = Duration::from_secs(10);
/// `move_state`: the state has not moved.
const NOT_MOVED: &str = "HW001";
/// `move_state`: it is another transaction.
const ANOTHER_TRANSACTION: &str = "HW002";

/// A transaction on PostgreSQL, READ COMMITTED.
///
/// The server cannot refuse a projection's own `COMMIT` or `ROLLBACK`, but the unit notices one: the next
/// call of the unit fails with `TransactionEnded`, and the batch's state does not move. What the projection
/// committed stays. `tx.begin()` is permitted: it makes a savepoint.
///
/// A statement that fails and whose error the projection swallows leaves the transaction unusable, as always
/// in PostgreSQL; `release` then fails (`25P02`), and `rollback_to` mends it.
///
/// From the first `release` on, constraints that are `DEFERRABLE INITIALLY IMMEDIATE` are checked at the next
/// `release`, too, instead of at the end of their statement.
pub struct PgUnit {
    /// `None` only in a unit that is being consumed.
    session: Option<Session>,
    back: Option<oneshot::Sender<Session>>,
    committing: Arc<AtomicBool>,
    running: Stopwatch,
    deadline: Duration,
    /// The limit of a statement, and what it was at each savepoint: it goes back with them.
    limit: Option<Duration>,
    limits: Vec<Option<Duration>>,
    /// The projection has ended the transaction.
    ended: bool,
    noted: Option<BTreeSet<String>>,
}

impl PgUnit {
    pub(super) fn new(
        session: Session,
        deadline: Duration,
        back: oneshot::Sender<Session>,
        committing: Arc<AtomicBool>,
    ) -> Self {
        Self {
            session: Some(session),
            back: Some(back),
            committing,
            running: Stopwatch::start(),
            deadline,
            limit: None,
            limits: Vec::new(),
            ended: false,
            noted: None,
        }
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("a unit is open until it is consumed")
    }

    /// Takes the transaction back from the projection, in time.
    async fn enter(&mut self, operation: &'static str) -> Result<&mut Session, Error> {
        if self.running.elapsed() >= self.deadline {
            return Err(timed_out(operation));
        }
        if self.ended {
            return Err(transaction_ended(operation));
        }
        let session = self.session();
        session.settle().await.map_err(|error| failed(operation, error))?;
        Ok(session)
    }

    /// What a statement of ours is run with.
    async fn lent(&mut self, operation: &'static str) -> Result<(&mut PgConnection, Database), Error> {
        let session = self.enter(operation).await?;
        let database = session.database().clone();
        Ok((session.connection(), database))
    }

    /// Runs statements of ours that a projection cannot take out of the cache, in one flight.
    async fn run(&mut self, operation: &'static str, text: String) -> Result<(), Error> {
        let session = self.enter(operation).await?;
        match session.connection().execute(sqlx::raw_sql(AssertSqlSafe(text))).await {
            Ok(_done) => Ok(()),
            Err(error) if ended_by_projection(&error) => {
                session.is_unsound();
                self.ended = true;
                Err(transaction_ended(operation).because(error))
            }
            Err(error) => Err(failed(operation, error)),
        }
    }

    fn needs_savepoint(&self, operation: &'static str) -> Result<(), Error> {
        if self.limits.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, operation).because("there is no savepoint"));
        }
        Ok(())
    }
}

/// `25P01`: there is no transaction; `3B001`: there is one, but not with our savepoint.
fn ended_by_projection(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|code| ["25P01", "3B001", ANOTHER_TRANSACTION].contains(&code.as_str()))
}

fn transaction_ended(operation: &'static str) -> Error {
    Error::new(ErrorKind::TransactionEnded, operation)
        .with("hint", "the projection ended the transaction that it was lent; what it committed stays")
}

/// The transaction ran past its deadline.
pub(super) fn timed_out(operation: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, operation)
        .because("the transaction ran past its deadline; it is rolled back")
}

/// What an error of a commit means: only an answer tells that it did not happen.
fn commit_failed(read: &ProjectionState, error: sqlx::Error) -> Error {
    const COMMIT: &str = "commit a batch";
    let error = match code_of(&error).as_deref() {
        _ if is_lost(&error) => Error::new(ErrorKind::OutcomeUnknown, COMMIT).because(error),
        Some(NOT_MOVED) => Error::new(ErrorKind::LostOwnership, COMMIT)
            .with("epoch", read.epoch)
            .because("the state is not as it was read: another instance has taken over"),
        _ if ended_by_projection(&error) => transaction_ended(COMMIT).because(error),
        // An error of the server's came before the end of the transaction.
        _ => failed(COMMIT, error),
    };
    error.with("projection", &read.key)
}

/// What was not committed is undone, before `transact` returns or, if nobody waits for that, in the
/// background.
impl Drop for PgUnit {
    fn drop(&mut self) {
        if let (Some(session), Some(back)) = (self.session.take(), self.back.take())
            && let Err(session) = back.send(session)
        {
            drop(session);
        }
    }
}

impl fmt::Debug for PgUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgUnit").field("savepoints", &self.limits.len()).finish_non_exhaustive()
    }
}

impl UnitOfWork for PgUnit {
    type Tx = PgConnection;

    async fn lock(&mut self, key: &ProjectionKey) -> Result<Locked, Error> {
        let (connection, database) = self.lent("lock a projection's state").await?;
        state_row::lock(connection, &database, key).await
    }

    async fn create_state(&mut self, state: &ProjectionState) -> Result<(), Error> {
        let (connection, database) = self.lent("create a projection's state").await?;
        state_row::create(connection, database.names(), state).await
    }

    async fn remove_state(&mut self, key: &ProjectionKey) -> Result<(), Error> {
        let (connection, database) = self.lent("remove a projection's state").await?;
        state_row::remove(connection, database.names(), key).await
    }

    async fn states(&mut self, name: &ProjectionName) -> Result<Vec<ProjectionState>, Error> {
        let (connection, database) = self.lent("read the states of a projection").await?;
        state_row::read(connection, database.names(), Some(name)).await
    }

    async fn note_tables(&mut self) -> Result<(), Error> {
        let (connection, _) = self.lent("note the tables that are there").await?;
        let there = tables::there(connection).await?;
        self.noted = Some(there);
        Ok(())
    }

    async fn own_tables(
        &mut self,
        name: &ProjectionName,
        named: &[String],
    ) -> Result<Vec<TableTaken>, Error> {
        const OWN: &str = "give tables to a projection";
        let noted = self.noted.take();
        let session = self.enter(OWN).await?;
        let names = session.database().names().clone();
        let owned = tables::own(session.connection(), &names, name, named, noted.as_ref()).await;
        match owned {
            Err(error) if error.backend_code() == Some("25P02") => {
                // A statement has failed, since its table is there: whose it is can only be asked anew.
                session.is_unsound();
                session
                    .connection()
                    .execute("ROLLBACK AND CHAIN")
                    .await
                    .map_err(|error| failed(OWN, error))?;
                tables::own(session.connection(), &names, name, named, None).await
            }
            owned => owned,
        }
    }

    async fn savepoint(&mut self) -> Result<(), Error> {
        self.run("set a savepoint", SAVEPOINT.to_owned()).await?;
        self.limits.push(self.limit);
        Ok(())
    }

    async fn rollback_to(&mut self) -> Result<(), Error> {
        const BACK: &str = "roll back to a savepoint";
        self.needs_savepoint(BACK)?;
        if self.running.elapsed() < self.deadline {
            self.session().interrupt().await?;
        }
        self.run(BACK, ROLLBACK_TO.to_owned()).await?;
        self.limit = self.limits.last().copied().flatten();
        Ok(())
    }

    async fn release(&mut self) -> Result<(), Error> {
        const END: &str = "release a savepoint";
        self.needs_savepoint(END)?;
        self.run(END, RELEASE.to_owned()).await?;
        self.limits.pop();
        Ok(())
    }

    fn tx(&mut self) -> &mut PgConnection {
        self.session().connection()
    }

    async fn statement_timeout(&mut self, limit: Option<Duration>) -> Result<(), Error> {
        if limit == self.limit {
            return Ok(());
        }
        let allowed = limit.map_or(self.deadline, |limit| limit.min(self.deadline));
        let set = format!("SET LOCAL statement_timeout = {}", milliseconds(allowed));
        self.run("limit statements", set).await?;
        self.limit = limit;
        Ok(())
    }

    async fn parked_streams(&mut self, key: &ProjectionKey) -> Result<Vec<String>, Error> {
        let (connection, database) = self.lent("read the parked streams").await?;
        failed_rows::parked_streams(connection, database.names(), key).await
    }

    async fn open_failures(&mut self, key: &ProjectionKey) -> Result<u64, Error> {
        let (connection, database) = self.lent("count failed events").await?;
        failed_rows::count_open(connection, database.names(), key).await
    }

    async fn record_failed(
        &mut self,
        failed: &FailedEvent,
        letter: Option<&DeadLetter>,
    ) -> Result<(), Error> {
        let (connection, database) = self.lent("record a failed event").await?;
        failed_rows::record(connection, database.names(), failed, letter).await
    }

    async fn dead_letter(
        &mut self,
        key: &ProjectionKey,
        position: Position,
    ) -> Result<Option<DeadLetter>, Error> {
        let (connection, database) = self.lent("read a dead letter").await?;
        failed_rows::letter(connection, database.names(), key, position).await
    }

    async fn first_of_stream(
        &mut self,
        key: &ProjectionKey,
        stream: &str,
    ) -> Result<Option<DeadLetter>, Error> {
        let (connection, database) = self.lent("read the events of a parked stream").await?;
        failed_rows::first_of_stream(connection, database.names(), key, stream).await
    }

    async fn resolve_failed(&mut self, key: &ProjectionKey, position: Position) -> Result<(), Error> {
        let (connection, database) = self.lent("resolve a failed event").await?;
        failed_rows::remove(connection, database.names(), key, Some(position)).await
    }

    async fn clear_failed(&mut self, key: &ProjectionKey) -> Result<(), Error> {
        let (connection, database) = self.lent("clear failed events").await?;
        failed_rows::remove(connection, database.names(), key, None).await
    }

    /// One flight: the state moves, or the server raises before it comes to the COMMIT. The transaction that
    /// is chained to it is empty and ends with the connection's return to the pool.
    async fn commit(mut self, read: &ProjectionState, next: &ProjectionState) -> Result<(), Error> {
        const COMMIT: &str = "commit a batch";
        self.enter(COMMIT).await.map_err(|error| error.with("projection", &read.key))?;
        let mut session = self.session.take().expect("a unit is open until it is consumed");
        let text = state_row::advance(session.database().names(), session.mark(), read, next);
        self.committing.store(true, Ordering::Release);
        let flight = session.connection().execute(sqlx::raw_sql(AssertSqlSafe(text)));
        let error = match timeout(COMMIT_LIMIT, flight).await {
            Ok(Ok(_done)) => {
                session.database().control().announce_commit();
                return Ok(());
            }
            Ok(Err(error)) => commit_failed(read, error),
            Err(_elapsed) => Error::new(ErrorKind::OutcomeUnknown, COMMIT)
                .with("projection", &read.key)
                .retry(Retry::Unknown)
                .because(format!("no answer within {} s", COMMIT_LIMIT.as_secs())),
        };
        session.is_unsound();
        Err(error)
    }

    async fn rollback(mut self) -> Result<(), Error> {
        self.session.take().expect("a unit is open until it is consumed").undo().await
    }
}

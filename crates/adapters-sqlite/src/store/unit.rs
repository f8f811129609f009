//! One transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{
    DeadLetter, FailedEvent, Position, ProjectionKey, ProjectionName, ProjectionState,
};
use highwater_core::ports::{Acquired, Locked, TableTaken, UnitOfWork};

use super::job::Job;
use super::session::{Home, Session};
use super::tx::SqliteTx;
use super::{failed_rows, owned_tables, state_row};
use crate::cancel::{INSTRUCTIONS, clear_handler, set_handler};
use crate::error::{During, sqlite_error};

// One name does for all: SQLite means the last savepoint of that name. Not through the statement cache, out
// of which a projection could take them without being asked for permission.
const SAVEPOINT: &str = "SAVEPOINT highwater";
const ROLLBACK_TO: &str = "ROLLBACK TO highwater";
const RELEASE: &str = "RELEASE highwater";

/// A transaction on a SQLite file, begun for writing: nobody else writes until it ends.
///
/// `lock` is never `Busy`. A statement limit counts from the last call of [`UnitOfWork::tx`]: it bounds how
/// long a projection keeps the transaction at a time, waiting included, and is noticed while a statement
/// runs. SQLite rolls the whole transaction back when a statement that *writes* is interrupted; the calls
/// that follow fail then, with `Timeout`, and what the projection did is gone.
#[derive(Debug)]
pub struct SqliteUnit {
    /// `None` only in a unit that is being consumed.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    session: Session,
    home: Home,
    job: Arc<Job>,
    savepoints: usize,
}

impl SqliteUnit {
    pub(super) fn begin(home: Home, deadline: Duration, cancelled: Arc<AtomicBool>) -> Result<Self, Error> {
        let session = home.slot.take(&home.database)?;
        let conn = session.tx.conn();
        if let Err(error) = home.database.begin(conn, "begin a transaction") {
            // The connection has done nothing: it is as good as it was, unless it says otherwise.
            if conn.is_autocommit() && error.kind() == ErrorKind::Contention {
                home.put(session);
            }
            return Err(error);
        }
        let job = Arc::new(Job::new(deadline, cancelled));
        let asked = job.clone();
        set_handler(conn, INSTRUCTIONS, move || asked.should_stop())?;
        Ok(Self { open: Some(Open { session, home, job, savepoints: 0 }) })
    }

    /// Takes the transaction back from the projection, and sees that it is still there.
    fn enter(&mut self, operation: &'static str) -> Result<&mut Open, Error> {
        let open = self.open.as_mut().expect("a unit is open until it is consumed");
        open.enter(operation)?;
        Ok(open)
    }

    fn read<T>(
        &mut self,
        operation: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        work(self.enter(operation)?.session.tx.conn())
    }
}

impl Open {
    fn enter(&self, operation: &'static str) -> Result<(), Error> {
        self.job.take_back();
        self.session.tx.lent().store(false, Ordering::Relaxed);
        self.job.check(operation)?;
        if !self.session.tx.is_autocommit() {
            return Ok(());
        }
        Err(if self.job.timed_out() {
            Error::new(ErrorKind::Timeout, operation).because(
                "a statement ran past its limit while it wrote, and SQLite has rolled the transaction back",
            )
        } else {
            Error::new(ErrorKind::Other, operation).because(
                "SQLite has rolled the transaction back: a statement said so (ON CONFLICT ROLLBACK, \
                 RAISE(ROLLBACK)), or the disk or the memory failed under it",
            )
        })
    }

    fn needs_savepoint(&self, operation: &'static str) -> Result<(), Error> {
        if self.savepoints == 0 {
            return Err(Error::new(ErrorKind::Invalid, operation).because("there is no savepoint"));
        }
        Ok(())
    }

    /// Undoes what is left of the transaction, and puts the connection back if it is sound.
    fn undo(self) -> Result<(), Error> {
        self.job.end();
        self.session.tx.lent().store(false, Ordering::Relaxed);
        let conn = self.session.tx.conn();
        let undone = if conn.is_autocommit() { Ok(()) } else { conn.execute_batch("ROLLBACK") };
        undone.during("roll a transaction back")?;
        self.put_back()
    }

    fn put_back(self) -> Result<(), Error> {
        clear_handler(self.session.tx.conn())?;
        self.home.put(self.session);
        Ok(())
    }

    fn commit(self, read: &ProjectionState, next: &ProjectionState) -> Result<(), Error> {
        const COMMIT: &str = "commit a batch";
        let moved = self
            .enter(COMMIT)
            .and_then(|()| state_row::advance(self.session.tx.conn(), read, next).during(COMMIT));
        match moved {
            Ok(true) => {}
            Ok(false) => {
                let lost = Error::new(ErrorKind::LostOwnership, COMMIT)
                    .with("projection", &read.key)
                    .with("epoch", read.epoch)
                    .because("the state is not as it was read: another instance has taken over");
                return self.fail(lost);
            }
            Err(error) => return self.fail(error),
        }
        self.job.end();
        let Err(cause) = self.session.tx.execute_batch("COMMIT") else {
            let database = self.home.database.clone();
            self.put_back()?;
            database.file().committed();
            return Ok(());
        };
        if cause.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            // The end mark may have reached the disk or not. The connection is closed, and who comes next
            // reads what is there.
            return Err(Error::new(ErrorKind::OutcomeUnknown, COMMIT)
                .with("projection", &read.key)
                .because(cause));
        }
        let error = sqlite_error(COMMIT, cause).with("projection", &read.key);
        let error = self.home.database.located(error);
        self.fail(error)
    }

    /// Undoes everything because of `error`, and answers with it.
    fn fail(self, error: Error) -> Result<(), Error> {
        if let Err(second) = self.undo() {
            tracing::warn!(error = second.chain(), "the connection is closed, which ends its transaction");
        }
        Err(error)
    }
}

/// What was not committed is undone. A connection on which that fails is closed, which undoes it, too.
impl Drop for SqliteUnit {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.open.take().map(Open::undo) {
            tracing::warn!(error = error.chain(), "the connection is closed, which ends its transaction");
        }
    }
}

impl UnitOfWork for SqliteUnit {
    type Tx = SqliteTx;

    async fn lock(&mut self, key: &ProjectionKey) -> Result<Locked, Error> {
        self.read("lock a projection's state", |conn| {
            let Some(state) = state_row::read(conn, key)? else { return Ok(Locked::Missing) };
            let retrying = failed_rows::first_retrying(conn, key)?;
            let replay = failed_rows::first_replay(conn, key)?;
            Ok(Locked::Acquired(Box::new(Acquired { state, retrying, replay })))
        })
    }

    async fn create_state(&mut self, state: &ProjectionState) -> Result<(), Error> {
        self.read("create a projection's state", |conn| state_row::create(conn, state))
    }

    async fn remove_state(&mut self, key: &ProjectionKey) -> Result<(), Error> {
        self.read("remove a projection's state", |conn| state_row::remove(conn, key))
    }

    async fn states(&mut self, name: &ProjectionName) -> Result<Vec<ProjectionState>, Error> {
        self.read("read a projection's states", |conn| state_row::read_named(conn, name))
    }

    async fn note_tables(&mut self) -> Result<(), Error> {
        let tx = &self.enter("note the tables that are created")?.session.tx;
        owned_tables::tidy(tx.conn())?;
        tx.record_created_tables();
        Ok(())
    }

    async fn own_tables(
        &mut self,
        name: &ProjectionName,
        named: &[String],
    ) -> Result<Vec<TableTaken>, Error> {
        let tx = &self.enter("give tables to a projection")?.session.tx;
        let mut tables = tx.created_tables();
        for table in named {
            if !tables.iter().any(|known| known.eq_ignore_ascii_case(table)) {
                tables.push(table.clone());
            }
        }
        owned_tables::own(tx.conn(), name, tables)
    }

    async fn savepoint(&mut self) -> Result<(), Error> {
        const SET: &str = "set a savepoint";
        let open = self.enter(SET)?;
        open.session.deferred.note(open.session.tx.conn())?;
        open.session.tx.execute_batch(SAVEPOINT).during(SET)?;
        open.savepoints += 1;
        Ok(())
    }

    async fn rollback_to(&mut self) -> Result<(), Error> {
        const BACK: &str = "roll back to a savepoint";
        let open = self.enter(BACK)?;
        open.needs_savepoint(BACK)?;
        open.session.tx.execute_batch(ROLLBACK_TO).during(BACK)
    }

    async fn release(&mut self) -> Result<(), Error> {
        const END: &str = "release a savepoint";
        let open = self.enter(END)?;
        open.needs_savepoint(END)?;
        open.session.deferred.check(open.session.tx.conn())?;
        open.session.tx.execute_batch(RELEASE).during(END)?;
        open.savepoints -= 1;
        Ok(())
    }

    fn tx(&mut self) -> &mut SqliteTx {
        let open = self.open.as_mut().expect("a unit is open until it is consumed");
        open.session.tx.lent().store(true, Ordering::Relaxed);
        if !open.job.hand_over() {
            // Statements that are short enough never meet the handler; from here on each of them shall.
            let asked = open.job.clone();
            if let Err(error) = set_handler(open.session.tx.conn(), 1, move || asked.should_stop()) {
                tracing::warn!(
                    error = error.chain(),
                    "a transaction past its deadline cannot be interrupted"
                );
            }
        }
        &mut open.session.tx
    }

    async fn statement_timeout(&mut self, limit: Option<Duration>) -> Result<(), Error> {
        self.enter("limit statements")?.job.limit(limit);
        Ok(())
    }

    async fn parked_streams(&mut self, key: &ProjectionKey) -> Result<Vec<String>, Error> {
        self.read("read the parked streams", |conn| failed_rows::parked_streams(conn, key))
    }

    async fn open_failures(&mut self, key: &ProjectionKey) -> Result<u64, Error> {
        self.read("count failed events", |conn| failed_rows::count_open(conn, key))
    }

    async fn record_failed(
        &mut self,
        failed: &FailedEvent,
        letter: Option<&DeadLetter>,
    ) -> Result<(), Error> {
        self.read("record a failed event", |conn| failed_rows::record(conn, failed, letter))
    }

    async fn dead_letter(
        &mut self,
        key: &ProjectionKey,
        position: Position,
    ) -> Result<Option<DeadLetter>, Error> {
        self.read("read a dead letter", |conn| failed_rows::letter(conn, key, position))
    }

    async fn first_of_stream(
        &mut self,
        key: &ProjectionKey,
        stream: &str,
    ) -> Result<Option<DeadLetter>, Error> {
        self.read("read the events of a parked stream", |conn| {
            failed_rows::first_of_stream(conn, key, stream)
        })
    }

    async fn resolve_failed(&mut self, key: &ProjectionKey, position: Position) -> Result<(), Error> {
        self.read("resolve a failed event", |conn| failed_rows::resolve(conn, key, position))
    }

    async fn clear_failed(&mut self, key: &ProjectionKey) -> Result<(), Error> {
        self.read("clear failed events", |conn| failed_rows::clear(conn, key))
    }

    async fn commit(mut self, read: &ProjectionState, next: &ProjectionState) -> Result<(), Error> {
        self.open.take().expect("a unit is open until it is consumed").commit(read, next)
    }

    async fn rollback(mut self) -> Result<(), Error> {
        self.open.take().expect("a unit is open until it is consumed").undo()
    }
}

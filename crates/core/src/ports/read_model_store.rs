//! The transactional store of read models: the unit of work that makes a projection exactly once.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Error;
use crate::model::{
    DeadLetter, FailedEvent, InstanceRank, Position, ProjectionKey, ProjectionName, ProjectionPart,
    ProjectionState,
};

/// What [`ReadModelStore::claim`] answers.
#[derive(Debug)]
pub enum Claim<Lease> {
    /// This instance may run the part for as long as it keeps the lease. Dropping it gives it up.
    Owned(Lease),
    /// Another instance has it.
    Busy,
}

/// What [`UnitOfWork::lock`] answers.
#[derive(Debug)]
pub enum Locked {
    /// Another transaction has it; come back later.
    Busy,
    /// There is no state row yet.
    Missing,
    /// Locked, with all that the runtime needs to know.
    Acquired(Box<Acquired>),
}

/// A locked state.
#[derive(Debug, Clone)]
pub struct Acquired {
    /// The state as it is committed.
    pub state: ProjectionState,
    /// The event that is `retrying`, if one is: the first by position.
    pub retrying: Option<FailedEvent>,
    /// The first failed event for which an operator has asked for another try, `retrying` ones left out.
    pub replay: Option<FailedEvent>,
}

/// A table that a projection's set-up creates, and whose it is already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTaken {
    /// The table, as the set-up names it.
    pub table: String,
    /// The projection that it belongs to.
    pub owner: ProjectionName,
}

/// Read models and their state, failed events and dead letters in one database.
///
/// # Laws
/// 1. **All or nothing**: what a unit did is there after `commit` returned `Ok`, and nothing of it is there
///    otherwise, whatever else happened: an error, a drop, a panic, a killed process (E-10).
/// 2. `claim` gives a projection, or each partition of it, to one owner at a time, across processes (E-11). The
///    lease ends when it is dropped or its process dies, and another `claim` succeeds within a second after.
/// 3. `transact` begins a transaction, runs the job and returns what it returns. A job that ends without commit
///    has rolled back. Jobs on one store may run one after the other; they never share a transaction.
/// 4. Past `deadline` statements of the unit fail with `Timeout`, and a job that waits for something else is
///    dropped; the transaction rolls back.
/// 5. Dropping the future of `transact` interrupts what runs and rolls back; the store answers again at once.
pub trait ReadModelStore: Send + Sync + 'static {
    /// What a projection is given to write with.
    type Tx: Send + 'static;
    /// The transaction, with what surrounds a batch.
    type Unit: UnitOfWork<Tx = Self::Tx> + 'static;
    /// Ownership of a projection or of a partition of it; released when dropped.
    type Lease: Send + 'static;

    /// Tries to become the owner of a projection, or of a partition of it; does not wait.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn claim(&self, part: &ProjectionPart) -> impl Future<Output = Result<Claim<Self::Lease>, Error>> + Send;

    /// Counts this instance among those that run partitions of a projection, so that they can share them
    /// evenly. The default is `None`: the store does not know its instances, and a partition belongs to
    /// whoever comes first.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn join(
        &self,
        name: &ProjectionName,
    ) -> impl Future<Output = Result<Option<Box<dyn Membership>>, Error>> + Send {
        let _unused = name;
        async { Ok(None) }
    }

    /// Whether something may have been committed since this handle was last asked that an owner without events to
    /// apply has to look at: a pause, a request for another try, another owner. It asks no database. A store that
    /// cannot tell says yes, the default; one that can still says yes now and then, since what told it may get
    /// lost.
    fn stirred(&self) -> bool {
        true
    }

    /// Begins a transaction and runs `job` where the driver wants to be called: in the caller's task, or on a
    /// thread of the store.
    ///
    /// # Errors
    /// What the job returns, or why it could not run.
    fn transact<F, Fut, T>(
        &self,
        deadline: Duration,
        job: F,
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        F: FnOnce(Self::Unit) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
        T: Send + 'static;
}

/// One instance among those that run partitions of a projection; it is given up when this is dropped.
///
/// # Laws
/// 17. The live members of one projection have the ranks `0..instances`, each once: `join` adds one, and one
///     is gone when it was dropped or its process died, as soon as a claim of the same process would be free.
///     Those that stay keep their order. A store whose `join` is `None` says so for every projection.
#[async_trait]
pub trait Membership: Send + Sync {
    /// Where this instance stands now.
    ///
    /// # Errors
    /// When the store cannot be asked.
    async fn rank(&self) -> Result<InstanceRank, Error>;
}

/// One transaction. It is handed in by value, so nothing can be called after `commit`.
///
/// # Laws
/// 6. `lock` holds the state against every other transaction until this one ends; it does not wait: `Busy`.
/// 7. `create_state` fails with `AlreadyExists` if there is a row, `remove_state` with `NotFound` if there is
///    none. `states` reads the rows of all versions and partitions of a projection, in that order, whoever has
///    locked them: as they are committed, with what this transaction has changed.
/// 8. `savepoint`, `rollback_to`, `release`: after `rollback_to` nothing of what was done since the savepoint is
///    left, and the savepoint still stands; `release` ends it and keeps the work. They nest.
/// 9. `release` checks deferred constraints first: a violation is a `Constraint` error, and the savepoint still
///    stands (E-19).
/// 10. While a projection holds `tx`, it cannot end the transaction: `COMMIT` and `ROLLBACK` are refused (E-9).
/// 11. `commit` moves the state only if the row is as it was read (epoch, generation, scanned bound) and commits,
///     in one step; else it rolls back and fails with `LostOwnership` (E-12). If the answer is lost it fails with
///     `OutcomeUnknown`.
/// 12. A failed event's row and letter are written by `record_failed` (replacing what is there for the position)
///     and removed by `resolve_failed`; both are part of the transaction. Payloads are bytes.
/// 13. Under `statement_timeout` a statement of the projection fails with `Timeout`, and the transaction can
///     still be rolled back to the savepoint.
/// 14. Dropping a unit rolls back.
/// 15. States, counters and positions keep every bit of what the log may hold: 64-bit signed at least.
/// 17. A table has one projection (E-14): what is created between `note_tables` and `own_tables`, and what is
///     named there, belongs to that projection from the commit on, across processes and restarts, for all its
///     versions. Another projection is told so; where the database tells it, also when its `IF NOT EXISTS` left
///     the table as it was. It ends when the table was dropped by an earlier transaction, or when the projection
///     has no state any more.
pub trait UnitOfWork: Send {
    /// What a projection is given to write with.
    type Tx: Send;

    /// Locks the state row and reads it, with what waits beside it.
    ///
    /// # Errors
    /// When the store cannot be asked; `Corrupt` if a row cannot be understood.
    fn lock(&mut self, key: &ProjectionKey) -> impl Future<Output = Result<Locked, Error>> + Send;

    /// Creates the state row.
    ///
    /// # Errors
    /// `AlreadyExists`, or when the store cannot be asked.
    fn create_state(&mut self, state: &ProjectionState) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes a state row that this transaction has locked; its failed events stay.
    ///
    /// # Errors
    /// `NotFound`, or when the store cannot be asked.
    fn remove_state(&mut self, key: &ProjectionKey) -> impl Future<Output = Result<(), Error>> + Send;

    /// All state rows of a projection, by version and partition. Waits for nobody and locks nothing.
    ///
    /// # Errors
    /// When the store cannot be asked; `Corrupt` if a row cannot be understood.
    fn states(
        &mut self,
        name: &ProjectionName,
    ) -> impl Future<Output = Result<Vec<ProjectionState>, Error>> + Send;

    /// Begins to note which tables are created in this transaction. The default notes none.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn note_tables(&mut self) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }

    /// Gives the tables that were created since [`UnitOfWork::note_tables`], and those that are `named`, to a
    /// projection; answers those that are another's. It may be called without `note_tables`, and after a statement
    /// that failed because its table is there. The default gives nothing and knows of no owner.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn own_tables(
        &mut self,
        name: &ProjectionName,
        named: &[String],
    ) -> impl Future<Output = Result<Vec<TableTaken>, Error>> + Send {
        let _unused = (name, named);
        async { Ok(Vec::new()) }
    }

    /// Sets a savepoint.
    ///
    /// # Errors
    /// When the transaction is lost, or was ended by user code (`TransactionEnded`).
    fn savepoint(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Goes back to the last savepoint, which stays.
    ///
    /// # Errors
    /// When the transaction is lost, or was ended by user code (`TransactionEnded`).
    fn rollback_to(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Ends the last savepoint and keeps the work.
    ///
    /// # Errors
    /// `Constraint` for a deferred constraint; else as [`UnitOfWork::savepoint`].
    fn release(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// What a projection writes with.
    fn tx(&mut self) -> &mut Self::Tx;

    /// Limits each of the projection's statements from now on; `None` leaves only the transaction's deadline.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn statement_timeout(
        &mut self,
        limit: Option<Duration>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The streams that have a parked or held event: later events of theirs are held (E-15).
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn parked_streams(
        &mut self,
        key: &ProjectionKey,
    ) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// How many failed events are open (parked, held or recorded).
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn open_failures(&mut self, key: &ProjectionKey) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Writes a failed event's row, and its letter where it has one.
    ///
    /// # Errors
    /// When it cannot be stored.
    fn record_failed(
        &mut self,
        failed: &FailedEvent,
        letter: Option<&DeadLetter>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The letter of a failed event.
    ///
    /// # Errors
    /// When the store cannot be asked; `Corrupt` if it cannot be understood.
    fn dead_letter(
        &mut self,
        key: &ProjectionKey,
        position: Position,
    ) -> impl Future<Output = Result<Option<DeadLetter>, Error>> + Send;

    /// The first parked or held event of this stream, with its payload.
    ///
    /// # Errors
    /// As [`UnitOfWork::dead_letter`].
    fn first_of_stream(
        &mut self,
        key: &ProjectionKey,
        stream: &str,
    ) -> impl Future<Output = Result<Option<DeadLetter>, Error>> + Send;

    /// Removes the row and the letter of an event that has been applied after all; nothing if there is none.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn resolve_failed(
        &mut self,
        key: &ProjectionKey,
        position: Position,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes all failed events and letters of a projection: for a rebuild.
    ///
    /// # Errors
    /// When the store cannot be asked.
    fn clear_failed(&mut self, key: &ProjectionKey) -> impl Future<Output = Result<(), Error>> + Send;

    /// Moves the state from what was read to `next`, and commits.
    ///
    /// # Errors
    /// `LostOwnership` if the row is not as it was read; `OutcomeUnknown` if nobody knows.
    fn commit(
        self,
        read: &ProjectionState,
        next: &ProjectionState,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Undoes everything.
    ///
    /// # Errors
    /// When that cannot be confirmed; the transaction will end with its connection.
    fn rollback(self) -> impl Future<Output = Result<(), Error>> + Send;
}

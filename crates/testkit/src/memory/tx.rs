//! What a projection is given to write with: a small table store, in a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use highwater_core::{Error, ErrorKind};

use super::cut_off;
use super::store::SharedStore;
use super::store_data::{Data, Tables, Work};
use crate::sync::lock;
use crate::time::{instant_after, instant_now, pause};

/// A transaction over tables of bytes: `table` and `key` give a value.
///
/// Reads see what is committed and what this transaction wrote; nothing of the latter is visible to others
/// before the commit. Each method is one statement. Some methods make happen what happens to real
/// transactions: [`MemoryTx::run_for`], [`MemoryTx::fail`], [`MemoryTx::abort`], [`MemoryTx::lose`],
/// [`MemoryTx::end_transaction`], [`MemoryTx::defer_check`].
pub struct MemoryTx {
    pub(super) shared: Arc<SharedStore>,
    pub(super) number: u64,
    pub(super) work: Work,
    pub(super) savepoints: Vec<Work>,
    pub(super) statement_limit: Option<Duration>,
    /// Tables created since the unit was told to note them.
    pub(super) created: Option<Vec<String>>,
    deadline: Option<Instant>,
    condition: Condition,
    committed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Usable,
    /// A statement failed and nobody has rolled back since: only `rollback_to` is of use.
    Aborted,
    /// The transaction is gone.
    Lost(ErrorKind),
}

impl MemoryTx {
    pub(super) fn begin(shared: Arc<SharedStore>, number: u64, deadline: Duration) -> Self {
        Self {
            shared,
            number,
            work: Work::default(),
            savepoints: Vec::new(),
            statement_limit: None,
            created: None,
            deadline: instant_after(deadline),
            condition: Condition::Usable,
            committed: false,
        }
    }

    /// Says that a table is created, if it is not there: `CREATE TABLE IF NOT EXISTS`. Tables need no creation here;
    /// it tells whose they are.
    ///
    /// # Errors
    /// As [`MemoryTx::put`].
    pub fn create_table(&mut self, table: &str) -> Result<(), Error> {
        self.statement("create a table")?;
        if let Some(created) = &mut self.created {
            created.push(table.to_owned());
        }
        Ok(())
    }

    /// Deletes all rows of a table, and says that it is dropped: it is nobody's any more.
    ///
    /// # Errors
    /// As [`MemoryTx::put`].
    pub fn drop_table(&mut self, table: &str) -> Result<(), Error> {
        self.clear(table)?;
        self.work.owners.insert(table.to_owned(), None);
        Ok(())
    }

    /// Inserts a row, or replaces its value.
    ///
    /// # Errors
    /// When the transaction cannot be used any more; so for all statements.
    pub fn put(&mut self, table: &str, key: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.statement("put a row")?;
        self.work.rows.insert((table.to_owned(), key.to_owned()), Some(value.into()));
        Ok(())
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// `Constraint` if there is one of this key; the transaction stays usable.
    pub fn insert(&mut self, table: &str, key: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.statement("insert a row")?;
        if self.read(|work, data| work.row(data, table, key)).is_some() {
            let error = Error::new(ErrorKind::Constraint, "insert a row that is there already");
            return Err(error.with("table", table).with("key", key));
        }
        self.work.rows.insert((table.to_owned(), key.to_owned()), Some(value.into()));
        Ok(())
    }

    /// A value.
    ///
    /// # Errors
    /// As [`MemoryTx::put`].
    pub fn get(&mut self, table: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.statement("get a row")?;
        Ok(self.read(|work, data| work.row(data, table, key)))
    }

    /// Deletes a row; says whether there was one.
    ///
    /// # Errors
    /// As [`MemoryTx::put`].
    pub fn delete(&mut self, table: &str, key: &str) -> Result<bool, Error> {
        self.statement("delete a row")?;
        let found = self.read(|work, data| work.row(data, table, key)).is_some();
        self.work.rows.insert((table.to_owned(), key.to_owned()), None);
        Ok(found)
    }

    /// Adds to a number that is kept as decimal text, from 0; answers the sum. Applying an event twice shows.
    ///
    /// # Errors
    /// `Constraint` if the value is no number, or the sum does not fit.
    pub fn increment(&mut self, table: &str, key: &str, by: i64) -> Result<i64, Error> {
        self.statement("increment a row")?;
        let refused = || {
            Error::new(ErrorKind::Constraint, "increment what is no 64-bit number")
                .with("table", table)
                .with("key", key)
        };
        let before = match self.read(|work, data| work.row(data, table, key)) {
            None => 0,
            Some(value) => {
                str::from_utf8(&value).ok().and_then(|text| text.parse().ok()).ok_or_else(refused)?
            }
        };
        let sum = i64::checked_add(before, by).ok_or_else(refused)?;
        self.work.rows.insert((table.to_owned(), key.to_owned()), Some(sum.to_string().into_bytes()));
        Ok(sum)
    }

    /// All rows of a table.
    ///
    /// # Errors
    /// As [`MemoryTx::put`].
    pub fn rows(&mut self, table: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        self.statement("read a table")?;
        Ok(self.read(|work, data| work.tables(data)).remove(table).unwrap_or_default())
    }

    /// Deletes all rows of a table.
    ///
    /// # Errors
    /// As [`MemoryTx::put`].
    pub fn clear(&mut self, table: &str) -> Result<(), Error> {
        self.statement("clear a table")?;
        let rows = self.read(|work, data| work.tables(data)).remove(table).unwrap_or_default();
        self.work.rows.extend(rows.into_keys().map(|key| ((table.to_owned(), key), None)));
        Ok(())
    }

    /// A statement that takes this long, by tokio's time.
    ///
    /// # Errors
    /// `Timeout` when the statement's limit or the transaction's deadline is reached first; the work so far
    /// stays, and the transaction can be rolled back to a savepoint.
    pub async fn run_for(&mut self, duration: Duration) -> Result<(), Error> {
        self.statement("run a slow statement")?;
        let limit = self.statement_limit.unwrap_or(Duration::MAX);
        let left =
            self.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(instant_now()));
        let allowed = limit.min(left);
        pause(duration.min(allowed)).await;
        if duration <= allowed {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Timeout, "run a slow statement").with("limit", format_args!("{allowed:?}")))
    }

    /// A statement that fails; the transaction stays usable, as in SQLite.
    ///
    /// # Errors
    /// Always, with this kind.
    pub fn fail(&mut self, kind: ErrorKind) -> Result<(), Error> {
        self.statement("run a bad statement")?;
        Err(Error::new(kind, "run a bad statement"))
    }

    /// A statement that fails and leaves the transaction aborted, as in PostgreSQL: everything fails until it
    /// is rolled back to a savepoint. A projection that swallows the error does not get away with it.
    ///
    /// # Errors
    /// Always, with this kind.
    pub fn abort(&mut self, kind: ErrorKind) -> Result<(), Error> {
        self.fail(kind).inspect_err(|_| self.condition = Condition::Aborted)
    }

    /// The transaction is lost: the connection broke, or the database left it on its own. From here every
    /// call fails with this kind, the return to a savepoint included.
    ///
    /// # Errors
    /// Always, with this kind.
    pub fn lose(&mut self, kind: ErrorKind) -> Result<(), Error> {
        self.statement("lose the transaction")?;
        self.condition = Condition::Lost(kind);
        Err(Error::new(kind, "lose the transaction"))
    }

    /// What user code may try, and is refused (E-9).
    ///
    /// # Errors
    /// Always: `TransactionEnded`. The transaction itself goes on.
    pub fn end_transaction(&mut self) -> Result<(), Error> {
        self.statement("end the transaction")?;
        Err(Error::new(ErrorKind::TransactionEnded, "end a transaction that was lent"))
    }

    /// Adds a constraint that is checked when the savepoint is released, and at commit. `check` sees all
    /// tables as they will be, and says what is violated.
    ///
    /// # Errors
    /// As [`MemoryTx::put`].
    pub fn defer_check(
        &mut self,
        check: impl Fn(&Tables) -> Result<(), String> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        self.statement("defer a check")?;
        self.work.deferred.push(Arc::new(check));
        Ok(())
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Work, &Data) -> T) -> T {
        read(&self.work, &lock(&self.shared.data))
    }

    fn statement(&mut self, operation: &'static str) -> Result<(), Error> {
        lock(&self.shared.data).counts.statements += 1;
        self.usable(operation)
    }

    /// Refuses to go on where a real transaction would.
    pub(super) fn usable(&self, operation: &'static str) -> Result<(), Error> {
        self.reachable(operation)?;
        if self.condition == Condition::Aborted {
            let error = Error::new(ErrorKind::Other, operation).code("25P02");
            return Err(error.because("the transaction is aborted until it is rolled back to a savepoint"));
        }
        Ok(())
    }

    fn reachable(&self, operation: &'static str) -> Result<(), Error> {
        if let Condition::Lost(kind) = self.condition {
            return Err(Error::new(kind, operation).because("the transaction is lost"));
        }
        if self.deadline.is_some_and(|deadline| instant_now() >= deadline) {
            return Err(
                Error::new(ErrorKind::Timeout, operation).because("the transaction's deadline has passed")
            );
        }
        if lock(&self.shared.data).outage { Err(cut_off(operation)) } else { Ok(()) }
    }

    /// Makes the last savepoint's state the present one; heals an aborted transaction.
    pub(super) fn return_to_savepoint(&mut self) -> Result<(), Error> {
        self.reachable("roll back to a savepoint")?;
        let savepoint = self.savepoints.last().ok_or_else(|| no_savepoint("roll back to a savepoint"))?;
        self.work = savepoint.clone();
        self.condition = Condition::Usable;
        Ok(())
    }

    /// Takes the work out, to commit it: what is left rolls nothing back.
    pub(super) fn into_work(mut self, data: &mut Data) -> Work {
        self.committed = true;
        data.locks.retain(|_, holder| *holder != self.number);
        std::mem::take(&mut self.work)
    }
}

pub(super) fn no_savepoint(operation: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, operation).because("no savepoint is set")
}

impl Drop for MemoryTx {
    fn drop(&mut self) {
        if !self.committed {
            let mut data = lock(&self.shared.data);
            data.locks.retain(|_, holder| *holder != self.number);
            data.counts.rollbacks += 1;
        }
        self.shared.unlocked.notify_waiters();
    }
}

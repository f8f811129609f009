//! The log's two ports.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgConnection;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Append, Appended, Filter, Interner, Position, RecordedEvent};
use highwater_core::ports::{AppendEvents, EventLog, EventReader, HeldBack};

use super::check::{self, Check};
use super::holder::{self, Holder};
use super::horizon::Horizon;
use super::ledger::Ledger;
use super::quiet::Quiet;
use super::reader::PgReader;
use super::rows::{COLUMNS, Events, READ};
use super::{append, append::CALL};
use crate::database::Database;
use crate::error::During;
use crate::filter_sql::FilterSql;
use crate::number::{clamped, position, to_u64};
use crate::schema::Statement;

const COUNT: &str = "count events";

/// The event log of a PostgreSQL database. Cheap to clone; clones, other handles and other programs work side
/// by side.
///
/// The position of an event is the number of its append call and its offset in it. Events become visible in
/// another order, and readers pass none over: they stop in front of a number whose transaction has not ended.
/// So a transaction that appends and then stays open holds readers back ([`PgLog::holder`]); one that does
/// not append never does. JSON only: data and metadata are kept as they were written.
#[derive(Clone)]
pub struct PgLog(Arc<Shared>);

/// What a log's handles and readers share.
pub(super) struct Shared {
    pub(super) database: Database,
    pub(super) horizon: Horizon,
    pub(super) ledger: Ledger,
    pub(super) quiet: Quiet,
    call: Statement,
    at: Statement,
    first_behind: Statement,
    holder: Statement,
    check: Check,
}

impl PgLog {
    /// The log of this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        let schema = database.names();
        Self(Arc::new(Shared {
            horizon: Horizon::new(schema),
            ledger: Ledger::new(schema),
            quiet: Quiet::new(database),
            call: schema.sql(CALL),
            at: schema.sql(&format!(
                "SELECT {COLUMNS} FROM highwater.event \
                 WHERE position = $1::bigint AND \"offset\" = $2::bigint"
            )),
            first_behind: schema
                .sql("SELECT position FROM highwater.event WHERE position > $1 ORDER BY position LIMIT 1"),
            holder: holder::statement(schema),
            check: Check::new(schema),
            database: database.clone(),
        }))
    }

    /// Appends in the caller's transaction: the events become visible when it commits, and not at all if it
    /// is rolled back. From here until its end no reader gets past it, so it should end soon; the server ends
    /// it by itself when it does nothing for 60 s. Readers are told of the commit by [`PgLog::announce`], or
    /// find it at their next poll.
    ///
    /// # Errors
    /// As [`AppendEvents::append`]; the transaction is then broken, unless a savepoint was set before. Where
    /// another transaction appended to a stream at the same moment and `Expected::Any` was given,
    /// `Contention`: roll back and try again.
    pub async fn append_in(&self, tx: &mut PgConnection, appends: &[Append]) -> Result<Vec<Appended>, Error> {
        append::append_in(tx, &self.0.call, appends).await
    }

    /// Tells readers, here and in other processes, that events were committed which were appended by
    /// [`PgLog::append_in`] or by SQL. Never blocks; a hint.
    pub fn announce(&self) {
        self.0.database.control().announce_append();
    }

    /// Which transaction holds readers back now; `None` if everything that is visible may be read.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn holder(&self) -> Result<Option<Holder>, Error> {
        let mut connection = self.0.database.connection(READ).await?;
        if !self.0.horizon.settle(&mut connection).await?.held() {
            return Ok(None);
        }
        holder::ask(&mut connection, &self.0.holder, self.0.horizon.gate()).await
    }

    /// What is wrong with the sequence that positions are drawn from, as after an incomplete restore: a
    /// sentence each, with what to do. Empty if all is well.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        let mut connection = self.0.database.connection(READ).await?;
        Ok(self.0.check.ask(&mut connection, self.0.horizon.gate()).await?.wrong)
    }

    /// Makes sure, before a log is used, that what is appended comes behind everything that readers have passed.
    ///
    /// A sequence that stands behind the events, as after a restore of the tables alone, is set forward where the
    /// options permit to change our own tables, and that is logged: until then appends are refused, since readers
    /// would never see what they append.
    ///
    /// # Errors
    /// `Corrupt` with what is wrong and what to do, where it cannot be mended so or may not be; when the server
    /// cannot be asked, or does not permit to mend it (`AccessDenied`).
    pub async fn ensure_sound(&self) -> Result<(), Error> {
        let sequence = self.0.horizon.gate();
        let mut connection = self.0.database.connection(READ).await?;
        let found = self.0.check.ask(&mut connection, sequence).await?;
        if found.wrong.is_empty() {
            return Ok(());
        }
        if !found.only_behind || !self.0.database.options().migrate {
            return Err(check::unsound(sequence, &found.wrong));
        }
        if let Some(stands) = self.0.check.mend(&mut connection, sequence).await? {
            tracing::warn!(
                sequence,
                stands,
                "the sequence of positions stood below what is in the log, as after an incomplete restore; it was \
                 set forward"
            );
        }
        Ok(())
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.0.database
    }
}

impl Shared {
    /// The first position behind `position` that has an event.
    pub(super) async fn first_behind(
        &self,
        connection: &mut PgConnection,
        position: i64,
    ) -> Result<Option<i64>, Error> {
        let query = sqlx::query_scalar(self.first_behind.safe()).bind(position);
        query.fetch_optional(connection).await.during(READ)
    }
}

#[async_trait]
impl EventLog for PgLog {
    async fn head(&self) -> Result<Option<Position>, Error> {
        let mut connection = self.0.database.connection(READ).await?;
        let settled = self.0.horizon.settle(&mut connection).await.inspect_err(|error| {
            if error.kind() == ErrorKind::Unavailable {
                self.0.horizon.forget();
            }
        })?;
        let last = match settled.held() {
            true => self.0.horizon.last_until(&mut connection, settled.through).await?,
            false => settled.visible,
        };
        last.map(|(commit, prepare)| position(commit, prepare)).transpose()
    }

    async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error> {
        Ok(Box::new(PgReader::new(&self.0, after, filter)))
    }

    async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error> {
        let (Ok(commit), Ok(prepare)) = (i64::try_from(position.commit()), i64::try_from(position.prepare()))
        else {
            return Ok(None);
        };
        let query = sqlx::query(self.0.at.safe()).bind(commit).bind(prepare);
        let mut connection = self.0.database.connection(READ).await?;
        let row = query.fetch_optional(&mut *connection).await.during(READ)?;
        let mut found = Events::default();
        if let Some(row) = row {
            found.take(&row, &mut Interner::default())?;
        }
        Ok(found.finish().pop())
    }

    async fn count_between(
        &self,
        after: Option<Position>,
        through: Option<Position>,
        filter: &Filter,
    ) -> Result<Option<u64>, Error> {
        let Some(through) = through else { return Ok(Some(0)) };
        let (after, through) = (after.map_or((0, -1), clamped), clamped(through));
        let filter = FilterSql::new(filter);
        let statement = self.0.database.names().sql(&format!(
            "SELECT count(*) FROM highwater.event \
             WHERE (position, \"offset\") > ($1::bigint, $2::bigint) \
             AND (position, \"offset\") <= ($3::bigint, $4::bigint){}",
            filter.condition(5)
        ));
        let query = sqlx::query(statement.safe()).bind(after.0).bind(after.1).bind(through.0).bind(through.1);
        let mut connection = self.0.database.connection(COUNT).await?;
        let row = filter.bind(query).fetch_one(&mut *connection).await.during(COUNT)?;
        let count: i64 = sqlx::Row::try_get(&row, 0).during(COUNT)?;
        Ok(Some(to_u64(count, "count")?))
    }

    async fn held_back(&self) -> Result<Option<HeldBack>, Error> {
        Ok(self.holder().await?.map(HeldBack::from))
    }
}

#[async_trait]
impl AppendEvents for PgLog {
    async fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, Error> {
        let done = append::append(&self.0.database, &self.0.call, appends).await?;
        if done.iter().any(|one| !one.duplicate) {
            self.announce();
        }
        Ok(done)
    }
}

impl fmt::Debug for PgLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PgLog").field(&self.0.database).finish()
    }
}

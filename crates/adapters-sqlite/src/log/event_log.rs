//! The log's two ports.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use highwater_core::error::Error;
use highwater_core::model::{Append, Appended, Filter, Interner, Position, RecordedEvent};
use highwater_core::ports::{AppendEvents, EventLog, EventReader};

use super::append::{APPEND, append_all, check_all};
use super::extent::{Bound, last_until};
use super::reader::SqliteReader;
use super::rows::{COLUMNS, EventRow, Events, READ};
use super::scan::row_position;
use crate::database::Database;
use crate::error::During;
use crate::filter_sql::filter_sql;
use crate::options::SqliteOptions;

/// An event log in a SQLite file. Cheap to clone; clones and other handles to the file work side by side.
///
/// Each reader has a connection of its own and reads on a blocking thread. Appends of one process queue in
/// order; an append that finds a writer of another process waits for `SqliteOptions::busy_timeout`, then
/// fails with `Contention`. The position of an event is the number of its append and its offset in it.
#[derive(Debug, Clone)]
pub struct SqliteLog {
    database: Arc<Database>,
}

impl SqliteLog {
    /// Opens the log in this file, and creates file and tables where the options permit it.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or is from a newer version.
    pub async fn open(path: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self, Error> {
        Ok(Self { database: Database::open(path.as_ref(), options).await? })
    }

    /// The file, behind links and dots.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.database.path()
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn head(&self) -> Result<Option<Position>, Error> {
        self.database.read(head_of).await
    }

    async fn open(&self, after: Option<Position>, filter: &Filter) -> Result<Box<dyn EventReader>, Error> {
        Ok(Box::new(SqliteReader::open(&self.database, after, filter).await?))
    }

    async fn event_at(&self, position: Position) -> Result<Option<RecordedEvent>, Error> {
        let (Ok(commit), Ok(prepare)) = (i64::try_from(position.commit()), i64::try_from(position.prepare()))
        else {
            return Ok(None);
        };
        let read = move |conn: &Connection| {
            let sql =
                format!("SELECT {COLUMNS} FROM highwater_event WHERE position = ?1 AND \"offset\" = ?2");
            let mut select = conn.prepare_cached(&sql).during(READ)?;
            let mut rows = select.query([commit, prepare]).during(READ)?;
            let mut found = Events::default();
            if let Some(row) = rows.next().during(READ)? {
                found.take(&EventRow::of(row)?, &mut Interner::default())?;
            }
            Ok(found.finish().pop())
        };
        self.database.read(read).await
    }

    async fn count_between(
        &self,
        after: Option<Position>,
        through: Option<Position>,
        filter: &Filter,
    ) -> Result<Option<u64>, Error> {
        let Some(through) = through else { return Ok(Some(0)) };
        let (after, through) = (Bound::of(after), Bound::of(Some(through)));
        let condition = filter_sql(filter).map(|sql| format!(" AND ({sql})")).unwrap_or_default();
        let read = move |conn: &Connection| {
            let sql = format!(
                "SELECT count(*) FROM highwater_event \
                 WHERE (position, \"offset\") > (?1, ?2) AND (position, \"offset\") <= (?3, ?4){condition}"
            );
            let bounds = [after.position, after.offset, through.position, through.offset];
            let count: i64 = conn.query_row(&sql, bounds, |row| row.get(0)).during("count events")?;
            Ok(Some(count.unsigned_abs()))
        };
        self.database.read(read).await
    }
}

#[async_trait]
impl AppendEvents for SqliteLog {
    async fn append(&self, appends: &[Append]) -> Result<Vec<Appended>, Error> {
        check_all(appends)?;
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        let appends = appends.to_vec();
        let done = self.database.write(APPEND, move |conn| append_all(conn, &appends)).await?;
        let head = done.iter().map(|one| one.last).max();
        self.database.file().reached(head);
        Ok(done)
    }
}

/// The position of the last event.
pub(crate) fn head_of(conn: &Connection) -> Result<Option<Position>, Error> {
    let last = last_until(conn, i64::MAX).during(READ)?;
    last.map(row_position).transpose()
}

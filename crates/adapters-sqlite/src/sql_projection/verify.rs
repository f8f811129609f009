//! The read model computed again beside the real one, and compared with it (E-26).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Position, RecordedEvent};
use highwater_core::policy::{Class, Classifier};
use highwater_core::ports::{ApplySlice, EventLog, Limit};
use highwater_core::sql::{NotApplied, SqlProblems, SqlProjectionDef, VerifyReport};
use rusqlite::{Connection, OpenFlags};

use crate::classify::SqliteClassifier;
use crate::error::sqlite_error;

use super::columns::{Columns, check_ignore};
use super::compare::compare;
use super::projection::SqlProjection;
use super::scratch::Scratch;

/// How much is read and applied at a time.
const LIMIT: Limit = Limit { events: 5_000, bytes: 8 * 1024 * 1024 };

/// Computes a projection's read model again and compares it with the one in the store.
///
/// The events in `(after, through]` are applied, without those at the positions in `skip` (parked, held,
/// recorded and skipped ones), in a scratch database beside the store, which is removed afterwards. `through`
/// is the scanned bound of the state, and as there `None` means that nothing was looked at; `after` is where
/// the projection was started from. The store is read in one transaction; the projection must not run
/// meanwhile (pause it), or it will be ahead of `through`. `ignore` names columns that are not compared:
/// `column` or `table.column`.
///
/// Dropping the future ends the work after the batch in hand.
///
/// # Errors
/// When the log, the store or the scratch database cannot be used, or `ignore` names no column.
pub async fn verify(
    def: &SqlProjectionDef,
    store_path: &Path,
    log: &dyn EventLog,
    after: Option<Position>,
    through: Option<Position>,
    skip: &BTreeSet<Position>,
    ignore: &[String],
) -> Result<VerifyReport, Error> {
    let beside = SqlProjectionDef { log_in_store: false, ..def.clone() };
    let projection = SqlProjection::new(beside)
        .map_err(|problems| Error::new(ErrorKind::Invalid, "read SQL").because(SqlProblems(problems)))?;
    let mut work = Work { projection, scratch: Scratch::beside(store_path)?, not_applied: Vec::new() };
    work = work
        .run(|projection, scratch, _| {
            scratch.bracketed(TRANSACTION, |conn| {
                projection.setup_on(conn)?;
                projection.check_on(conn)
            })
        })
        .await?;
    let mut events = 0_u64;
    if let Some(through) = through {
        let mut reader = log.open(after, work.projection.filter()).await?;
        loop {
            let batch = reader.next(LIMIT).await?;
            let done = batch.caught_up || batch.scanned.is_some_and(|scanned| scanned >= through);
            let wanted: Vec<RecordedEvent> = batch
                .events
                .into_iter()
                .filter(|event| event.position() <= through && !skip.contains(&event.position()))
                .collect();
            events += u64::try_from(wanted.len()).unwrap_or(u64::MAX);
            if !wanted.is_empty() {
                work = work
                    .run(move |projection, scratch, left_out| apply(projection, scratch, &wanted, left_out))
                    .await?;
            }
            if done {
                break;
            }
        }
    }
    let (store, ignore) = (store_path.to_owned(), ignore.to_owned());
    blocking(move || work.compare_with(store, &ignore, events)).await
}

const TRANSACTION: [&str; 3] = ["BEGIN", "COMMIT", "ROLLBACK"];

/// What goes to the blocking thread and comes back.
struct Work {
    projection: SqlProjection,
    scratch: Scratch,
    not_applied: Vec<NotApplied>,
}

impl Work {
    async fn run(
        mut self,
        job: impl FnOnce(&SqlProjection, &Scratch, &mut Vec<NotApplied>) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        blocking(move || job(&self.projection, &self.scratch, &mut self.not_applied).map(|()| self)).await
    }

    fn compare_with(self, store: PathBuf, ignore: &[String], events: u64) -> Result<VerifyReport, Error> {
        let failed = |error| sqlite_error("read the store", error).with("file", store.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let found = Connection::open_with_flags(&store, flags).map_err(failed)?;
        // One snapshot for all tables; it ends with the connection.
        found.execute_batch("BEGIN").map_err(failed)?;
        let (expected, tables) = (&self.scratch.conn, self.projection.read_model());
        check_ignore(expected, tables, ignore)?;
        let differences = compare(expected, &found, tables, ignore)?;
        let mut left_out = Vec::new();
        for table in tables {
            if let Some(columns) = Columns::of(expected, table, ignore)? {
                left_out.extend(columns.left_out.iter().map(|column| format!("{table}.{column}")));
            }
        }
        let tables = tables.to_vec();
        let events = events - u64::try_from(self.not_applied.len()).unwrap_or(0);
        Ok(VerifyReport { events, not_applied: self.not_applied, tables, left_out, differences })
    }
}

/// Applies what can be applied, in order. An event that the projection cannot take alone is left out and named:
/// it may have been set aside by the projection, too, and discarded since.
fn apply(
    projection: &SqlProjection,
    scratch: &Scratch,
    events: &[RecordedEvent],
    not_applied: &mut Vec<NotApplied>,
) -> Result<(), Error> {
    let applied = scratch.bracketed(TRANSACTION, |conn| {
        projection.apply_on(conn, ApplySlice::Events { events, contiguous: false })
    });
    let Err(failure) = applied else { return Ok(()) };
    match events {
        [event] => {
            let classifier = Classifier::new().with(Arc::new(SqliteClassifier));
            if classifier.failure(&failure).class != Class::Permanent {
                let kind = failure.source().downcast_ref::<Error>().map_or(ErrorKind::Other, Error::kind);
                return Err(Error::new(kind, "apply an event once more")
                    .with("projection", projection.name())
                    .with("position", event.position())
                    .because(failure.message()));
            }
            not_applied.push(NotApplied { position: event.position(), message: failure.message() });
            Ok(())
        }
        _ => {
            let middle = match failure.index() {
                Some(0) | None => events.len() / 2,
                Some(culprit) => culprit.min(events.len() - 1),
            };
            let (first, rest) = events.split_at(middle.max(1));
            apply(projection, scratch, first, not_applied)?;
            apply(projection, scratch, rest, not_applied)
        }
    }
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(job)
        .await
        .map_err(|error| Error::new(ErrorKind::Other, "work in a scratch database").because(error))?
}

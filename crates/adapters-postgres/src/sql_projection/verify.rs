//! The read model computed again beside the real one, and compared with it (E-26).

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Position, RecordedEvent};
use highwater_core::policy::{Class, Classifier};
use highwater_core::ports::{EventLog, Limit};
use highwater_core::sql::{NotApplied, SqlProjectionDef, TableDifference, VerifyReport};

use crate::classify::PgClassifier;
use crate::database::Database;

use super::columns::{Columns, check_ignore};
use super::compare::compare;
use super::scratch::Scratch;

/// How much is read and applied at a time.
const LIMIT: Limit = Limit { events: 5_000, bytes: 8 * 1024 * 1024 };

/// Computes a projection's read model again and compares it with the one in the store.
///
/// The events in `(after, through]` are applied, without those at the positions in `skip` (parked, held, recorded
/// and skipped ones), to temporary tables of a session of its own, which takes one connection beside the pool's.
/// `through` is the scanned bound of the state, and as there `None` means that nothing was looked at; `after` is
/// where the projection was started from. The real tables are read in one transaction; the projection must not run
/// meanwhile (pause it), or it will be ahead of `through`. `ignore` names columns that are not compared: `column`
/// or `table.column`.
///
/// Dropping the future ends the work; nothing stays behind.
///
/// # Errors
/// When the log or the store cannot be used, `Unsupported` where the SQL names its tables so that no others can take
/// their place, `Invalid` if `ignore` names no column.
pub async fn verify(
    def: &SqlProjectionDef,
    database: &Database,
    log: &dyn EventLog,
    after: Option<Position>,
    through: Option<Position>,
    skip: &BTreeSet<Position>,
    ignore: &[String],
) -> Result<VerifyReport, Error> {
    let mut scratch = Scratch::open(def, database).await?;
    let mut not_applied = Vec::new();
    let mut events = 0_u64;
    if let Some(through) = through {
        let mut reader = log.open(after, scratch.projection.filter()).await?;
        loop {
            let batch = reader.next(LIMIT).await?;
            let done = batch.caught_up || batch.scanned.is_some_and(|scanned| scanned >= through);
            let wanted: Vec<RecordedEvent> = batch
                .events
                .into_iter()
                .filter(|event| event.position() <= through && !skip.contains(&event.position()))
                .collect();
            events += u64::try_from(wanted.len()).unwrap_or(u64::MAX);
            apply(&mut scratch, &wanted, &mut not_applied).await?;
            if done {
                break;
            }
        }
    }
    events = events.saturating_sub(u64::try_from(not_applied.len()).unwrap_or(u64::MAX));
    scratch.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let mut tables = Vec::new();
    for table in &scratch.tables {
        let columns = Columns::of(&mut scratch.connection, &table.scratch, &table.name, ignore).await?;
        tables.push((table.name.clone(), columns));
    }
    check_ignore(&tables, ignore)?;
    let mut differences = Vec::new();
    let mut left_out = Vec::new();
    for (table, (name, expected)) in scratch.tables.iter().zip(&tables) {
        left_out.extend(expected.left_out.iter().map(|column| format!("{name}.{column}")));
        let Some(real) = &table.real else {
            differences.push(TableDifference::Missing { table: name.clone(), expected: true });
            continue;
        };
        let found = Columns::of(&mut scratch.connection, real, name, ignore).await?;
        let sides = ((table.scratch.as_str(), expected), (real.as_str(), &found));
        differences.extend(compare(&mut scratch.connection, name, sides.0, sides.1).await?);
    }
    scratch.run("COMMIT").await?;
    scratch.close().await?;
    let tables = tables.into_iter().map(|(name, _)| name).collect();
    Ok(VerifyReport { events, not_applied, tables, left_out, differences })
}

/// Applies what can be applied, in order. An event that the projection cannot take alone is left out and named: it
/// may have been set aside by the projection, too, and discarded since.
async fn apply(
    scratch: &mut Scratch,
    events: &[RecordedEvent],
    not_applied: &mut Vec<NotApplied>,
) -> Result<(), Error> {
    let mut pending = vec![events];
    while let Some(slice) = pending.pop() {
        let Err(failure) = scratch.apply(slice).await else { continue };
        if let [event] = slice {
            let classifier = Classifier::new().with(Arc::new(PgClassifier));
            if classifier.failure(&failure).class != Class::Permanent {
                let kind = failure.source().downcast_ref::<Error>().map_or(ErrorKind::Other, Error::kind);
                return Err(Error::new(kind, "apply an event once more")
                    .with("projection", scratch.projection.name())
                    .with("position", event.position())
                    .because(failure.message()));
            }
            not_applied.push(NotApplied { position: event.position(), message: failure.message() });
            continue;
        }
        let middle = match failure.index() {
            Some(0) | None => slice.len() / 2,
            Some(culprit) => culprit.min(slice.len() - 1),
        };
        let (first, rest) = slice.split_at(middle.max(1));
        pending.extend([rest, first]);
    }
    Ok(())
}

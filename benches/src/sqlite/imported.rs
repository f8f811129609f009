//! What must be in the log after an import: the same events, whatever places they got.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use anyhow::ensure;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::sqlite::baseline;
use crate::sqlite::copies::fresh_copy;
use crate::sqlite::work::{Import, Work};

const EVENTS: &str =
    "SELECT id, stream, category, sequence, type, time, data, metadata FROM highwater_event ORDER BY id";

/// All events of a log, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    events: u32,
    hash: u64,
}

/// What the plain loop makes of the file.
pub(crate) fn expected(work: &Work, import: &Import) -> anyhow::Result<Digest> {
    let run = tempfile::tempdir_in(work.folder())?;
    let database = fresh_copy(&work.empty.file, run.path())?;
    baseline::import(&database, &import.file)?;
    let digest = digest(&database)?;
    ensure!(
        digest.events == import.lines,
        "the plain loop imported {} of {} lines",
        digest.events,
        import.lines
    );
    Ok(digest)
}

/// Compares the log in `database`.
///
/// # Errors
/// When another number of events, or another event, is in it.
pub(crate) fn check(database: &Path, expected: Digest) -> anyhow::Result<()> {
    let found = digest(database)?;
    ensure!(
        found.events == expected.events,
        "the log has {} events instead of {}",
        found.events,
        expected.events
    );
    ensure!(found == expected, "the log has as many events as it must, but not the same ones");
    Ok(())
}

fn digest(database: &Path) -> anyhow::Result<Digest> {
    let conn = Connection::open(database)?;
    let mut statement = conn.prepare(EVENTS)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut hasher = DefaultHasher::new();
    let mut events = 0;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            match row.get_ref(column)? {
                ValueRef::Integer(number) => number.hash(&mut hasher),
                ValueRef::Text(text) => ('t', text).hash(&mut hasher),
                ValueRef::Blob(bytes) => ('b', bytes).hash(&mut hasher),
                other => anyhow::bail!("an event has a column with {other:?}"),
            }
        }
        events += 1;
    }
    Ok(Digest { events, hash: hasher.finish() })
}

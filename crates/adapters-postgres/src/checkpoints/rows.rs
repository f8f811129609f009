//! What goes out and comes back, column by column.

use sqlx::postgres::PgRow;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Advance, Checkpoint, Position};

use crate::columns::Columns;

const MAX_KEY_BYTES: usize = 1024;
/// What [`checkpoint_in`] reads.
pub(super) const CHECKPOINT: &str =
    "\"commit\"::text, \"prepare\"::text, (extract(epoch FROM updated_at) * 1000000)::bigint";

pub(super) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(Error::new(ErrorKind::Invalid, "use a checkpoint")
            .with("bytes", key.len())
            .because(format!("a key has 1 to {MAX_KEY_BYTES} bytes of UTF-8")));
    }
    Ok(())
}

pub(super) fn no_answer(operation: &'static str, key: &str) -> Error {
    Error::new(ErrorKind::Corrupt, operation)
        .with("key", key)
        .because("the server has not answered for each key")
}

pub(super) fn checkpoint_in(columns: &mut Columns<'_>) -> Result<Checkpoint, Error> {
    Ok(Checkpoint { position: columns.position()?, updated_at_micros: columns.take()? })
}

/// Whether it was applied, and what is stored.
pub(super) fn advance_in(columns: &mut Columns<'_>, key: &str, to: Position) -> Result<Advance, Error> {
    if columns.take()? {
        return Ok(Advance::Applied);
    }
    let current = columns.position().map_err(|error| error.with("key", key))?;
    Ok(if current == to { Advance::Unchanged } else { Advance::Stale { current } })
}

/// One answer for each entry, of rows in the order of the entries.
pub(super) fn each<'e, E, A>(
    rows: &[PgRow],
    entries: &'e [E],
    operation: &'static str,
    key_of: impl Fn(&'e E) -> &'e str,
    answer: impl Fn(&mut Columns<'_>, &'e E) -> Result<A, Error>,
) -> Result<Vec<A>, Error> {
    if rows.len() != entries.len() {
        return Err(no_answer(operation, entries.first().map(key_of).unwrap_or_default()));
    }
    let answers = rows.iter().zip(entries);
    answers.map(|(row, entry)| answer(&mut Columns::from(row, 0, operation), entry)).collect()
}

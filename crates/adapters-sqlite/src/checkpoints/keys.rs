//! What is known of each key beside its checkpoint.
//!
//! Every change is made in one transaction with that of the checkpoint, and writers take turns: so what is read
//! here holds until the end of the transaction.

use rusqlite::{Connection, OptionalExtension, Row};

use highwater_core::error::Error;

use crate::error::{During, corrupt};
use crate::number::Unsigned;
use crate::prefix::end_of;

const READ: &str = "read the owner of a checkpoint";
const WRITE: &str = "change the owner of a checkpoint";
const REMOVE: &str = "delete a checkpoint";
/// Also keys that have a checkpoint and nothing else, which nobody of us has written.
const IN_RANGE: &str = "key >= ?1 AND (?2 IS NULL OR key < ?2)";

/// A key.
pub(super) struct Known {
    /// Whether there ever was a checkpoint.
    pub(super) stored: bool,
    /// Whose it is, and until when, in microseconds since 1970.
    pub(super) held: Option<(String, i64)>,
    pub(super) epoch: u64,
    pub(super) generation: u64,
}

impl Known {
    fn new() -> Self {
        Self { stored: false, held: None, epoch: 0, generation: 0 }
    }

    fn from(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (owner, until): (Option<String>, Option<i64>) = (row.get(1)?, row.get(2)?);
        let (Unsigned(epoch), Unsigned(generation)) = (row.get(3)?, row.get(4)?);
        Ok(Self { stored: row.get(0)?, held: owner.zip(until), epoch, generation })
    }
}

pub(super) fn read(conn: &Connection, key: &str) -> Result<Option<Known>, Error> {
    conn.prepare_cached(
        "SELECT stored, owner, lease_until, epoch, generation FROM highwater_checkpoint_key WHERE key = ?1",
    )
    .and_then(|mut select| select.query_row([key], Known::from).optional())
    .during(READ)
    .map_err(|error| error.with("key", key))
}

/// There is a checkpoint from now on.
pub(super) fn stored(conn: &Connection, key: &str) -> Result<(), Error> {
    conn.prepare_cached(
        "INSERT INTO highwater_checkpoint_key (key, stored, epoch, generation) VALUES (?1, 1, 0, 0)
         ON CONFLICT (key) DO UPDATE SET stored = 1",
    )
    .and_then(|mut upsert| upsert.execute([key]))
    .during(WRITE)?;
    Ok(())
}

/// Gives the key to an owner; answers its epoch and the generation.
pub(super) fn give(
    conn: &Connection,
    key: &str,
    known: Option<Known>,
    owner: &str,
    until: i64,
) -> Result<(u64, u64), Error> {
    let mut known = known.unwrap_or_else(Known::new);
    known.epoch = one_more(known.epoch)?;
    known.held = Some((owner.to_owned(), until));
    write(conn, key, &known)?;
    Ok((known.epoch, known.generation))
}

/// Ends the ownership, as an operator: whoever owned it has to claim again.
pub(super) fn reset(conn: &Connection, key: &str) -> Result<(), Error> {
    let known = read(conn, key)?.unwrap_or_else(Known::new);
    let known = Known {
        stored: true,
        held: None,
        epoch: one_more(known.epoch)?,
        generation: one_more(known.generation)?,
    };
    write(conn, key, &known)
}

fn one_more(number: u64) -> Result<u64, Error> {
    number.checked_add(1).ok_or_else(|| corrupt(WRITE, "its epoch or generation is as great as can be"))
}

fn write(conn: &Connection, key: &str, known: &Known) -> Result<(), Error> {
    let (owner, until) = known.held.as_ref().map(|(owner, until)| (owner, until)).unzip();
    conn.prepare_cached(
        "INSERT INTO highwater_checkpoint_key (key, stored, owner, lease_until, epoch, generation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (key) DO UPDATE SET
             stored = excluded.stored, owner = excluded.owner, lease_until = excluded.lease_until,
             epoch = excluded.epoch, generation = excluded.generation",
    )
    .and_then(|mut upsert| {
        let (epoch, generation) = (Unsigned(known.epoch), Unsigned(known.generation));
        upsert.execute((key, known.stored, owner, until, epoch, generation))
    })
    .during(WRITE)?;
    Ok(())
}

/// Renews the lease; says whether the key is this owner's.
pub(super) fn renew(
    conn: &Connection,
    key: &str,
    owner: &str,
    epoch: u64,
    until: i64,
) -> Result<bool, Error> {
    let renewed = conn
        .prepare_cached(
            "UPDATE highwater_checkpoint_key SET lease_until = ?4 WHERE key = ?1 AND owner = ?2 AND epoch = ?3",
        )
        .and_then(|mut update| update.execute((key, owner, Unsigned(epoch), until)))
        .during(WRITE)?;
    Ok(renewed > 0)
}

/// Gives the key back; says whether it was this owner's.
pub(super) fn release(conn: &Connection, key: &str, owner: &str, epoch: u64) -> Result<bool, Error> {
    let released = conn
        .execute(
            "UPDATE highwater_checkpoint_key SET owner = NULL, lease_until = NULL
             WHERE key = ?1 AND owner = ?2 AND epoch = ?3",
            (key, owner, Unsigned(epoch)),
        )
        .during(WRITE)?;
    Ok(released > 0)
}

/// Removes all that is known of a key, its checkpoint included; says whether there was anything.
pub(super) fn remove(conn: &Connection, key: &str) -> Result<bool, Error> {
    let checkpoints =
        conn.execute("DELETE FROM highwater_checkpoint WHERE key = ?1", [key]).during(REMOVE)?;
    let keys = conn.execute("DELETE FROM highwater_checkpoint_key WHERE key = ?1", [key]).during(REMOVE)?;
    Ok(checkpoints + keys > 0)
}

/// How many keys begin with the prefix.
pub(super) fn count(conn: &Connection, prefix: &str, operation: &'static str) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT key FROM highwater_checkpoint WHERE {IN_RANGE}
             UNION SELECT key FROM highwater_checkpoint_key WHERE {IN_RANGE})"
    );
    let count: i64 = conn.query_row(&sql, (prefix, end_of(prefix)), |row| row.get(0)).during(operation)?;
    Ok(count.unsigned_abs())
}

/// Removes all keys that begin with the prefix; answers how many there were.
pub(super) fn clear(conn: &Connection, prefix: &str, operation: &'static str) -> Result<u64, Error> {
    let found = count(conn, prefix, operation)?;
    for table in ["highwater_checkpoint", "highwater_checkpoint_key"] {
        conn.execute(&format!("DELETE FROM {table} WHERE {IN_RANGE}"), (prefix, end_of(prefix)))
            .during(operation)?;
    }
    Ok(found)
}

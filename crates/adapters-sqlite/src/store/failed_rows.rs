//! Failed events and dead letters as rows.

use bytes::Bytes;
use rusqlite::{Connection, Params, Row, named_params};
use uuid::Uuid;

use highwater_core::error::Error;
use highwater_core::model::{
    DeadLetter, EventParts, FailedEvent, FailedState, Position, ProjectionKey, ProjectionName, RecordedEvent,
};

use crate::error::{During, corrupt};
use crate::number::{Unsigned, halves, position_in};
use crate::payload;

const READ: &str = "read a failed event";
const COLUMNS: &str = "f.projection, f.version, f.\"partition\", f.position, f.\"offset\", f.generation, \
    f.id, f.stream, f.sequence, f.type, f.state, f.class, f.code, f.message, f.attempts, f.first_failed, \
    f.last_failed, f.next_attempt, f.replay_requested";
const OF_KEY: &str = "projection = ?1 AND version = ?2 AND \"partition\" = ?3";
const AT: &str = "position = ?4 AND \"offset\" = ?5";
const BY_POSITION: &str = "ORDER BY f.position, f.\"offset\"";

type KeyParams<'k> = (&'k str, u32, u32);

fn params(key: &ProjectionKey) -> KeyParams<'_> {
    (key.name.as_str(), key.version, key.partition)
}

/// The event that is tried again, in order.
pub(super) fn first_retrying(conn: &Connection, key: &ProjectionKey) -> Result<Option<FailedEvent>, Error> {
    first(conn, &format!("{OF_KEY} AND state = 'retrying'"), params(key))
}

/// The first event that an operator wants to be tried again; retrying ones are tried anyway.
pub(super) fn first_replay(conn: &Connection, key: &ProjectionKey) -> Result<Option<FailedEvent>, Error> {
    first(conn, &format!("{OF_KEY} AND replay_requested = 1 AND state <> 'retrying'"), params(key))
}

fn first(conn: &Connection, condition: &str, params: impl Params) -> Result<Option<FailedEvent>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM highwater_failed_event f WHERE {condition} {BY_POSITION} LIMIT 1");
    Ok(select(conn, &sql, params, failed_of)?.pop())
}

/// Failed events in the order that the statement gives; its columns are [`COLUMNS`].
pub(super) fn list(
    conn: &Connection,
    condition: &str,
    order: &str,
    params: impl Params,
) -> Result<Vec<FailedEvent>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM highwater_failed_event f WHERE {condition} {order}");
    select(conn, &sql, params, failed_of)
}

fn select<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut select = conn.prepare_cached(sql).during(READ)?;
    let mut rows = select.query(params).during(READ)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().during(READ)? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn failed_of(row: &Row<'_>) -> Result<FailedEvent, Error> {
    let broken = |cause: highwater_core::BoxError| corrupt(READ, cause);
    let name: String = row.get(0).during(READ)?;
    let name = ProjectionName::new(&name).map_err(|error| broken(error.into()))?;
    let state: String = row.get(10).during(READ)?;
    let class: String = row.get(11).during(READ)?;
    let (state, class) = (state.parse().map_err(|error: String| broken(error.into()))?, class.parse());
    let class = class.map_err(|error: String| broken(error.into()))?;
    let read = || -> rusqlite::Result<FailedEvent> {
        Ok(FailedEvent {
            key: ProjectionKey { name: name.clone(), version: row.get(1)?, partition: row.get(2)? },
            generation: row.get::<_, Unsigned>(5)?.0,
            position: position_in(row, 3)?,
            id: Uuid::from_bytes(row.get(6)?),
            stream: row.get::<_, String>(7)?.into(),
            sequence: row.get::<_, Unsigned>(8)?.0,
            event_type: row.get::<_, String>(9)?.into(),
            state,
            class,
            code: row.get(12)?,
            message: row.get(13)?,
            attempts: row.get(14)?,
            first_failed_micros: row.get(15)?,
            last_failed_micros: row.get(16)?,
            next_attempt_micros: row.get(17)?,
            replay_requested: row.get(18)?,
        })
    };
    read().map_err(|cause| broken(cause.into()).with("projection", &name))
}

/// Streams with a parked or held event.
pub(super) fn parked_streams(conn: &Connection, key: &ProjectionKey) -> Result<Vec<String>, Error> {
    let sql = format!(
        "SELECT DISTINCT stream FROM highwater_failed_event \
         WHERE {OF_KEY} AND state IN ('parked', 'held') ORDER BY stream"
    );
    select(conn, &sql, params(key), |row| row.get(0).during(READ))
}

/// How many are parked, held or recorded.
pub(super) fn count_open(conn: &Connection, key: &ProjectionKey) -> Result<u64, Error> {
    let sql = format!("SELECT count(*) FROM highwater_failed_event WHERE {OF_KEY} AND state <> 'retrying'");
    let mut counts = select(conn, &sql, params(key), |row| row.get::<_, i64>(0).during(READ))?;
    Ok(counts.pop().unwrap_or(0).unsigned_abs())
}

/// Writes the row in place of what is there. The letter is replaced by a new one; without one it goes, unless
/// the event stays set aside: then what is kept of it is all that there is.
pub(super) fn record(
    conn: &Connection,
    failed: &FailedEvent,
    letter: Option<&DeadLetter>,
) -> Result<(), Error> {
    const RECORD: &str = "record a failed event";
    let write = || -> rusqlite::Result<()> {
        let (position, offset) = halves(failed.position);
        conn.prepare_cached(
            "INSERT OR REPLACE INTO highwater_failed_event VALUES (:projection, :version, :partition, \
                 :position, :offset, :generation, :id, :stream, :sequence, :type, :state, :class, :code, \
                 :message, :attempts, :first_failed, :last_failed, :next_attempt, :replay_requested)",
        )?
        .execute(named_params! {
            ":projection": failed.key.name.as_str(),
            ":version": failed.key.version,
            ":partition": failed.key.partition,
            ":position": position,
            ":offset": offset,
            ":generation": Unsigned(failed.generation),
            ":id": failed.id.into_bytes(),
            ":stream": &*failed.stream,
            ":sequence": Unsigned(failed.sequence),
            ":type": &*failed.event_type,
            ":state": failed.state.as_str(),
            ":class": failed.class.as_str(),
            ":code": failed.code,
            ":message": failed.message,
            ":attempts": failed.attempts,
            ":first_failed": failed.first_failed_micros,
            ":last_failed": failed.last_failed_micros,
            ":next_attempt": failed.next_attempt_micros,
            ":replay_requested": failed.replay_requested,
        })?;
        match (letter, failed.state) {
            (Some(letter), _) => write_letter(conn, failed, &letter.event),
            (None, FailedState::Parked | FailedState::Held) => Ok(()),
            (None, FailedState::Retrying | FailedState::Recorded) => {
                delete_at(conn, "highwater_dead_letter", &failed.key, failed.position)
            }
        }
    };
    write().during(RECORD)
}

fn write_letter(conn: &Connection, failed: &FailedEvent, event: &RecordedEvent) -> rusqlite::Result<()> {
    let (position, offset) = halves(failed.position);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO highwater_dead_letter (projection, version, \"partition\", position, \
             \"offset\", category, time, content_type, data, metadata) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute((
        failed.key.name.as_str(),
        failed.key.version,
        failed.key.partition,
        position,
        offset,
        event.category(),
        event.time_micros(),
        payload::word(event.content_type()),
        event.data(),
        event.metadata(),
    ))?;
    Ok(())
}

/// The letter of the event at this position.
pub(super) fn letter(
    conn: &Connection,
    key: &ProjectionKey,
    at: Position,
) -> Result<Option<DeadLetter>, Error> {
    let (name, version, partition) = params(key);
    let (position, offset) = halves(at);
    let condition = "f.projection = ?1 AND f.version = ?2 AND f.\"partition\" = ?3 AND f.position = ?4 \
         AND f.\"offset\" = ?5";
    letter_where(conn, condition, (name, version, partition, position, offset))
}

/// The first parked or held event of the stream.
pub(super) fn first_of_stream(
    conn: &Connection,
    key: &ProjectionKey,
    stream: &str,
) -> Result<Option<DeadLetter>, Error> {
    let (name, version, partition) = params(key);
    let condition = format!(
        "f.projection = ?1 AND f.version = ?2 AND f.\"partition\" = ?3 AND f.stream = ?4 \
         AND f.state IN ('parked', 'held') {BY_POSITION}"
    );
    letter_where(conn, &condition, (name, version, partition, stream))
}

fn letter_where(
    conn: &Connection,
    condition: &str,
    params: impl Params,
) -> Result<Option<DeadLetter>, Error> {
    let sql = format!(
        "SELECT {COLUMNS}, l.category, l.time, l.content_type, l.data, l.metadata \
         FROM highwater_failed_event f JOIN highwater_dead_letter l \
             USING (projection, version, \"partition\", position, \"offset\") \
         WHERE {condition} LIMIT 1"
    );
    Ok(select(conn, &sql, params, letter_of)?.pop())
}

fn letter_of(row: &Row<'_>) -> Result<DeadLetter, Error> {
    let failed = failed_of(row)?;
    let word: String = row.get(21).during(READ)?;
    let content_type =
        payload::from_word(&word).ok_or_else(|| corrupt(READ, format!("`{word}` is no content type")))?;
    let read = || -> rusqlite::Result<EventParts> {
        Ok(EventParts {
            position: failed.position,
            id: failed.id,
            stream: failed.stream.clone(),
            category: row.get::<_, String>(19)?.into(),
            sequence: failed.sequence,
            event_type: failed.event_type.clone(),
            time_micros: row.get(20)?,
            content_type,
            data: Bytes::from(row.get::<_, Vec<u8>>(22)?),
            metadata: Bytes::from(row.get::<_, Vec<u8>>(23)?),
        })
    };
    let event = RecordedEvent::new(read().during(READ)?);
    Ok(DeadLetter { failed, event })
}

/// Removes row and letter.
pub(super) fn resolve(conn: &Connection, key: &ProjectionKey, at: Position) -> Result<(), Error> {
    ["highwater_failed_event", "highwater_dead_letter"]
        .into_iter()
        .try_for_each(|table| delete_at(conn, table, key, at))
        .during("resolve a failed event")
}

fn delete_at(conn: &Connection, table: &str, key: &ProjectionKey, at: Position) -> rusqlite::Result<()> {
    let (name, version, partition) = params(key);
    let (position, offset) = halves(at);
    conn.prepare_cached(&format!("DELETE FROM {table} WHERE {OF_KEY} AND {AT}"))?
        .execute((name, version, partition, position, offset))
        .map(|_| ())
}

/// Removes all rows and letters of a projection.
pub(super) fn clear(conn: &Connection, key: &ProjectionKey) -> Result<(), Error> {
    ["highwater_failed_event", "highwater_dead_letter"]
        .into_iter()
        .try_for_each(|table| {
            let sql = format!("DELETE FROM {table} WHERE {OF_KEY}");
            conn.prepare_cached(&sql)?.execute(params(key)).map(|_| ())
        })
        .during("clear failed events")
}

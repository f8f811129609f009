//! A projection's state as a row.

use rusqlite::{Connection, ErrorCode, Row, named_params};
use uuid::Uuid;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{LastEvent, ProjectionKey, ProjectionName, ProjectionState};

use crate::error::{During, corrupt, sqlite_error};
use crate::number::{Unsigned, maybe_halves, maybe_position_in};

const READ: &str = "read a projection's state";
const SELECT: &str = "SELECT name, version, \"partition\", generation, position, position_offset, stream, \
    category, sequence, event_id, event_time, scanned, scanned_offset, filter_fingerprint, sql_fingerprint, \
    epoch, paused, crashes, stopped_cleanly, claimed, claimed_offset, updated_at, fault \
    FROM highwater_projection";

/// The row of `key`.
pub(super) fn read(conn: &Connection, key: &ProjectionKey) -> Result<Option<ProjectionState>, Error> {
    let sql = format!("{SELECT} WHERE name = ?1 AND version = ?2 AND \"partition\" = ?3");
    let mut select = conn.prepare_cached(&sql).during(READ)?;
    let mut rows = select.query((key.name.as_str(), key.version, key.partition)).during(READ)?;
    rows.next().during(READ)?.map(state_of).transpose()
}

/// All rows, by name, version and partition.
pub(super) fn read_all(conn: &Connection) -> Result<Vec<ProjectionState>, Error> {
    read_many(conn, "true", [])
}

/// The rows of a projection, by version and partition.
pub(super) fn read_named(conn: &Connection, name: &ProjectionName) -> Result<Vec<ProjectionState>, Error> {
    read_many(conn, "name = ?1", [name.as_str()])
}

fn read_many(
    conn: &Connection,
    condition: &str,
    params: impl rusqlite::Params,
) -> Result<Vec<ProjectionState>, Error> {
    let sql = format!("{SELECT} WHERE {condition} ORDER BY name, version, \"partition\"");
    let mut select = conn.prepare_cached(&sql).during(READ)?;
    let mut rows = select.query(params).during(READ)?;
    let mut states = Vec::new();
    while let Some(row) = rows.next().during(READ)? {
        states.push(state_of(row)?);
    }
    Ok(states)
}

fn state_of(row: &Row<'_>) -> Result<ProjectionState, Error> {
    let name: String = row.get(0).during(READ)?;
    let key_of = || -> rusqlite::Result<(u32, u32)> { Ok((row.get(1)?, row.get(2)?)) };
    let (version, partition) = key_of().during(READ)?;
    let checked = ProjectionName::new(&name).map_err(|error| corrupt(READ, error))?;
    let key = ProjectionKey { name: checked, version, partition };
    fields(row, &key).map_err(|cause| corrupt(READ, cause).with("projection", &key))
}

fn fields(row: &Row<'_>, key: &ProjectionKey) -> rusqlite::Result<ProjectionState> {
    let last = match maybe_position_in(row, 4)? {
        None => None,
        Some(position) => Some(LastEvent {
            position,
            stream: row.get::<_, String>(6)?.into(),
            category: row.get::<_, String>(7)?.into(),
            sequence: row.get::<_, Unsigned>(8)?.0,
            id: Uuid::from_bytes(row.get(9)?),
            time_micros: row.get(10)?,
        }),
    };
    Ok(ProjectionState {
        key: key.clone(),
        generation: row.get::<_, Unsigned>(3)?.0,
        last,
        scanned: maybe_position_in(row, 11)?,
        filter_fingerprint: row.get(13)?,
        sql_fingerprint: row.get(14)?,
        epoch: row.get::<_, Unsigned>(15)?.0,
        paused: row.get(16)?,
        crashes: row.get(17)?,
        stopped_cleanly: row.get(18)?,
        claimed_at: maybe_position_in(row, 19)?,
        updated_at_micros: row.get(21)?,
        fault: row.get(22)?,
    })
}

/// Writes a new row.
pub(super) fn create(conn: &Connection, state: &ProjectionState) -> Result<(), Error> {
    const CREATE: &str = "create a projection's state";
    let (scanned, scanned_offset) = maybe_halves(state.scanned);
    let inserted = conn
        .prepare_cached(
            "INSERT INTO highwater_projection (name, version, \"partition\", generation, epoch, scanned, \
                 scanned_offset, filter_fingerprint, sql_fingerprint, paused, crashes, stopped_cleanly, \
                 updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '', '', 0, 0, 0, 0)",
        )
        .and_then(|mut insert| {
            insert.execute((
                state.key.name.as_str(),
                state.key.version,
                state.key.partition,
                Unsigned(state.generation),
                Unsigned(state.epoch),
                scanned,
                scanned_offset,
            ))
        })
        // What the move sets need not be listed twice.
        .and_then(|_| advance(conn, state, state));
    match inserted {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(Error::new(ErrorKind::AlreadyExists, CREATE).with("projection", &state.key))
        }
        Err(error) => Err(sqlite_error(CREATE, error)),
    }
}

/// Removes the row of `key`.
pub(super) fn remove(conn: &Connection, key: &ProjectionKey) -> Result<(), Error> {
    const REMOVE: &str = "remove a projection's state";
    let removed = conn
        .prepare_cached(
            "DELETE FROM highwater_projection WHERE name = ?1 AND version = ?2 AND \"partition\" = ?3",
        )
        .and_then(|mut delete| delete.execute((key.name.as_str(), key.version, key.partition)))
        .during(REMOVE)?;
    if removed == 0 {
        return Err(Error::new(ErrorKind::NotFound, REMOVE).with("projection", key));
    }
    Ok(())
}

/// Moves the row from `from` to `to`; says whether it was as it was read (E-12).
pub(super) fn advance(
    conn: &Connection,
    from: &ProjectionState,
    to: &ProjectionState,
) -> rusqlite::Result<bool> {
    let moved = write(
        conn,
        "UPDATE highwater_projection SET generation = :generation, position = :position, \
             position_offset = :position_offset, stream = :stream, category = :category, \
             sequence = :sequence, event_id = :event_id, event_time = :event_time, scanned = :scanned, \
             scanned_offset = :scanned_offset, \
             filter_fingerprint = :filter_fingerprint, sql_fingerprint = :sql_fingerprint, epoch = :epoch, \
             paused = :paused, crashes = :crashes, stopped_cleanly = :stopped_cleanly, claimed = :claimed, \
             claimed_offset = :claimed_offset, fault = :fault, updated_at = :updated_at \
         WHERE name = :name AND version = :version AND \"partition\" = :partition AND epoch = :read_epoch \
             AND generation = :read_generation AND scanned IS :read_scanned \
             AND scanned_offset IS :read_scanned_offset",
        from,
        to,
    )?;
    Ok(moved > 0)
}

fn write(
    conn: &Connection,
    sql: &str,
    from: &ProjectionState,
    to: &ProjectionState,
) -> rusqlite::Result<usize> {
    let last = to.last.as_ref();
    let (position, position_offset) = maybe_halves(last.map(|last| last.position));
    let (scanned, scanned_offset) = maybe_halves(to.scanned);
    let (claimed, claimed_offset) = maybe_halves(to.claimed_at);
    let (read_scanned, read_scanned_offset) = maybe_halves(from.scanned);
    conn.prepare_cached(sql)?.execute(named_params! {
        ":name": from.key.name.as_str(),
        ":version": from.key.version,
        ":partition": from.key.partition,
        ":generation": Unsigned(to.generation),
        ":position": position,
        ":position_offset": position_offset,
        ":stream": last.map(|last| &*last.stream),
        ":category": last.map(|last| &*last.category),
        ":sequence": last.map(|last| Unsigned(last.sequence)),
        ":event_id": last.map(|last| last.id.into_bytes()),
        ":event_time": last.map(|last| last.time_micros),
        ":scanned": scanned,
        ":scanned_offset": scanned_offset,
        ":filter_fingerprint": to.filter_fingerprint,
        ":sql_fingerprint": to.sql_fingerprint,
        ":epoch": Unsigned(to.epoch),
        ":paused": to.paused,
        ":crashes": to.crashes,
        ":stopped_cleanly": to.stopped_cleanly,
        ":claimed": claimed,
        ":claimed_offset": claimed_offset,
        ":fault": to.fault,
        ":updated_at": to.updated_at_micros,
        ":read_epoch": Unsigned(from.epoch),
        ":read_generation": Unsigned(from.generation),
        ":read_scanned": read_scanned,
        ":read_scanned_offset": read_scanned_offset,
    })
}

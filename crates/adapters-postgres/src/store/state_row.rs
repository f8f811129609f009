//! A projection's state as a row.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, PgConnection};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{LastEvent, ProjectionKey, ProjectionName, ProjectionState};
use highwater_core::ports::{Acquired, Locked};

use super::failed_rows;
use super::literal::{halves, maybe, plain, text};
use crate::columns::Columns;
use crate::database::Database;
use crate::error::During;
use crate::schema::Schema;

const READ: &str = "read a projection's state";
const LOCK: &str = "lock a projection's state";
/// In the order in which the table has them.
const COLUMNS: [&str; 23] = [
    "name",
    "version",
    "\"partition\"",
    "generation",
    "position",
    "position_offset",
    "stream",
    "category",
    "sequence",
    "event_id",
    "event_time",
    "scanned",
    "scanned_offset",
    "filter_fingerprint",
    "sql_fingerprint",
    "epoch",
    "paused",
    "crashes",
    "stopped_cleanly",
    "claimed",
    "claimed_offset",
    "fault",
    "updated_at",
];
/// How they are read: numbers that the driver does not know as texts.
const AS_TEXT: [&str; 9] = [
    "generation",
    "position",
    "position_offset",
    "sequence",
    "scanned",
    "scanned_offset",
    "epoch",
    "claimed",
    "claimed_offset",
];

/// The select list for a row.
fn select(row: &str) -> String {
    COLUMNS
        .map(|column| {
            let cast = if AS_TEXT.contains(&column) { "::text" } else { "" };
            format!("{row}.{column}{cast}")
        })
        .join(", ")
}

/// The values of [`COLUMNS`].
fn values(state: &ProjectionState) -> [String; COLUMNS.len()] {
    let last = state.last.as_ref();
    let [position, position_offset] = halves(last.map(|last| last.position));
    let [scanned, scanned_offset] = halves(state.scanned);
    let [claimed, claimed_offset] = halves(state.claimed_at);
    [
        text(state.key.name.as_str()),
        plain(state.key.version),
        plain(state.key.partition),
        plain(state.generation),
        position,
        position_offset,
        maybe(last, |last| text(&last.stream)),
        maybe(last, |last| text(&last.category)),
        maybe(last, |last| plain(last.sequence)),
        maybe(last, |last| plain(last.id)),
        maybe(last, |last| plain(last.time_micros)),
        scanned,
        scanned_offset,
        text(&state.filter_fingerprint),
        text(&state.sql_fingerprint),
        plain(state.epoch),
        plain(state.paused),
        plain(state.crashes),
        plain(state.stopped_cleanly),
        claimed,
        claimed_offset,
        maybe(state.fault.as_deref(), text),
        plain(state.updated_at_micros),
    ]
}

fn key_is(key: &ProjectionKey) -> String {
    format!(
        "name = {} AND version = {} AND \"partition\" = {}",
        text(key.name.as_str()),
        plain(key.version),
        plain(key.partition)
    )
}

fn state_of(row: &PgRow, first: usize) -> Result<ProjectionState, Error> {
    let mut columns = Columns::from(row, first, READ);
    let key = failed_rows::key_in(&mut columns)?;
    fields(&mut columns, key.clone()).map_err(|error| error.with("projection", &key))
}

fn fields(columns: &mut Columns<'_>, key: ProjectionKey) -> Result<ProjectionState, Error> {
    let generation = columns.unsigned()?;
    let last = match columns.maybe_position()? {
        None => {
            columns.skip(5);
            None
        }
        Some(position) => Some(LastEvent {
            position,
            stream: columns.text()?.into(),
            category: columns.text()?.into(),
            sequence: columns.unsigned()?,
            id: columns.take()?,
            time_micros: columns.take()?,
        }),
    };
    Ok(ProjectionState {
        key,
        generation,
        last,
        scanned: columns.maybe_position()?,
        filter_fingerprint: columns.text()?,
        sql_fingerprint: columns.text()?,
        epoch: columns.unsigned()?,
        paused: columns.take()?,
        crashes: columns.small()?,
        stopped_cleanly: columns.take()?,
        claimed_at: columns.maybe_position()?,
        fault: columns.maybe_text()?,
        updated_at_micros: columns.take()?,
    })
}

/// Locks the row and reads it with what waits beside it: one statement that waits for nobody. The advisory lock decides
/// nothing: it is what a stand-by finds the transaction by.
pub(super) async fn lock(
    connection: &mut PgConnection,
    database: &Database,
    key: &ProjectionKey,
) -> Result<Locked, Error> {
    let names = database.names();
    let statement = names.sql(&format!(
        "SELECT l.known, l.tagged, {}, {}, {} FROM highwater.lock_state($1, $2, $3, $4) l",
        select("(l.state)"),
        failed_rows::select("(l.retrying)"),
        failed_rows::select("(l.replay)"),
    ));
    let row = sqlx::query(statement.safe())
        .bind(key.name.as_str())
        .bind(i64::from(key.version))
        .bind(i64::from(key.partition))
        .bind(format!("highwater batch {} {key}", names.name()))
        .fetch_one(connection)
        .await
        .during(LOCK)?;
    let mut columns = Columns::from(&row, 0, LOCK);
    let known: bool = columns.take()?;
    match columns.take()? {
        None if known => return Ok(Locked::Busy),
        None => return Ok(Locked::Missing),
        Some(true) => {}
        Some(false) => database.control().note_collision(key),
    }
    let state = state_of(&row, 2)?;
    let failed = |first| -> Result<_, Error> {
        let mut columns = Columns::from(&row, first, LOCK);
        if columns.is_null()? { Ok(None) } else { failed_rows::failed_in(&mut columns).map(Some) }
    };
    let after = 2 + COLUMNS.len();
    let (retrying, replay) = (failed(after)?, failed(after + failed_rows::WIDTH)?);
    Ok(Locked::Acquired(Box::new(Acquired { state, retrying, replay })))
}

/// The rows of a projection, or all there are, by name, version and partition.
pub(super) async fn read(
    connection: &mut PgConnection,
    names: &Schema,
    name: Option<&ProjectionName>,
) -> Result<Vec<ProjectionState>, Error> {
    let statement = names.sql(&format!(
        "SELECT {} FROM highwater.projection s WHERE $1::text IS NULL OR s.name = $1
         ORDER BY s.name, s.version, s.\"partition\"",
        select("s")
    ));
    let rows = sqlx::query(statement.safe())
        .bind(name.map(ProjectionName::as_str))
        .fetch_all(connection)
        .await
        .during(READ)?;
    rows.iter().map(|row| state_of(row, 0)).collect()
}

/// Writes a new row. One that is there is no error for the server: the transaction goes on.
pub(super) async fn create(
    connection: &mut PgConnection,
    names: &Schema,
    state: &ProjectionState,
) -> Result<(), Error> {
    const CREATE: &str = "create a projection's state";
    let insert = format!(
        "INSERT INTO {}.projection ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        names.quoted(),
        COLUMNS.join(", "),
        values(state).join(", ")
    );
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(insert))).await.during(CREATE)?;
    if done.rows_affected() == 0 {
        return Err(Error::new(ErrorKind::AlreadyExists, CREATE).with("projection", &state.key));
    }
    Ok(())
}

/// Deletes a row.
pub(super) async fn remove(
    connection: &mut PgConnection,
    names: &Schema,
    key: &ProjectionKey,
) -> Result<(), Error> {
    const REMOVE: &str = "remove a projection's state";
    let delete = format!("DELETE FROM {}.projection WHERE {}", names.quoted(), key_is(key));
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(delete))).await.during(REMOVE)?;
    if done.rows_affected() == 0 {
        return Err(Error::new(ErrorKind::NotFound, REMOVE).with("projection", key));
    }
    Ok(())
}

/// The statements that move the row from `from` to `to` and commit: the move is confirmed, or the COMMIT is
/// never reached (E-12).
///
/// Our schema is written by its quoted name, since a value may well contain the placeholder of the templates.
pub(super) fn advance(names: &Schema, mark: i64, from: &ProjectionState, to: &ProjectionState) -> String {
    let schema = names.quoted();
    let [scanned, scanned_offset] = halves(from.scanned);
    format!(
        "SELECT {schema}.move_state(ROW({})::{schema}.projection, {}, {}, {scanned}, {scanned_offset}, '{mark}');
         COMMIT AND CHAIN",
        values(to).join(", "),
        plain(from.epoch),
        plain(from.generation),
    )
}

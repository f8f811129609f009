//! Failed events and dead letters as rows.

use bytes::Bytes;
use sqlx::PgConnection;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;

use highwater_core::error::Error;
use highwater_core::model::{
    DeadLetter, EventParts, FailedEvent, FailedState, Position, ProjectionKey, ProjectionName, RecordedEvent,
};

use crate::columns::Columns;
use crate::error::During;
use crate::payload;
use crate::schema::Schema;
use crate::text::escaped;

const READ: &str = "read a failed event";
/// How many columns [`select`] has.
pub(super) const WIDTH: usize = 19;
const OF_KEY: &str = "projection = $1 AND version = $2 AND \"partition\" = $3";
const BY_POSITION: &str = "ORDER BY f.position, f.\"offset\"";

/// The select list for a row.
pub(super) fn select(row: &str) -> String {
    [
        "projection",
        "version",
        "\"partition\"",
        "position::text",
        "\"offset\"::text",
        "generation::text",
        "id",
        "stream",
        "sequence::text",
        "type",
        "state",
        "class",
        "code",
        "message",
        "attempts",
        "first_failed",
        "last_failed",
        "next_attempt",
        "replay_requested",
    ]
    .map(|column| format!("{row}.{column}"))
    .join(", ")
}

/// Name, version and partition.
pub(super) fn key_in(columns: &mut Columns<'_>) -> Result<ProjectionKey, Error> {
    let name: String = columns.take()?;
    let name = ProjectionName::new(&name).map_err(|error| columns.corrupt(error))?;
    Ok(ProjectionKey { name, version: columns.small()?, partition: columns.small()? })
}

/// The columns of [`select`].
pub(super) fn failed_in(columns: &mut Columns<'_>) -> Result<FailedEvent, Error> {
    let key = key_in(columns)?;
    fields(columns, key.clone()).map_err(|error| error.with("projection", &key))
}

fn fields(columns: &mut Columns<'_>, key: ProjectionKey) -> Result<FailedEvent, Error> {
    Ok(FailedEvent {
        key,
        position: columns.position()?,
        generation: columns.unsigned()?,
        id: columns.take()?,
        stream: columns.text()?.into(),
        sequence: columns.unsigned()?,
        event_type: columns.text()?.into(),
        state: columns.take::<String>()?.parse().map_err(|error: String| columns.corrupt(error))?,
        class: columns.take::<String>()?.parse().map_err(|error: String| columns.corrupt(error))?,
        code: columns.maybe_text()?,
        message: columns.text()?,
        attempts: columns.small()?,
        first_failed_micros: columns.take()?,
        last_failed_micros: columns.take()?,
        next_attempt_micros: columns.take()?,
        replay_requested: columns.take()?,
    })
}

fn letter_of(row: &PgRow) -> Result<DeadLetter, Error> {
    let mut columns = Columns::from(row, 0, READ);
    let failed = failed_in(&mut columns)?;
    let event = RecordedEvent::new(EventParts {
        position: failed.position,
        id: failed.id,
        stream: failed.stream.clone(),
        category: columns.text()?.into(),
        sequence: failed.sequence,
        event_type: failed.event_type.clone(),
        time_micros: columns.take()?,
        content_type: payload::from_word(&columns.take::<String>()?)?,
        data: Bytes::from(columns.take::<Vec<u8>>()?),
        metadata: Bytes::from(columns.take::<Vec<u8>>()?),
    });
    Ok(DeadLetter { failed, event })
}

type Bound<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// Binds `$1` to `$3`.
fn of_key<'q>(query: Bound<'q>, key: &'q ProjectionKey) -> Bound<'q> {
    query.bind(key.name.as_str()).bind(i64::from(key.version)).bind(i64::from(key.partition))
}

/// Binds the next two; to be cast to `numeric`.
pub(super) fn at(query: Bound<'_>, position: Position) -> Bound<'_> {
    query.bind(position.commit().to_string()).bind(position.prepare().to_string())
}

/// Streams with a parked or held event.
pub(super) async fn parked_streams(
    connection: &mut PgConnection,
    names: &Schema,
    key: &ProjectionKey,
) -> Result<Vec<String>, Error> {
    const STREAMS: &str = "read the parked streams";
    let statement = names.sql(&format!(
        "SELECT DISTINCT stream FROM highwater.failed_event
         WHERE {OF_KEY} AND state IN ('parked', 'held') ORDER BY stream"
    ));
    let rows = of_key(sqlx::query(statement.safe()), key).fetch_all(connection).await.during(STREAMS)?;
    rows.iter().map(|row| Columns::from(row, 0, STREAMS).text()).collect()
}

/// How many are parked, held or recorded.
pub(super) async fn count_open(
    connection: &mut PgConnection,
    names: &Schema,
    key: &ProjectionKey,
) -> Result<u64, Error> {
    const COUNT: &str = "count failed events";
    let statement = names.sql(&format!(
        "SELECT count(*)::text FROM highwater.failed_event WHERE {OF_KEY} AND state <> 'retrying'"
    ));
    let row = of_key(sqlx::query(statement.safe()), key).fetch_one(connection).await.during(COUNT)?;
    Columns::from(&row, 0, COUNT).unsigned()
}

/// Writes the row in place of what is there, in one flight with its letter. The letter is replaced by a new
/// one; without one it goes, unless the event stays set aside: then what is kept of it is all that there is.
pub(super) async fn record(
    connection: &mut PgConnection,
    names: &Schema,
    failed: &FailedEvent,
    letter: Option<&DeadLetter>,
) -> Result<(), Error> {
    const RECORD: &str = "record a failed event";
    let row = "row AS (
         INSERT INTO highwater.failed_event (projection, version, \"partition\", position, \"offset\",
             generation, id, stream, sequence, type, state, class, code, message, attempts, first_failed,
             last_failed, next_attempt, replay_requested)
         VALUES ($1, $2, $3, $4::numeric, $5::numeric, $6::numeric, $7, $8, $9::numeric, $10, $11, $12, $13,
             $14, $15, $16, $17, $18, $19)
         ON CONFLICT (projection, version, \"partition\", position, \"offset\") DO UPDATE SET
             generation = excluded.generation, id = excluded.id, stream = excluded.stream,
             sequence = excluded.sequence, type = excluded.type, state = excluded.state,
             class = excluded.class, code = excluded.code, message = excluded.message,
             attempts = excluded.attempts, first_failed = excluded.first_failed,
             last_failed = excluded.last_failed, next_attempt = excluded.next_attempt,
             replay_requested = excluded.replay_requested)";
    let keeps = matches!(failed.state, FailedState::Parked | FailedState::Held);
    let rest = match letter {
        Some(_) => {
            "INSERT INTO highwater.dead_letter (projection, version, \"partition\", position, \"offset\",
                 category, time, content_type, data, metadata)
             VALUES ($1, $2, $3, $4::numeric, $5::numeric, $20, $21, $22, $23, $24)
             ON CONFLICT (projection, version, \"partition\", position, \"offset\") DO UPDATE SET
                 category = excluded.category, time = excluded.time, content_type = excluded.content_type,
                 data = excluded.data, metadata = excluded.metadata"
        }
        None if keeps => "SELECT 1",
        None => {
            "DELETE FROM highwater.dead_letter WHERE projection = $1 AND version = $2 AND \"partition\" = $3
                 AND position = $4::numeric AND \"offset\" = $5::numeric"
        }
    };
    let statement = names.sql(&format!("WITH {row} {rest}"));
    let query = at(of_key(sqlx::query(statement.safe()), &failed.key), failed.position)
        .bind(failed.generation.to_string())
        .bind(failed.id)
        .bind(escaped(&failed.stream))
        .bind(failed.sequence.to_string())
        .bind(escaped(&failed.event_type))
        .bind(failed.state.as_str())
        .bind(failed.class.as_str())
        .bind(failed.code.as_deref().map(escaped))
        .bind(escaped(&failed.message))
        .bind(i64::from(failed.attempts))
        .bind(failed.first_failed_micros)
        .bind(failed.last_failed_micros)
        .bind(failed.next_attempt_micros)
        .bind(failed.replay_requested);
    let query = match letter.map(|letter| &letter.event) {
        None => query,
        Some(event) => query
            .bind(escaped(event.category()))
            .bind(event.time_micros())
            .bind(payload::word(event.content_type()))
            .bind(event.data())
            .bind(event.metadata()),
    };
    query.execute(connection).await.during(RECORD)?;
    Ok(())
}

/// The letter of the event at this position.
pub(super) async fn letter(
    connection: &mut PgConnection,
    names: &Schema,
    key: &ProjectionKey,
    position: Position,
) -> Result<Option<DeadLetter>, Error> {
    let statement = letters(names, "f.position = $4::numeric AND f.\"offset\" = $5::numeric");
    let query = at(of_key(sqlx::query(statement.safe()), key), position);
    let row = query.fetch_optional(connection).await.during(READ)?;
    row.as_ref().map(letter_of).transpose()
}

/// The first parked or held event of the stream.
pub(super) async fn first_of_stream(
    connection: &mut PgConnection,
    names: &Schema,
    key: &ProjectionKey,
    stream: &str,
) -> Result<Option<DeadLetter>, Error> {
    let statement =
        letters(names, &format!("f.stream = $4 AND f.state IN ('parked', 'held') {BY_POSITION} LIMIT 1"));
    let query = of_key(sqlx::query(statement.safe()), key).bind(escaped(stream));
    let row = query.fetch_optional(connection).await.during(READ)?;
    row.as_ref().map(letter_of).transpose()
}

fn letters(names: &Schema, condition: &str) -> crate::schema::Statement {
    names.sql(&format!(
        "SELECT {}, l.category, l.time, l.content_type, l.data, l.metadata
         FROM highwater.failed_event f JOIN highwater.dead_letter l
             USING (projection, version, \"partition\", position, \"offset\")
         WHERE projection = $1 AND version = $2 AND \"partition\" = $3 AND {condition}",
        select("f")
    ))
}

/// Removes row and letter at a position, or all of a projection.
pub(super) async fn remove(
    connection: &mut PgConnection,
    names: &Schema,
    key: &ProjectionKey,
    position: Option<Position>,
) -> Result<(), Error> {
    let place = match position {
        Some(_) => " AND position = $4::numeric AND \"offset\" = $5::numeric",
        None => "",
    };
    let statement = names.sql(&format!(
        "WITH letters AS (DELETE FROM highwater.dead_letter WHERE {OF_KEY}{place})
         DELETE FROM highwater.failed_event WHERE {OF_KEY}{place}"
    ));
    let query = of_key(sqlx::query(statement.safe()), key);
    let query = match position {
        Some(position) => at(query, position),
        None => query,
    };
    query.execute(connection).await.during("remove a failed event")?;
    Ok(())
}

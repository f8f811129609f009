//! Dead letters of handlers.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, Row, named_params};
use uuid::Uuid;

use highwater_core::error::Error;
use highwater_core::model::{EventParts, Position, RecordedEvent};
use highwater_core::ports::{DeadLetters, HandlerLetter};

use crate::database::Database;
use crate::error::{During, corrupt};
use crate::number::{Unsigned, halves, limit as at_most, position_in};
use crate::options::SqliteOptions;
use crate::payload;

const PUBLISH: &str = "publish a dead letter";
const LIST: &str = "list dead letters";

/// Dead letters in a SQLite file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteDeadLetters {
    database: Arc<Database>,
}

impl SqliteDeadLetters {
    /// Opens the dead letters in this file, and creates file and tables where the options permit it.
    ///
    /// # Errors
    /// When the file cannot be opened, is no database, or is from a newer version.
    pub async fn open(path: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self, Error> {
        Ok(Self { database: Database::open(path.as_ref(), options).await? })
    }
}

#[async_trait]
impl DeadLetters for SqliteDeadLetters {
    async fn publish(&self, letter: &HandlerLetter) -> Result<(), Error> {
        let letter = letter.clone();
        self.database.write(PUBLISH, move |conn| publish(conn, &letter).during(PUBLISH)).await
    }

    async fn list(
        &self,
        group: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<HandlerLetter>, Error> {
        let group = group.to_owned();
        self.database.read(move |conn| list(conn, &group, after, limit)).await
    }

    async fn remove(&self, group: &str, generation: u64, position: Position) -> Result<bool, Error> {
        const REMOVE: &str = "remove a dead letter";
        let group = group.to_owned();
        let work = move |conn: &Connection| {
            let (position, offset) = halves(position);
            let gone = conn
                .execute(
                    "DELETE FROM highwater_letter
                     WHERE handler = ?1 AND position = ?2 AND \"offset\" = ?3 AND generation = ?4",
                    (group, position, offset, Unsigned(generation)),
                )
                .during(REMOVE)?;
            Ok(gone > 0)
        };
        self.database.write(REMOVE, work).await
    }
}

fn publish(conn: &Connection, letter: &HandlerLetter) -> rusqlite::Result<()> {
    let event = letter.event.parts();
    let (position, offset) = halves(event.position);
    conn.prepare_cached(
        "INSERT INTO highwater_letter VALUES (:handler, :position, :offset, :generation, :id, :stream, \
             :category, :sequence, :type, :time, :content_type, :data, :metadata, :class, :message, \
             :attempts) \
         ON CONFLICT DO UPDATE SET class = excluded.class, message = excluded.message, \
             attempts = excluded.attempts",
    )?
    .execute(named_params! {
        ":handler": letter.group,
        ":position": position,
        ":offset": offset,
        ":generation": Unsigned(letter.generation),
        ":id": event.id.into_bytes(),
        ":stream": &*event.stream,
        ":category": &*event.category,
        ":sequence": Unsigned(event.sequence),
        ":type": &*event.event_type,
        ":time": event.time_micros,
        ":content_type": payload::word(event.content_type),
        ":data": &*event.data,
        ":metadata": &*event.metadata,
        ":class": letter.class.as_str(),
        ":message": letter.message,
        ":attempts": letter.attempts,
    })?;
    Ok(())
}

fn list(
    conn: &Connection,
    group: &str,
    after: Option<Position>,
    limit: usize,
) -> Result<Vec<HandlerLetter>, Error> {
    let sql = |behind: &str| {
        format!(
            "SELECT handler, position, \"offset\", generation, id, stream, category, sequence, type, time, \
                 content_type, data, metadata, class, message, attempts FROM highwater_letter \
             WHERE handler = ?1{behind} ORDER BY position, \"offset\", generation LIMIT ?2"
        )
    };
    let limit = limit.max(1);
    // One more, to see whether the page ends inside a position: the next page begins behind it.
    let most = at_most(limit.saturating_add(1));
    let mut letters = match after.map(halves) {
        None => select(conn, &sql(""), (group, most)),
        Some((position, offset)) => {
            select(conn, &sql(" AND (position, \"offset\") > (?3, ?4)"), (group, most, position, offset))
        }
    }?;
    if letters.len() > limit {
        let beyond = letters.split_off(limit);
        let cut = beyond[0].event.position();
        let whole = letters.iter().take_while(|letter| letter.event.position() < cut).count();
        // More generations of one event than a page holds cannot be told apart by position: a part, then.
        if whole > 0 {
            letters.truncate(whole);
        }
    }
    Ok(letters)
}

fn select(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<HandlerLetter>, Error> {
    let mut select = conn.prepare_cached(sql).during(LIST)?;
    let mut rows = select.query(params).during(LIST)?;
    let mut letters = Vec::new();
    while let Some(row) = rows.next().during(LIST)? {
        letters.push(letter_of(row)?);
    }
    Ok(letters)
}

fn letter_of(row: &Row<'_>) -> Result<HandlerLetter, Error> {
    let (word, class): (String, String) = (row.get(10).during(LIST)?, row.get(13).during(LIST)?);
    let content_type =
        payload::from_word(&word).ok_or_else(|| corrupt(LIST, format!("`{word}` is no content type")))?;
    let class = class.parse().map_err(|error: String| corrupt(LIST, error))?;
    let read = || -> rusqlite::Result<HandlerLetter> {
        Ok(HandlerLetter {
            group: row.get(0)?,
            generation: row.get::<_, Unsigned>(3)?.0,
            event: RecordedEvent::new(EventParts {
                position: position_in(row, 1)?,
                id: Uuid::from_bytes(row.get(4)?),
                stream: row.get::<_, String>(5)?.into(),
                category: row.get::<_, String>(6)?.into(),
                sequence: row.get::<_, Unsigned>(7)?.0,
                event_type: row.get::<_, String>(8)?.into(),
                time_micros: row.get(9)?,
                content_type,
                data: Bytes::from(row.get::<_, Vec<u8>>(11)?),
                metadata: Bytes::from(row.get::<_, Vec<u8>>(12)?),
            }),
            class,
            message: row.get(14)?,
            attempts: row.get(15)?,
        })
    };
    read().during(LIST)
}

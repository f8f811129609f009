//! Dead letters of handlers.

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::PgRow;

use highwater_core::error::Error;
use highwater_core::model::{EventParts, Position, RecordedEvent};
use highwater_core::ports::{DeadLetters, HandlerLetter};

use crate::columns::Columns;
use crate::database::Database;
use crate::error::During;
use crate::payload;
use crate::text::escaped;

const PUBLISH: &str = "publish a dead letter";
const LIST: &str = "list dead letters";

/// Dead letters in a PostgreSQL database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PgDeadLetters {
    database: Database,
}

impl PgDeadLetters {
    /// The dead letters in this database.
    #[must_use]
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone() }
    }
}

#[async_trait]
impl DeadLetters for PgDeadLetters {
    async fn publish(&self, letter: &HandlerLetter) -> Result<(), Error> {
        let event = letter.event.parts();
        let statement = self.database.names().sql(
            "INSERT INTO highwater.letter (handler, position, \"offset\", generation, id, stream, category,
                 sequence, type, time, content_type, data, metadata, class, message, attempts)
             VALUES ($1, $2::numeric, $3::numeric, $4::numeric, $5, $6, $7, $8::numeric, $9, $10, $11, $12,
                 $13, $14, $15, $16)
             ON CONFLICT (handler, position, \"offset\", generation) DO UPDATE SET
                 class = excluded.class, message = excluded.message, attempts = excluded.attempts",
        );
        sqlx::query(statement.safe())
            .bind(escaped(&letter.group))
            .bind(event.position.commit().to_string())
            .bind(event.position.prepare().to_string())
            .bind(letter.generation.to_string())
            .bind(event.id)
            .bind(escaped(&event.stream))
            .bind(escaped(&event.category))
            .bind(event.sequence.to_string())
            .bind(escaped(&event.event_type))
            .bind(event.time_micros)
            .bind(payload::word(event.content_type))
            .bind(&*event.data)
            .bind(&*event.metadata)
            .bind(letter.class.as_str())
            .bind(escaped(&letter.message))
            .bind(i64::from(letter.attempts))
            .execute(&mut *self.database.connection(PUBLISH).await?)
            .await
            .during(PUBLISH)?;
        Ok(())
    }

    async fn list(
        &self,
        group: &str,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<HandlerLetter>, Error> {
        let statement = self.database.names().sql(
            "SELECT handler, generation::text, class, message, attempts, position::text, \"offset\"::text, id,
                 stream, category, sequence::text, type, time, content_type, data, metadata
             FROM highwater.letter l
             WHERE handler = $1 AND ($2::text IS NULL OR (position, \"offset\") > ($2::numeric, $3::numeric))
             ORDER BY l.position, l.\"offset\", l.generation LIMIT $4",
        );
        let limit = limit.max(1);
        // One more, to see whether the page ends inside a position: the next page begins behind it.
        let most = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
        let rows = sqlx::query(statement.safe())
            .bind(escaped(group))
            .bind(after.map(|at| at.commit().to_string()))
            .bind(after.map(|at| at.prepare().to_string()))
            .bind(most)
            .fetch_all(&mut *self.database.connection(LIST).await?)
            .await
            .during(LIST)?;
        let mut letters = rows.iter().map(letter_of).collect::<Result<Vec<_>, _>>()?;
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

    async fn remove(&self, group: &str, generation: u64, position: Position) -> Result<bool, Error> {
        let statement = self.database.names().sql(
            "DELETE FROM highwater.letter
             WHERE handler = $1 AND position = $2::numeric AND \"offset\" = $3::numeric
                 AND generation = $4::numeric",
        );
        let done = sqlx::query(statement.safe())
            .bind(escaped(group))
            .bind(position.commit().to_string())
            .bind(position.prepare().to_string())
            .bind(generation.to_string())
            .execute(&mut *self.database.connection("remove a dead letter").await?)
            .await
            .during("remove a dead letter")?;
        Ok(done.rows_affected() > 0)
    }
}

fn letter_of(row: &PgRow) -> Result<HandlerLetter, Error> {
    let mut columns = Columns::from(row, 0, LIST);
    Ok(HandlerLetter {
        group: columns.text()?,
        generation: columns.unsigned()?,
        class: columns.take::<String>()?.parse().map_err(|error: String| columns.corrupt(error))?,
        message: columns.text()?,
        attempts: columns.small()?,
        event: RecordedEvent::new(EventParts {
            position: columns.position()?,
            id: columns.take()?,
            stream: columns.text()?.into(),
            category: columns.text()?.into(),
            sequence: columns.unsigned()?,
            event_type: columns.text()?.into(),
            time_micros: columns.take()?,
            content_type: payload::from_word(&columns.take::<String>()?)?,
            data: Bytes::from(columns.take::<Vec<u8>>()?),
            metadata: Bytes::from(columns.take::<Vec<u8>>()?),
        }),
    })
}

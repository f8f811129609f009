//! Events, definitions and a database for the tests.

use bytes::Bytes;
use highwater_core::error::Error;
use highwater_core::failure::Failure;
use highwater_core::model::{
    ContentType, EventParts, Filter, Position, ProjectionName, RecordedEvent, category_of, stream_hash,
};
use highwater_core::policy::{Class, Classifier};
use highwater_core::ports::{ApplySlice, DynProjection};
use highwater_postgres::sql_projection::{SqlProjection, SqlProjectionDef, SqlText};
use highwater_postgres::sqlx::{self, AssertSqlSafe, Executor, Row};
use highwater_postgres::{Database, PgClassifier, PgConnection};
use uuid::Uuid;

use crate::kit::Place;

pub(super) const TIME: i64 = 1_357_035_420_120_000;

/// An event of `stream` at `position:offset`.
pub(super) fn event(
    position: (u64, u64),
    stream: &str,
    event_type: &str,
    data: impl Into<Bytes>,
) -> RecordedEvent {
    RecordedEvent::new(parts(position, stream, event_type, data))
}

pub(super) fn parts(
    position: (u64, u64),
    stream: &str,
    event_type: &str,
    data: impl Into<Bytes>,
) -> EventParts {
    EventParts {
        position: Position::new(position.0, position.1),
        id: Uuid::from_u64_pair(position.0, position.1),
        stream: stream.into(),
        category: category_of(stream).into(),
        // one of its own in the stream, as the log demands
        sequence: position.0.saturating_mul(1000).saturating_add(position.1),
        event_type: event_type.into(),
        time_micros: TIME,
        content_type: ContentType::Json,
        data: data.into(),
        metadata: Bytes::from_static(b"{}"),
    }
}

/// Events of one type with these payloads, one after the other.
pub(super) fn events_with(event_type: &str, payloads: &[&str]) -> Vec<RecordedEvent> {
    (1..).zip(payloads).map(|(n, data)| event((n, 0), "s-1", event_type, (*data).to_owned())).collect()
}

/// The beginning of a definition.
pub(super) fn def() -> SqlProjectionDef {
    SqlProjectionDef {
        name: ProjectionName::new("p").unwrap(),
        schema: None,
        apply: None,
        on: Vec::new(),
        filter: Filter::all(),
        tables: None,
        log_in_store: true,
    }
}

pub(super) trait With {
    fn schema(self, sql: &str) -> Self;
    fn apply(self, sql: &str) -> Self;
    fn on(self, event_type: &str, sql: &str) -> Self;
    fn types(self, types: &[&str]) -> Self;
    fn log_elsewhere(self) -> Self;
}

impl With for SqlProjectionDef {
    fn schema(mut self, sql: &str) -> Self {
        self.schema = Some(SqlText::new(sql, "schema.sql"));
        self
    }

    fn apply(mut self, sql: &str) -> Self {
        self.apply = Some(SqlText::new(sql, "apply.sql"));
        self
    }

    fn on(mut self, event_type: &str, sql: &str) -> Self {
        self.on.push((event_type.to_owned(), SqlText::new(sql, format!("on {event_type}"))));
        self
    }

    fn types(mut self, types: &[&str]) -> Self {
        self.filter = Filter::types(types.iter().copied());
        self
    }

    fn log_elsewhere(mut self) -> Self {
        self.log_in_store = false;
        self
    }
}

/// A database with a log, and one connection on which everything happens.
pub(super) struct World {
    pub(super) place: Place,
    pub(super) database: Database,
    pub(super) connection: PgConnection,
}

impl World {
    /// `None` where there is no server.
    pub(super) async fn new() -> Option<Self> {
        let place = Place::new().await?;
        let database = place.database().await;
        let connection = place.raw().await;
        Some(Self { place, database, connection })
    }

    pub(super) fn projection(&self, def: SqlProjectionDef) -> SqlProjection {
        SqlProjection::new(def, &self.database).unwrap()
    }

    /// Drops the user's tables and the log's events, and puts these into it.
    pub(super) async fn reset(&mut self, log: &[RecordedEvent]) {
        let user = self.place.user_schema();
        self.place
            .execute(&format!(
                "SET client_min_messages = error; DROP SCHEMA {user} CASCADE; CREATE SCHEMA {user}; TRUNCATE highwater.event"
            ))
            .await;
        let insert = format!(
            "INSERT INTO {}.event (position, \"offset\", id, stream, category, sequence, type, time, stream_hash,
                                   size, data, metadata)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
                     $11::json, nullif($12, '')::json)",
            self.place.schema()
        );
        for event in log {
            sqlx::query(AssertSqlSafe(insert.clone()))
                .bind(i64::try_from(event.position().commit()).unwrap())
                .bind(i32::try_from(event.position().prepare()).unwrap())
                .bind(event.id())
                .bind(event.stream())
                .bind(event.category())
                .bind(i64::try_from(event.sequence()).unwrap())
                .bind(event.event_type())
                .bind(chrono::DateTime::from_timestamp_micros(event.time_micros()).unwrap())
                .bind(i64::from(stream_hash(event.stream())))
                .bind(i32::try_from(event.size()).unwrap())
                .bind(std::str::from_utf8(event.data()).unwrap())
                .bind(std::str::from_utf8(event.metadata()).unwrap())
                .execute(&mut self.connection)
                .await
                .unwrap();
        }
    }

    /// A projection, set up and checked, on a log of these events and nothing else.
    pub(super) async fn running(&mut self, def: SqlProjectionDef, log: &[RecordedEvent]) -> Running<'_> {
        self.reset(if def.log_in_store { log } else { &[] }).await;
        let projection = self.projection(def);
        self.execute("BEGIN").await;
        projection.setup(&mut self.connection).await.unwrap();
        projection.check(&mut self.connection).await.unwrap();
        self.execute("COMMIT").await;
        Running { world: self, projection }
    }

    /// What a start says to a definition, in a database of no events.
    pub(super) async fn started(&mut self, def: SqlProjectionDef) -> Result<(), Error> {
        self.reset(&[]).await;
        let projection = self.projection(def);
        self.execute("BEGIN").await;
        let mut outcome = projection.setup(&mut self.connection).await;
        if outcome.is_ok() {
            outcome = projection.check(&mut self.connection).await;
            // however it went, the transaction goes on
            self.execute("SELECT 1").await;
        }
        self.execute("ROLLBACK").await;
        outcome.map_err(|failure| {
            let error = error_of(&failure);
            Error::new(error.kind(), failure.message())
        })
    }

    pub(super) async fn execute(&mut self, sql: &str) {
        self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
    }

    pub(super) async fn rows(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        let rows = self.connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
        rows.iter()
            .map(|row| (0..row.columns().len()).map(|n| row.try_get_unchecked(n).unwrap()).collect())
            .collect()
    }

    /// Rows whose values are separated by commas, NULL as `-`.
    pub(super) async fn lines(&mut self, sql: &str) -> Vec<String> {
        let rows = self.rows(sql).await;
        rows.into_iter()
            .map(|row| {
                let cells: Vec<String> =
                    row.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect();
                cells.join(",")
            })
            .collect()
    }

    pub(super) async fn count(&mut self, table: &str) -> i64 {
        self.lines(&format!("SELECT count(*) FROM {table}")).await[0].parse().unwrap()
    }
}

/// A projection in a world.
pub(super) struct Running<'w> {
    pub(super) world: &'w mut World,
    pub(super) projection: SqlProjection,
}

impl Running<'_> {
    /// Applies events that are all that the filter lets through from the first to the last.
    pub(super) async fn apply(&mut self, events: &[RecordedEvent]) -> Result<(), Failure> {
        self.slice(ApplySlice::Events { events, contiguous: true }).await
    }

    /// In a transaction of its own, under a savepoint, as the runtime does it.
    pub(super) async fn slice(&mut self, slice: ApplySlice<'_>) -> Result<(), Failure> {
        self.world.execute("BEGIN; SAVEPOINT slice").await;
        let outcome = self.projection.apply_slice(slice, &mut self.world.connection).await;
        if outcome.is_err() {
            self.world.execute("ROLLBACK TO slice").await;
        }
        self.world.execute("RELEASE slice; COMMIT").await;
        outcome
    }

    /// Applies each event alone, as the runner does with one that has failed; says which could not be applied.
    pub(super) async fn apply_alone(&mut self, events: &[RecordedEvent]) -> Vec<(usize, Failure)> {
        let mut failed = Vec::new();
        for (n, event) in events.iter().enumerate() {
            if let Err(failure) = self.apply(std::slice::from_ref(event)).await {
                failed.push((n, failure));
            }
        }
        failed
    }

    /// Those of the events that the projection is for.
    pub(super) fn matching(&self, events: &[RecordedEvent]) -> Vec<RecordedEvent> {
        let filter = self.projection.filter();
        events.iter().filter(|event| filter.matches(event.event_type(), event.stream())).cloned().collect()
    }
}

/// The error of ours in a failure.
pub(super) fn error_of(failure: &Failure) -> &Error {
    failure.source().downcast_ref().unwrap_or_else(|| panic!("no error of ours: {failure:?}"))
}

pub(super) fn class_of(failure: &Failure) -> Class {
    Classifier::new().with(std::sync::Arc::new(PgClassifier)).failure(failure).class
}

pub(super) fn at(position: (u64, u64)) -> Position {
    Position::new(position.0, position.1)
}

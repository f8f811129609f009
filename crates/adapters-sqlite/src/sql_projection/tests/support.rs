//! Events, definitions and databases for the tests.

use bytes::Bytes;
use highwater_core::failure::Failure;
use highwater_core::model::{
    ContentType, EventParts, Filter, Position, ProjectionName, RecordedEvent, category_of,
};
use highwater_core::ports::ApplySlice;
use rusqlite::Connection;
use rusqlite::types::Value;
use uuid::Uuid;

use super::super::scratch::Scratch;
use super::super::{SqlProblem, SqlProjection, SqlProjectionDef, SqlText};

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

/// What is wrong with a definition.
pub(super) fn problems(def: SqlProjectionDef) -> Vec<SqlProblem> {
    SqlProjection::new(def).err().unwrap_or_default()
}

/// A projection on a database of its own.
pub(super) struct Running {
    pub(super) scratch: Scratch,
    pub(super) projection: SqlProjection,
}

impl Running {
    /// Set up and checked, on a log of these events.
    pub(super) fn on(def: SqlProjectionDef, log: &[RecordedEvent]) -> Self {
        let scratch = Scratch::in_memory().unwrap();
        if def.log_in_store {
            scratch.load_log(log).unwrap();
        }
        let projection = SqlProjection::new(def).unwrap();
        projection.setup_on(&scratch.conn).unwrap();
        projection.check_on(&scratch.conn).unwrap();
        Self { scratch, projection }
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.scratch.conn
    }

    /// Applies events that are all that the filter lets through from the first to the last.
    pub(super) fn apply(&self, events: &[RecordedEvent]) -> Result<(), Failure> {
        self.slice(ApplySlice::Events { events, contiguous: true })
    }

    pub(super) fn slice(&self, slice: ApplySlice<'_>) -> Result<(), Failure> {
        self.scratch
            .bracketed(["SAVEPOINT slice", "RELEASE slice", "ROLLBACK TO slice; RELEASE slice"], |conn| {
                self.projection.apply_on(conn, slice)
            })
    }

    /// Those of the events that the projection is for.
    pub(super) fn matching(&self, events: &[RecordedEvent]) -> Vec<RecordedEvent> {
        let filter = self.projection.filter();
        events.iter().filter(|event| filter.matches(event.event_type(), event.stream())).cloned().collect()
    }

    pub(super) fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        rows(self.conn(), sql)
    }

    /// The one value that a query gives.
    pub(super) fn value(&self, sql: &str) -> Value {
        self.rows(sql).remove(0).remove(0)
    }

    pub(super) fn count(&self, table: &str) -> i64 {
        match self.value(&format!("SELECT count(*) FROM main.{table}")) {
            Value::Integer(count) => count,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn rows(conn: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = conn.prepare(sql).unwrap();
    let columns = statement.column_count();
    statement
        .query_map([], |row| (0..columns).map(|index| row.get(index)).collect())
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap()
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Applies each event alone, as the runner does with one that has failed; says which could not be applied.
pub(super) fn apply_alone(running: &Running, events: &[RecordedEvent]) -> Vec<(usize, Failure)> {
    events
        .iter()
        .enumerate()
        .filter_map(|(n, event)| Some((n, running.apply(std::slice::from_ref(event)).err()?)))
        .collect()
}

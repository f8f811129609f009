//! A connection that takes its steps one at a time, as a program of somebody else might.

use highwater_core::model::{Filter, Position, RecordedEvent};
use highwater_core::ports::{EventLog, EventReader, Limit};
use highwater_postgres::sqlx::{self, AssertSqlSafe, Executor, Row};
use highwater_postgres::{PgConnection, PgLog};

use crate::kit::Place;

pub(super) const LIMIT: Limit = Limit { events: 1000, bytes: 1 << 30 };

pub(super) struct Session {
    pub(super) connection: PgConnection,
    schema: String,
}

impl Session {
    pub(super) async fn new(place: &Place) -> Self {
        Self { connection: place.raw().await, schema: place.schema().to_owned() }
    }

    /// On a connection that is to another database, or that belongs to somebody.
    pub(super) fn on(connection: PgConnection, place: &Place) -> Self {
        Self { connection, schema: place.schema().to_owned() }
    }

    fn text(&self, sql: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(sql.replace("highwater.", &format!("{}.", self.schema)))
    }

    pub(super) async fn run(&mut self, sql: &str) {
        let sql = self.text(sql);
        self.connection.execute(sqlx::raw_sql(sql)).await.expect("the statements run");
    }

    /// The SQLSTATE that the statement is refused with.
    pub(super) async fn refused(&mut self, sql: &str) -> String {
        let sql = self.text(sql);
        let error = self.connection.execute(sqlx::raw_sql(sql)).await.expect_err("it must be refused");
        let error = error.into_database_error().expect("the server refused it");
        error.code().map(|code| code.into_owned()).unwrap_or_default()
    }

    pub(super) async fn numbers(&mut self, sql: &str) -> Vec<i64> {
        let sql = self.text(sql);
        let rows = sqlx::query(sql).fetch_all(&mut self.connection).await.expect("the query runs");
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub(super) async fn number(&mut self, sql: &str) -> i64 {
        self.numbers(sql).await.pop().expect("a row")
    }

    pub(super) async fn texts(&mut self, sql: &str) -> Vec<String> {
        let sql = self.text(sql);
        let rows = sqlx::query(sql).fetch_all(&mut self.connection).await.expect("the query runs");
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub(super) async fn text_of(&mut self, sql: &str) -> String {
        self.texts(sql).await.pop().expect("a row")
    }

    pub(super) async fn yes(&mut self, sql: &str) -> bool {
        let sql = self.text(sql);
        sqlx::query(sql).fetch_one(&mut self.connection).await.expect("the query runs").get(0)
    }

    /// Appends one event by the function for people; answers its position.
    pub(super) async fn append(&mut self, stream: &str) -> i64 {
        self.number(&format!(r#"SELECT "position" FROM highwater.append('{stream}', '{{"type": "A"}}')"#))
            .await
    }

    /// Puts a row into the table past all rules.
    pub(super) async fn insert(&mut self, position: i64, offset: i32, stream: &str, sequence: i64) {
        self.run(&format!(
            "INSERT INTO highwater.event \
             (position, \"offset\", sequence, time, stream_hash, size, id, stream, category, type, data) \
             VALUES ({position}, {offset}, {sequence}, now(), 0, 9, gen_random_uuid(), '{stream}', 'x', \
             'A', '{{}}')"
        ))
        .await;
    }

    /// The numbers that this session holds as bounds of the gate.
    pub(super) async fn bounds(&mut self) -> Vec<i64> {
        self.numbers(
            "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 \
             AND classid = 'highwater.position'::regclass AND pid = pg_backend_pid() ORDER BY 1",
        )
        .await
    }
}

/// What a reader of everything has to say now.
pub(super) async fn read(reader: &mut dyn EventReader) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let batch = reader.next(LIMIT).await.expect("the log can be read");
        found.extend(batch.events.iter().map(|event| event.position().commit()));
        if batch.caught_up {
            return found;
        }
    }
}

pub(super) async fn reader(log: &PgLog) -> Box<dyn EventReader> {
    log.open(None, &Filter::all()).await.expect("the log can be opened")
}

/// A reader that goes by the horizon: its filter lets everything through that is in these tests.
pub(super) async fn filtered(log: &PgLog) -> Box<dyn EventReader> {
    log.open(None, &Filter::types(["*"])).await.expect("the log can be opened")
}

pub(super) fn commits(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position().commit()).collect()
}

pub(super) fn at(commit: u64) -> Option<Position> {
    Some(Position::new(commit, 0))
}

//! The operator's side. It reads what is committed, beside the owner; what it writes takes the owner's turn.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, params_from_iter};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{
    DeadLetter, FailedEvent, Position, ProjectionKey, ProjectionName, ProjectionPart, ProjectionState,
};
use highwater_core::ports::{FailedQuery, Owner, ProjectionControl};

use super::{failed_rows, state_row};
use crate::cancel::blocking;
use crate::database::now_micros;
use crate::error::During;
use crate::number::{Unsigned, halves, limit as at_most};
use crate::store::SqliteStore;

#[async_trait]
impl ProjectionControl for SqliteStore {
    async fn states(&self) -> Result<Vec<ProjectionState>, Error> {
        self.database.read(state_row::read_all).await
    }

    async fn set_paused(&self, name: &ProjectionName, paused: bool) -> Result<bool, Error> {
        const PAUSE: &str = "pause or resume a projection";
        let name = name.clone();
        let work = move |conn: &Connection| {
            let known: bool = conn
                .query_row(
                    "SELECT EXISTS (SELECT 1 FROM highwater_projection WHERE name = ?1)",
                    [name.as_str()],
                    |row| row.get(0),
                )
                .during(PAUSE)?;
            if !known {
                return Err(Error::new(ErrorKind::NotFound, PAUSE).with("projection", &name));
            }
            let changed = conn
                .execute(
                    "UPDATE highwater_projection SET paused = ?2 WHERE name = ?1 AND paused <> ?2",
                    (name.as_str(), paused),
                )
                .during(PAUSE)?;
            Ok(changed > 0)
        };
        self.database.write(PAUSE, work).await
    }

    async fn failed_events(&self, query: &FailedQuery, limit: usize) -> Result<Vec<FailedEvent>, Error> {
        let mut meant = Meant::new(query);
        let limit = meant.bind(Value::Integer(at_most(limit)));
        let order = format!(
            "ORDER BY f.projection, f.position, f.\"offset\", f.version, f.\"partition\" LIMIT {limit}"
        );
        let read = move |conn: &Connection| {
            failed_rows::list(conn, &meant.sql, &order, params_from_iter(&meant.values))
        };
        self.database.read(read).await
    }

    async fn dead_letter(
        &self,
        key: &ProjectionKey,
        position: Position,
    ) -> Result<Option<DeadLetter>, Error> {
        let key = key.clone();
        self.database.read(move |conn| failed_rows::letter(conn, &key, position)).await
    }

    async fn request_replay(&self, query: &FailedQuery) -> Result<u64, Error> {
        const REPLAY: &str = "request a replay";
        let mut meant = Meant::new(query);
        let now = meant.bind(Value::Integer(0));
        let work = move |conn: &Connection| {
            if let Some(last) = meant.values.last_mut() {
                *last = Value::Integer(now_micros(conn).during(REPLAY)?);
            }
            let sql = format!(
                "UPDATE highwater_failed_event AS f SET
                     replay_requested = CASE f.state WHEN 'retrying' THEN f.replay_requested ELSE 1 END,
                     next_attempt = CASE f.state
                         WHEN 'retrying' THEN min(coalesce(f.next_attempt, {now}), {now})
                         ELSE f.next_attempt END
                 WHERE {}",
                meant.sql
            );
            let marked = conn.execute(&sql, params_from_iter(&meant.values)).during(REPLAY)?;
            Ok(u64::try_from(marked).unwrap_or(u64::MAX))
        };
        self.database.write(REPLAY, work).await
    }

    async fn discard(&self, query: &FailedQuery) -> Result<u64, Error> {
        const DISCARD: &str = "discard failed events";
        let meant = Meant::new(query);
        let work = move |conn: &Connection| {
            let sql = &meant.sql;
            let letters = format!(
                "DELETE FROM highwater_dead_letter
                 WHERE (projection, version, \"partition\", position, \"offset\") IN (
                     SELECT f.projection, f.version, f.\"partition\", f.position, f.\"offset\"
                     FROM highwater_failed_event f WHERE {sql} AND f.state <> 'retrying')"
            );
            let rows =
                format!("DELETE FROM highwater_failed_event AS f WHERE {sql} AND f.state <> 'retrying'");
            conn.execute(&letters, params_from_iter(&meant.values)).during(DISCARD)?;
            let gone = conn.execute(&rows, params_from_iter(&meant.values)).during(DISCARD)?;
            Ok(u64::try_from(gone).unwrap_or(u64::MAX))
        };
        self.database.write(DISCARD, work).await
    }

    async fn owner(&self, part: &ProjectionPart) -> Result<Option<Owner>, Error> {
        let (database, part) = (self.database.clone(), part.clone());
        blocking(move || super::claim::owner(database.path(), &part)).await
    }

    async fn changed(&self) -> Result<(), Error> {
        let commits = self.database.changed(self.reported.load(Ordering::Relaxed)).await?;
        self.reported.store(commits, Ordering::Relaxed);
        Ok(())
    }
}

/// A query as a condition on `f`, with its values.
struct Meant {
    sql: String,
    values: Vec<Value>,
}

enum Value {
    Text(String),
    Integer(i64),
    Unsigned(Unsigned),
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(text) => text.to_sql(),
            Self::Integer(number) => number.to_sql(),
            Self::Unsigned(number) => number.to_sql(),
        }
    }
}

impl Meant {
    fn new(query: &FailedQuery) -> Self {
        let mut meant = Self { sql: "true".to_owned(), values: Vec::new() };
        if let Some(name) = &query.projection {
            let name = meant.bind(Value::Text(name.as_str().to_owned()));
            meant.sql += &format!(" AND f.projection = {name}");
        }
        if let Some(version) = query.version {
            let version = meant.bind(Value::Integer(i64::from(version)));
            meant.sql += &format!(" AND f.version = {version}");
        }
        if !query.states.is_empty() {
            let states: Vec<String> = query.states.iter().map(|state| format!("'{state}'")).collect();
            meant.sql += &format!(" AND f.state IN ({})", states.join(", "));
        }
        for (comparison, position) in [("=", query.position), (">", query.after)] {
            if let Some((position, offset)) = position.map(halves) {
                let position = meant.bind(Value::Unsigned(position));
                let offset = meant.bind(Value::Unsigned(offset));
                meant.sql += &format!(" AND (f.position, f.\"offset\") {comparison} ({position}, {offset})");
            }
        }
        meant
    }

    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }
}

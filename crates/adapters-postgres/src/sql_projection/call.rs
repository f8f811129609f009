//! The one round trip of a slice.

use sqlx::PgConnection;

use crate::schema::{Schema, Statement};

use super::bounds::Bound;
use super::on_function::OnFunction;
use super::slice::Slice;
use super::source::{EventsQuery, Source};

/// The calls of the server's functions, see `0004_sql_projections.sql`.
#[derive(Debug)]
pub(super) struct Calls {
    range: Statement,
    slice: Statement,
    until: Statement,
    events: Statement,
    /// What a session was given stays there for the next slice. Not behind a pooler, where the next transaction of
    /// the session is somebody else's.
    keep: bool,
}

/// What is to be done with the events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work<'w> {
    /// The statements of `apply`, and what they read.
    pub(super) apply: Option<(&'w [String], &'w EventsQuery)>,
    pub(super) on: Option<&'w OnFunction>,
}

/// What an event failed with: as the generated function says it.
pub(super) type Answer = Option<Vec<Option<String>>>;

impl Calls {
    pub(super) fn new(schema: &Schema, keep: bool) -> Self {
        Self {
            range: schema.sql("SELECT highwater.sql_apply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"),
            slice: schema.sql(
                "SELECT highwater.sql_apply_slice($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
                 $15, $16, $17, $18, $19, $20)",
            ),
            until: schema.sql("SELECT highwater.sql_apply_until($1, $2, $3, $4, $5, $6, $7, $8, $9)"),
            events: schema.sql("SELECT highwater.sql_events($1, $2, $3)"),
            keep,
        }
    }

    /// Works on the events of the log in `(after, through]`.
    pub(super) async fn range(
        &self,
        connection: &mut PgConnection,
        after: Bound,
        through: Bound,
        work: Work<'_>,
    ) -> Result<Answer, sqlx::Error> {
        sqlx::query_scalar(self.range.safe())
            .bind(after.position)
            .bind(after.offset)
            .bind(through.position)
            .bind(through.offset)
            .bind(work.apply.map(|(_, events)| &events.key))
            .bind(work.apply.map(|(_, events)| &events.query))
            .bind(work.apply.map(|(statements, _)| statements))
            .bind(work.on.map(|on| &on.name))
            .bind(work.on.map(|on| &on.definition))
            .bind(self.keep)
            .fetch_one(connection)
            .await
    }

    /// Applies the events of the log at these places, which lie behind `after`, until one cannot be applied.
    pub(super) async fn until(
        &self,
        connection: &mut PgConnection,
        after: Bound,
        places: &[Bound],
        known: bool,
        (statements, events): (&[String], &EventsQuery),
    ) -> Result<Answer, sqlx::Error> {
        let positions: Vec<i64> = places.iter().map(|place| place.position).collect();
        let offsets: Vec<i32> = places.iter().map(|place| place.offset).collect();
        sqlx::query_scalar(self.until.safe())
            .bind(after.position)
            .bind(after.offset)
            .bind(positions)
            .bind(offsets)
            .bind(known)
            .bind(&events.key)
            .bind(&events.query)
            .bind(statements)
            .bind(self.keep)
            .fetch_one(connection)
            .await
    }

    /// Works on events that are handed over.
    pub(super) async fn slice(
        &self,
        connection: &mut PgConnection,
        slice: &Slice<'_>,
        work: Work<'_>,
    ) -> Result<Answer, sqlx::Error> {
        sqlx::query_scalar(self.slice.safe())
            .bind(&slice.numbers)
            .bind(&slice.positions)
            .bind(&slice.offsets)
            .bind(&slice.ids)
            .bind(&slice.streams)
            .bind(&slice.categories)
            .bind(&slice.sequences)
            .bind(&slice.types)
            .bind(&slice.times)
            .bind(&slice.data)
            .bind(any(&slice.metadata))
            .bind(any(&slice.raw_data))
            .bind(any(&slice.raw_metadata))
            .bind(any(&slice.far))
            .bind(work.apply.map(|(_, events)| &events.key))
            .bind(work.apply.map(|(_, events)| &events.query))
            .bind(work.apply.map(|(statements, _)| statements))
            .bind(work.on.map(|on| &on.name))
            .bind(work.on.map(|on| &on.definition))
            .bind(self.keep)
            .fetch_one(connection)
            .await
    }

    /// Makes `events` stand for a query, as it will when `apply` runs, and puts it first in the search path; the
    /// path that was comes back, for [`Calls::take_down`].
    pub(super) async fn set_up(
        &self,
        connection: &mut PgConnection,
        events: &EventsQuery,
        source: Source,
    ) -> Result<String, sqlx::Error> {
        if matches!(source, Source::Slice { .. }) {
            // The table that it reads.
            self.slice(connection, &Slice::default(), Work { apply: None, on: None }).await?;
        }
        sqlx::query(self.events.safe())
            .bind(&events.key)
            .bind(&events.query)
            .bind(self.keep)
            .execute(&mut *connection)
            .await?;
        let path = "SELECT current_setting('search_path'), set_config('hw.lo_position', '0', true),
                           set_config('hw.lo_offset', '0', true), set_config('hw.hi_position', '0', true),
                           set_config('hw.hi_offset', '0', true)";
        let path: String = sqlx::query_scalar(path).fetch_one(&mut *connection).await?;
        set_path(connection, path.trim_end_matches(", pg_temp")).await?;
        Ok(path)
    }

    /// Takes `events` away, so that the names in a user's DDL mean what the user wrote.
    pub(super) async fn remove(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(self.events.safe())
            .bind(None::<String>)
            .bind(None::<String>)
            .bind(self.keep)
            .execute(connection)
            .await
            .map(|_done| ())
    }

    /// The end of [`Calls::set_up`].
    pub(super) async fn take_down(
        &self,
        connection: &mut PgConnection,
        path: &str,
    ) -> Result<(), sqlx::Error> {
        if !self.keep {
            sqlx::raw_sql("DROP VIEW pg_temp.events").execute(&mut *connection).await?;
        }
        set_path(connection, path).await
    }
}

/// A column, unless it has nothing in it, as is usual for some: `unnest` fills up what is missing.
fn any<T>(column: &[Option<T>]) -> Option<&[Option<T>]> {
    column.iter().any(Option::is_some).then_some(column)
}

async fn set_path(connection: &mut PgConnection, path: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('search_path', $1, true)")
        .bind(path)
        .execute(connection)
        .await
        .map(|_done| ())
}

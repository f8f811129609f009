//! The logs, each in a database of its own, filled inside the server.
//!
//! Appending them one by one would take longer than everything that is measured; so one statement writes the
//! rows that the appends would have written, with the same positions, and sets the sequence behind them.

use anyhow::{Context, ensure};
use clap::ValueEnum;
use highwater::compose::Backends;
use serde::Serialize;
use sqlx::{Connection, PgConnection};

use crate::data::{EVENT_TYPE, PAYLOAD, RUINOUS, STREAMS};
use crate::postgres::server::{Route, Server};

/// How events are spread over the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// Each event is of any stream, and an append of its own
    Uniform,
    /// Twenty events of a stream follow each other, four an append
    Locality,
}

impl Shape {
    fn run(self) -> i32 {
        match self {
            Self::Uniform => 1,
            Self::Locality => 20,
        }
    }

    fn append(self) -> i32 {
        match self {
            Self::Uniform => 1,
            Self::Locality => 4,
        }
    }

    fn database(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Locality => "locality",
        }
    }
}

/// A place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: i64,
    pub(crate) offset: i32,
}

/// Before the first event.
pub(crate) const START: Place = Place { position: 0, offset: 0 };

/// The last events of a log: whole appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// It begins behind this one.
    pub(crate) after: Place,
    /// How many events it has.
    pub(crate) events: u32,
}

/// A filled log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    /// Its database.
    pub(crate) database: &'static str,
    /// How many events it has.
    pub(crate) events: u32,
}

/// `$1` events, runs of `$2` a stream, `$3` an append; every `$4`th is bad, 0 = none: first one that a
/// constraint of the read model refuses, then one whose number is none, and so on. The rest of the numbers
/// say what [`crate::data`] says.
const FILL: &str = r#"
INSERT INTO highwater.event
    (position, sequence, time, stream_hash, "offset", size, id, stream, category, type, data, metadata)
SELECT (n - 1) / $3 + 1, row_number() OVER (PARTITION BY stream ORDER BY n) - 1,
       timestamptz '2024-01-01 00:00:00+00' + n * interval '1 millisecond',
       ('x' || encode(substr(sha256(convert_to(stream, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint,
       (n - 1) % $3, octet_length(data) + octet_length('{}') + octet_length($5::text) + octet_length(stream),
       md5('event ' || n)::uuid, stream, 'account', $5::text, data::json, '{}'::json
  FROM (SELECT n, stream, rpad('{"account":"' || stream || '","item":"item-'
               || lpad((chance % 200)::text, 3, '0')
               || '","quantity":' || chance % 9 + 1 || ',"cents":'
               || CASE WHEN coalesce(n % nullif($4, 0), 1) <> 0 THEN (chance % 9900 + 100)::text
                       WHEN n / nullif($4, 0) % 2 = 1 THEN $6::bigint::text ELSE '"none"' END
               || ',"note":"', $7 - 2, 'n') || '"}' AS data
          FROM (SELECT n, ('x' || substr(md5('chance ' || n), 1, 7))::bit(28)::int AS chance,
                       'account-' || lpad((('x' || substr(md5('stream ' || (n - 1) / $2), 1, 7))::bit(28)::int
                           % $8)::text, 5, '0') AS stream
                  FROM generate_series(1, $1) AS n) AS made) AS event
 ORDER BY n
"#;
const SET_SEQUENCE: &str = "SELECT setval('highwater.position', (SELECT max(position) FROM highwater.event))";
/// Hints are written, statistics made: readers find a log as it is a while after it was written.
const SETTLE: &str = "VACUUM (FREEZE, ANALYZE) highwater.event";
/// The place before the last `$1` events; it may be in the middle of an append, so the append is left out.
const BEFORE_LAST: &str =
    "SELECT position FROM highwater.event ORDER BY position DESC, \"offset\" DESC OFFSET $1 LIMIT 1";
const LAST_OF_APPEND: &str =
    "SELECT position, \"offset\" FROM highwater.event WHERE position = $1 ORDER BY \"offset\" DESC LIMIT 1";
const COUNT_BEHIND: &str = "SELECT count(*) FROM highwater.event WHERE position > $1";

/// Makes a database with the product's tables and an empty log.
///
/// # Errors
/// When the server does not let us.
pub(crate) async fn empty(server: &Server, database: &str) -> anyhow::Result<()> {
    server.create(database).await?;
    let url = server.url(database, Route::Local);
    Backends::migrate(&url, &url).await?;
    Ok(())
}

/// Makes the log of a shape.
///
/// # Errors
/// When the server does not let us.
pub(crate) async fn clean(server: &Server, shape: Shape, events: u32) -> anyhow::Result<Log> {
    fill(server, shape.database(), shape, events, 0).await
}

/// Makes a uniform log in which every `every`th event is bad.
///
/// # Errors
/// When the server does not let us.
pub(crate) async fn poisoned(
    server: &Server,
    database: &'static str,
    events: u32,
    every: u32,
) -> anyhow::Result<Log> {
    fill(server, database, Shape::Uniform, events, every).await
}

async fn fill(
    server: &Server,
    database: &'static str,
    shape: Shape,
    events: u32,
    poison_every: u32,
) -> anyhow::Result<Log> {
    eprintln!("filling the log {database}");
    empty(server, database).await?;
    let mut conn = server.connect(database).await?;
    let filled = sqlx::query(FILL)
        .bind(i32::try_from(events)?)
        .bind(shape.run())
        .bind(shape.append())
        .bind(i32::try_from(poison_every)?)
        .bind(EVENT_TYPE)
        .bind(RUINOUS)
        .bind(i32::try_from(PAYLOAD)?)
        .bind(i32::try_from(STREAMS)?)
        .execute(&mut conn)
        .await
        .with_context(|| format!("fill the log {database}"))?;
    ensure!(filled.rows_affected() == u64::from(events), "the log {database} has another number of events");
    sqlx::query(SET_SEQUENCE).execute(&mut conn).await.context("set the sequence behind the events")?;
    sqlx::raw_sql(SETTLE).execute(&mut conn).await.context("settle the log")?;
    conn.close().await?;
    Ok(Log { database, events })
}

impl Log {
    /// All of it.
    pub(crate) fn all(&self) -> Stretch {
        Stretch { after: START, events: self.events }
    }

    /// Its last `events`, or a few less.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn last(&self, server: &Server, events: u32) -> anyhow::Result<Stretch> {
        if events >= self.events {
            return Ok(self.all());
        }
        let mut conn: PgConnection = server.connect(self.database).await?;
        let position: i64 =
            sqlx::query_scalar(BEFORE_LAST).bind(i64::from(events)).fetch_one(&mut conn).await?;
        let (position, offset) = sqlx::query_as(LAST_OF_APPEND).bind(position).fetch_one(&mut conn).await?;
        let count: i64 = sqlx::query_scalar(COUNT_BEHIND).bind(position).fetch_one(&mut conn).await?;
        conn.close().await?;
        Ok(Stretch { after: Place { position, offset }, events: u32::try_from(count)? })
    }
}

//! What gap safety costs a reader: the product's reader against a plain keyset read of the same columns.

use std::str::FromStr;

use anyhow::ensure;
use highwater::core::ports::{Clock, EventLog, Limit};
use highwater::postgres::{Database, PgLog, PgOptions};
use highwater::{Filter, TokioClock};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::types::Uuid;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{ConnectOptions, Connection, Row};

use crate::figure::Figure;
use crate::postgres::logs::{Log, START};
use crate::postgres::server::{Route, Server};
use crate::report::Goal;

const PAIRS: u32 = 20;
const BATCH: u32 = 2_000;
const BATCH_BYTES: usize = 8 << 20;
/// The same columns, without the question whether a hole is dead.
pub(crate) const READ: &str = "SELECT position, \"offset\", id, stream, category, sequence, type, time, \
     data::text, metadata::text FROM highwater.event WHERE (position, \"offset\") > ($1, $2) \
     ORDER BY position, \"offset\" LIMIT $3";

/// What a plain reader makes of a row.
struct Event {
    position: i64,
    offset: i32,
    id: Uuid,
    stream: String,
    category: String,
    sequence: i64,
    event_type: String,
    time: DateTime<Utc>,
    data: Vec<u8>,
    metadata: Option<Vec<u8>>,
}

/// Reads the log again and again, with and without.
///
/// # Errors
/// When the log cannot be read, or has another number of events for one of the two.
pub(crate) async fn measure(server: &Server, log: &Log, quick: bool) -> anyhow::Result<Vec<Figure>> {
    let url = server.url(log.database, Route::Local);
    let clock = TokioClock::new();
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    let pairs = if quick { 2 } else { PAIRS };
    for pair in 0..pairs {
        eprintln!("gap safety: pair {} of {pairs}", pair + 1);
        let mut seconds = [0.0; 2];
        // Neither always runs behind the other.
        for turn in [pair % 2, (pair + 1) % 2] {
            let started = clock.now();
            let (at, read) = if turn == 0 { (0, plain(&url).await?) } else { (1, safe(&url).await?) };
            seconds[at] = clock.now().since(started).as_secs_f64();
            ensure!(read == u64::from(log.events), "{read} events were read instead of {}", log.events);
        }
        ratios.push(seconds[0] / seconds[1]);
        rates.push(f64::from(log.events) / seconds[1]);
    }
    Ok(vec![
        Figure::new("reading, gap-safe against plain", &ratios, "times as fast").goal(Goal::AtLeast(0.95)),
        Figure::new("reading, gap-safe", &rates, "events/s"),
    ])
}

async fn safe(url: &str) -> anyhow::Result<u64> {
    let database = Database::open(url, &PgOptions::default()).await?;
    let mut reader = PgLog::new(&database).open(None, &Filter::all()).await?;
    let limit = Limit { events: usize::try_from(BATCH)?, bytes: BATCH_BYTES };
    let mut read = 0;
    loop {
        let batch = reader.next(limit).await?;
        read += u64::try_from(batch.events.len())?;
        if batch.caught_up {
            return Ok(read);
        }
    }
}

async fn plain(url: &str) -> anyhow::Result<u64> {
    // What the product does when it opens a database, so that reading is compared.
    let database = Database::open(url, &PgOptions::default()).await?;
    let mut conn = PgConnectOptions::from_str(url)?.connect().await?;
    let (mut after, mut read) = ((START.position, START.offset), 0);
    loop {
        let rows =
            sqlx::query(READ).bind(after.0).bind(after.1).bind(i64::from(BATCH)).fetch_all(&mut conn).await?;
        let events = rows.iter().map(event).collect::<sqlx::Result<Vec<_>>>()?;
        let Some(last) = events.last() else { break };
        after = (last.position, last.offset);
        read += u64::try_from(events.iter().filter(|event| event.is_whole()).count())?;
        if rows.len() < usize::try_from(BATCH)? {
            break;
        }
    }
    conn.close().await?;
    drop(database);
    Ok(read)
}

fn event(row: &PgRow) -> sqlx::Result<Event> {
    Ok(Event {
        position: row.try_get(0)?,
        offset: row.try_get(1)?,
        id: row.try_get(2)?,
        stream: row.try_get(3)?,
        category: row.try_get(4)?,
        sequence: row.try_get(5)?,
        event_type: row.try_get(6)?,
        time: row.try_get(7)?,
        data: row.try_get::<&str, _>(8)?.into(),
        metadata: row.try_get::<Option<&str>, _>(9)?.map(Into::into),
    })
}

impl Event {
    /// Looks at everything, so that nothing of the read can be left out.
    fn is_whole(&self) -> bool {
        !self.id.is_nil()
            && !self.stream.is_empty()
            && !self.category.is_empty()
            && !self.event_type.is_empty()
            && !self.data.is_empty()
            && self.metadata.as_ref().is_none_or(|metadata| !metadata.is_empty())
            && self.sequence >= 0
            && self.time.timestamp_micros() > 0
    }
}

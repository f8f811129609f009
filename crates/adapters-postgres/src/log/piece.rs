//! Reading a piece of the log: its events, or their extent only.
//!
//! The statements differ by the shape of the filter alone, its names are bound; so all readers of a
//! connection share a few prepared statements. Bytes are limited by the server, from the size that stands in
//! each row: what does not fit never leaves it. To add sizes up row by row costs more than to read the rows;
//! so at first each event may have its share of the bytes, which needs no sum, and only a reader that has met
//! a heavier one has them added up for a while.

use futures_util::TryStreamExt;
use sqlx::{PgConnection, Row};

use highwater_core::error::Error;
use highwater_core::model::{Interner, RecordedEvent};
use highwater_core::ports::Limit;

use super::rows::{COLUMNS, Events, READ, SHARED, there};
use crate::error::During;
use crate::filter_sql::FilterSql;
use crate::number::to_u64;
use crate::schema::{Schema, Statement};

/// A place between events: behind (position, offset).
pub(super) type Place = (i64, i64);

/// What to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// Behind this.
    pub(super) after: Place,
    /// Up to and including this position.
    pub(super) end: i64,
    pub(super) limit: Limit,
    /// Everything up to here is known to be settled.
    pub(super) settled: i64,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// Empty where only the extent was asked for.
    pub(super) events: Vec<RecordedEvent>,
    pub(super) count: u64,
    pub(super) last: Option<Place>,
    /// The limit was reached: there may be more.
    pub(super) full: bool,
    /// It goes on from what is settled without a gap; says something only for a piece that was not filtered.
    pub(super) contiguous: bool,
}

/// So many reads behind one that met a heavy event add sizes up.
const ADDING_UP: u32 = 20;

/// What earlier reads have taught.
#[derive(Debug, Default)]
pub(super) struct About {
    names: Interner,
    /// Events and bytes of the last batch: the next one will need about as much room.
    room: (usize, usize),
    /// So many reads more add sizes up.
    adding_up: u32,
}

/// How the bytes of a batch are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    /// Each event may have its share; what is heavier is not sent.
    Shared,
    /// All of them together.
    AddedUp,
}

/// The statements of one reader.
#[derive(Debug)]
pub(super) struct Pieces {
    filter: FilterSql,
    shared: Statement,
    added_up: Statement,
    extent: Statement,
    cut: Statement,
}

impl Pieces {
    pub(super) fn new(schema: &Schema, filter: FilterSql) -> Self {
        let rows = |columns: &str| {
            format!(
                "SELECT {columns} FROM highwater.event \
                 WHERE (position, \"offset\") > ($1::bigint, $2::bigint) AND position <= $3::bigint{} \
                 ORDER BY position, \"offset\" LIMIT $4::bigint",
                filter.condition(6)
            )
        };
        let inner = |columns: &str| format!("({}) e", rows(columns));
        let key = "position, \"offset\", size";
        let window = "WINDOW w AS (ORDER BY position, \"offset\" ROWS UNBOUNDED PRECEDING)";
        let keys = inner(key);
        let added_up = if filter.is_all() {
            // The sizes are in the index: adding them up first is cheaper than a window over whole rows.
            format!(
                "WITH piece AS MATERIALIZED (SELECT count(*) AS count, sum(size) AS total FROM {keys}) \
                 SELECT {COLUMNS}, (SELECT count FROM piece) FROM {} LIMIT (SELECT CASE \
                 WHEN total <= $5::bigint THEN count ELSE greatest(1, (SELECT max(nth) FROM \
                 (SELECT row_number() OVER w AS nth, sum(size) OVER w AS total FROM {keys} {window}) c \
                 WHERE c.total <= $5::bigint)) END FROM piece)",
                inner(COLUMNS)
            )
        } else {
            format!(
                "SELECT {COLUMNS}, nth + more FROM (SELECT {COLUMNS}, size, sum(size) OVER w AS total, \
                 row_number() OVER w AS nth, (lead(position) OVER w IS NOT NULL)::int AS more FROM {} \
                 {window}) e \
                 WHERE total <= $5::bigint OR nth = 1",
                inner(&format!("{COLUMNS}, size"))
            )
        };
        // One pass over the index, without a window: positions beyond what is settled are counted by their
        // first events, and there is no gap if they are as many as the positions are far.
        let extent = format!(
            "SELECT count(*), coalesce(sum(size), 0)::bigint, max(position), \
             (array_agg(\"offset\"))[count(*)::int]::bigint, \
             count(*) FILTER (WHERE \"offset\" = 0 AND position > $5::bigint) FROM {}",
            keys
        );
        let cut = format!(
            "SELECT nth, position, \"offset\"::bigint FROM (SELECT position, \"offset\", \
             row_number() OVER w AS nth, \
             sum(size) OVER w AS total FROM {} {window}) e \
             WHERE total <= $5::bigint OR nth = 1 ORDER BY nth DESC LIMIT 1",
            keys
        );
        Self {
            shared: schema.sql(&rows(SHARED)),
            added_up: schema.sql(&added_up),
            extent: schema.sql(&extent),
            cut: schema.sql(&cut),
            filter,
        }
    }

    pub(super) fn filtered(&self) -> bool {
        !self.filter.is_all()
    }

    /// The events.
    pub(super) async fn events(
        &self,
        connection: &mut PgConnection,
        ask: Ask,
        about: &mut About,
    ) -> Result<Piece, Error> {
        if about.adding_up == 0 {
            let piece = self.read(connection, ask, Bytes::Shared, about).await?;
            if about.adding_up == 0 {
                return Ok(piece);
            }
            // It ends before the first heavy event, and not where the limit is reached.
        }
        about.adding_up -= 1;
        self.read(connection, ask, Bytes::AddedUp, about).await
    }

    async fn read(
        &self,
        connection: &mut PgConnection,
        ask: Ask,
        bytes: Bytes,
        about: &mut About,
    ) -> Result<Piece, Error> {
        let limit = ask.limit;
        let (statement, most_bytes) = match bytes {
            Bytes::Shared => (&self.shared, limit.bytes / limit.events.max(1)),
            Bytes::AddedUp => (&self.added_up, limit.bytes),
        };
        let query = sqlx::query(statement.safe())
            .bind(ask.after.0)
            .bind(ask.after.1)
            .bind(ask.end)
            .bind(most(limit.events))
            .bind(most(most_bytes));
        let mut rows = self.filter.bind(query).fetch(connection);
        let mut events = Events::with_room(about.room.0.min(limit.events), about.room.1.min(limit.bytes));
        let mut last = None;
        let mut within = 0;
        let mut through = ask.settled;
        let mut contiguous = ask.after.0 <= ask.settled;
        while let Some(row) = rows.try_next().await.during(READ)? {
            within = there(&row)?;
            if bytes == Bytes::Shared && within > 0 {
                about.adding_up = ADDING_UP;
                break;
            }
            let place = events.take(&row, &mut about.names)?;
            contiguous &= place.0 <= through.saturating_add(1);
            through = through.max(place.0);
            last = Some(place);
        }
        drop(rows);
        about.room = (events.len(), events.bytes());
        let events = events.finish();
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        let full = events.len() >= limit.events || within > count;
        Ok(Piece { events, count, last, full, contiguous })
    }

    /// Their extent.
    pub(super) async fn extent(&self, connection: &mut PgConnection, ask: Ask) -> Result<Piece, Error> {
        let query = sqlx::query(self.extent.safe())
            .bind(ask.after.0)
            .bind(ask.after.1)
            .bind(ask.end)
            .bind(most(ask.limit.events))
            .bind(ask.settled);
        let row = self.filter.bind(query).fetch_one(&mut *connection).await.during(READ)?;
        let count: i64 = row.try_get(0).during(READ)?;
        let bytes: i64 = row.try_get(1).during(READ)?;
        let position: Option<i64> = row.try_get(2).during(READ)?;
        let offset: Option<i64> = row.try_get(3).during(READ)?;
        let beyond: i64 = row.try_get(4).during(READ)?;
        let (Some(position), Some(offset)) = (position, offset) else {
            return Ok(Piece { contiguous: ask.after.0 <= ask.settled, ..Piece::default() });
        };
        let contiguous = ask.after.0 <= ask.settled
            && (position <= ask.settled || position.checked_sub(ask.settled) == Some(beyond));
        if count > 1 && bytes > most(ask.limit.bytes) {
            let ask = Ask { end: position, ..ask };
            return Ok(Piece { contiguous, ..self.cut(connection, ask).await? });
        }
        let full = count >= most(ask.limit.events);
        let count = to_u64(count, "count")?;
        Ok(Piece { events: Vec::new(), count, last: Some((position, offset)), full, contiguous })
    }

    /// The extent, where the limit of bytes comes first.
    async fn cut(&self, connection: &mut PgConnection, ask: Ask) -> Result<Piece, Error> {
        let query = sqlx::query(self.cut.safe())
            .bind(ask.after.0)
            .bind(ask.after.1)
            .bind(ask.end)
            .bind(most(ask.limit.events))
            .bind(most(ask.limit.bytes));
        let row = self.filter.bind(query).fetch_one(connection).await.during(READ)?;
        let count = to_u64(row.try_get(0).during(READ)?, "count")?;
        let last = (row.try_get(1).during(READ)?, row.try_get(2).during(READ)?);
        Ok(Piece { count, last: Some(last), full: true, ..Piece::default() })
    }
}

/// A limit as the server takes it.
fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).max(1)
}

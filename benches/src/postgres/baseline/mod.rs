//! What one would write without the product: plain loops over the same table.
//!
//! They are written with care, since a slow baseline proves nothing: statements are prepared once, the log is
//! read by the whole key, and one checkpoint is moved in the same transaction. What they leave out is what
//! the product is for: no owner, no gap safety, no failed events (but for the one that has savepoints), no
//! retry, no status.

mod limit;
mod per_event;
mod pgbench;
mod unnest;
mod whole;

use std::str::FromStr;

use anyhow::Context;
use highwater::TokioClock;
use highwater::core::ports::{Clock, Moment};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};

use crate::data::Sold;
use crate::postgres::logs::{Place, Stretch};
use crate::postgres::read_model::SCHEMA;

pub(crate) use self::limit::{LIMIT_SQL, limit};
pub(crate) use self::per_event::{Guard, SAVEPOINT_SQL, STATEMENT_SQL, TRANSACTION_SQL, per_event};
pub(crate) use self::pgbench::pgbench;
pub(crate) use self::unnest::{FOLDED_SQL, UNNEST_SQL, insert, unnest};
pub(crate) use self::whole::{WHOLE_SQL, prepare_whole, whole};

const BEGIN: &str = "BEGIN";
const COMMIT: &str = "COMMIT";
const CHECKPOINT_TABLE: &str =
    "CREATE TABLE checkpoint (name text PRIMARY KEY, position bigint NOT NULL, \"offset\" int NOT NULL)";
const CHECKPOINT_ROW: &str = "INSERT INTO checkpoint VALUES ('bench', $1, $2)";
const MOVE_CHECKPOINT: &str = "UPDATE checkpoint SET position = $1, \"offset\" = $2 WHERE name = 'bench'";
/// Events behind a place, in order.
const READ: &str = "SELECT position, \"offset\", data::text FROM highwater.event \
     WHERE (position, \"offset\") > ($1, $2) ORDER BY position, \"offset\" LIMIT $3";

/// A connection of a loop, and how far it is.
struct Loop {
    conn: PgConnection,
    after: Place,
    left: u32,
    batch: u32,
    clock: TokioClock,
    started: Moment,
}

impl Loop {
    /// Connects and makes the read model and the checkpoint. Neither is timed.
    async fn open(url: &str, stretch: Stretch, batch: u32) -> anyhow::Result<Self> {
        let mut conn = PgConnectOptions::from_str(url)?.connect().await.context("connect")?;
        for sql in [SCHEMA, CHECKPOINT_TABLE] {
            conn.execute(sql).await?;
        }
        let Stretch { after, events } = stretch;
        sqlx::query(CHECKPOINT_ROW).bind(after.position).bind(after.offset).execute(&mut conn).await?;
        let clock = TokioClock::new();
        Ok(Self { conn, after, left: events, batch, clock, started: clock.now() })
    }

    /// The time begins here.
    fn start(&mut self) {
        self.started = self.clock.now();
    }

    /// The seconds until now; disconnecting is not timed.
    async fn finish(self) -> anyhow::Result<f64> {
        let took = self.clock.now().since(self.started);
        self.conn.close().await?;
        Ok(took.as_secs_f64())
    }

    /// The next events; none at the end.
    async fn read(&mut self) -> anyhow::Result<Vec<PgRow>> {
        let limit = self.left.min(self.batch);
        let rows = sqlx::query(READ)
            .bind(self.after.position)
            .bind(self.after.offset)
            .bind(i64::from(limit))
            .fetch_all(&mut self.conn)
            .await?;
        if let Some(last) = rows.last() {
            self.after = place(last)?;
        }
        self.left -= u32::try_from(rows.len())?;
        Ok(rows)
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        self.conn.execute(BEGIN).await?;
        Ok(())
    }

    /// Moves the checkpoint and commits.
    async fn commit(&mut self, at: Place) -> anyhow::Result<()> {
        sqlx::query(MOVE_CHECKPOINT).bind(at.position).bind(at.offset).execute(&mut self.conn).await?;
        self.conn.execute(COMMIT).await?;
        Ok(())
    }
}

fn place(row: &PgRow) -> sqlx::Result<Place> {
    Ok(Place { position: row.try_get(0)?, offset: row.try_get(1)? })
}

fn sold(row: &PgRow) -> anyhow::Result<Sold<'_>> {
    Ok(serde_json::from_str(row.try_get(2)?)?)
}

//! The read model of the benchmark, a balance an account: its SQL, in the product's words and in a plain
//! loop's, what must come out of it, and how it is taken away again.

use anyhow::{Context, bail};
use sqlx::{Connection, PgConnection};

use crate::postgres::logs::{Log, Stretch};
use crate::postgres::server::Server;

/// A row: account, how many events, their sum.
type Row = (String, i64, i64);

/// What must come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    rows: Vec<Row>,
    /// Positions of the events that it refuses.
    failed: Vec<i64>,
}

pub(crate) const SCHEMA: &str = "CREATE TABLE balance (account text PRIMARY KEY, \
     events bigint NOT NULL, cents bigint NOT NULL CHECK (cents >= 0))";

/// The statement of an event.
pub(crate) const UPSERT: &str = "INSERT INTO balance (account, events, cents) VALUES ($1, 1, $2) \
     ON CONFLICT (account) DO UPDATE SET events = balance.events + 1, cents = balance.cents + excluded.cents";
/// The same in a projection's SQL.
pub(crate) const ON_SOLD: &str = "INSERT INTO balance (account, events, cents) \
     VALUES (:data.account, 1, :data.cents) \
     ON CONFLICT (account) DO UPDATE SET events = balance.events + 1, cents = balance.cents + excluded.cents";
/// The statement of a batch that was read, event by event.
pub(crate) const UNNEST: &str = "INSERT INTO balance (account, events, cents) \
     SELECT account, count(*), sum(cents) FROM unnest($1::text[], $2::bigint[]) AS sold (account, cents) \
     GROUP BY account ON CONFLICT (account) \
     DO UPDATE SET events = balance.events + excluded.events, cents = balance.cents + excluded.cents";
/// The statement of a batch that was read and summed up.
pub(crate) const UNNEST_FOLDED: &str = "INSERT INTO balance (account, events, cents) \
     SELECT account, events, cents FROM unnest($1::text[], $2::bigint[], $3::bigint[]) \
     AS sold (account, events, cents) ON CONFLICT (account) \
     DO UPDATE SET events = balance.events + excluded.events, cents = balance.cents + excluded.cents";
/// The statement of a batch that is not read at all, in a projection's SQL.
pub(crate) const APPLY: &str = "INSERT INTO balance (account, events, cents) \
     SELECT data->>'account', count(*), sum((data->>'cents')::bigint) FROM events GROUP BY 1 \
     ON CONFLICT (account) \
     DO UPDATE SET events = balance.events + excluded.events, cents = balance.cents + excluded.cents";

/// By one statement that owes nothing to any contestant.
const EXPECTED: &str = "SELECT data->>'account', count(*), sum((data->>'cents')::bigint)::bigint \
     FROM highwater.event WHERE position > $1 AND data->>'cents' ~ '^[0-9]+$' GROUP BY 1 ORDER BY 1";
const REFUSED: &str = "SELECT position FROM highwater.event \
     WHERE position > $1 AND data->>'cents' !~ '^[0-9]+$' ORDER BY position, \"offset\"";
const FOUND: &str = "SELECT account, events, cents FROM balance ORDER BY 1";

/// Where a contestant notes what it could not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailedIn {
    /// The product's own table.
    Product,
    /// The loop's.
    Loop,
}

/// Everything that a run may have left in a database, the log aside.
const RESET: &str = "DROP SCHEMA public CASCADE; CREATE SCHEMA public; \
     TRUNCATE highwater.projection, highwater.failed_event, highwater.dead_letter, \
     highwater.read_model_table";

/// Takes everything away that a run left behind, and begins the next one on a clean disk.
///
/// # Errors
/// When the database does not let us.
pub(crate) async fn reset(server: &Server, database: &str) -> anyhow::Result<()> {
    let mut conn = server.connect(database).await?;
    sqlx::raw_sql(RESET)
        .execute(&mut conn)
        .await
        .with_context(|| format!("reset the database {database}"))?;
    if server.pid().is_some() {
        sqlx::raw_sql("CHECKPOINT").execute(&mut conn).await.context("write everything to the disk")?;
    }
    conn.close().await?;
    Ok(())
}

impl Expected {
    /// What a stretch of a log makes of it.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) async fn of(server: &Server, log: &Log, stretch: Stretch) -> anyhow::Result<Self> {
        let mut conn = server.connect(log.database).await?;
        let rows = sqlx::query_as(EXPECTED).bind(stretch.after.position).fetch_all(&mut conn).await;
        let failed = sqlx::query_scalar(REFUSED).bind(stretch.after.position).fetch_all(&mut conn).await;
        let expected = Self {
            rows: rows.context("compute what must come out")?,
            failed: failed.context("find the bad events")?,
        };
        conn.close().await?;
        Ok(expected)
    }

    /// How many events it refuses.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.len().try_into().unwrap_or(u64::MAX)
    }

    /// Compares what is in a database.
    ///
    /// # Errors
    /// The first difference.
    pub(crate) async fn check(
        &self,
        server: &Server,
        database: &str,
        failed_in: Option<FailedIn>,
    ) -> anyhow::Result<()> {
        let mut conn = server.connect(database).await?;
        let found = sqlx::query_as(FOUND).fetch_all(&mut conn).await.context("read the read model")?;
        same("rows of the read model", &found, &self.rows)?;
        if let Some(place) = failed_in {
            let failed = failed_events(&mut conn, place).await.context("read the failed events")?;
            same("failed events", &failed, &self.failed)?;
        }
        conn.close().await?;
        Ok(())
    }
}

async fn failed_events(conn: &mut PgConnection, place: FailedIn) -> sqlx::Result<Vec<i64>> {
    let sql = match place {
        FailedIn::Product => "SELECT position::bigint FROM highwater.failed_event ORDER BY position",
        FailedIn::Loop => "SELECT position FROM failed ORDER BY position",
    };
    sqlx::query_scalar(sql).fetch_all(conn).await
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &[T], expected: &[T]) -> anyhow::Result<()> {
    if found == expected {
        return Ok(());
    }
    let at = found.iter().zip(expected).position(|(found, expected)| found != expected);
    let at = at.unwrap_or(found.len().min(expected.len()));
    bail!(
        "{} {what} instead of {}; the first that differs is {:?} instead of {:?}",
        found.len(),
        expected.len(),
        found.get(at),
        expected.get(at)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert!(same("rows", &[1, 2], &[1, 2]).is_ok());
        let error = same("rows", &[1], &[1, 2]).unwrap_err().to_string();
        assert_eq!(error, "1 rows instead of 2; the first that differs is None instead of Some(2)");
    }
}

//! The operator's side. It reads what is committed, beside the owner; to pause waits for the batch that has
//! the state.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{
    DeadLetter, FailedEvent, FailedState, Position, ProjectionKey, ProjectionName, ProjectionPart,
    ProjectionState,
};
use highwater_core::ports::{FailedQuery, Owner, ProjectionControl};

use super::{PgStore, failed_rows, state_row};
use crate::columns::Columns;
use crate::error::During;
use crate::reach::acquire;

/// How long an operator waits for a connection where batches have them all; longer than the usual batch may
/// take.
const PATIENCE: Duration = Duration::from_secs(90);
const LIST: &str = "list failed events";
/// What a query means, as a condition on `f` with `$1` to `$7`.
const MEANT: &str = "($1::text IS NULL OR f.projection = $1) AND ($2::bigint IS NULL OR f.version = $2)
    AND (cardinality($3::text[]) = 0 OR f.state = ANY ($3))
    AND ($4::text IS NULL OR (f.position, f.\"offset\") = ($4::numeric, $5::numeric))
    AND ($6::text IS NULL OR (f.position, f.\"offset\") > ($6::numeric, $7::numeric))";

type Bound<'q> = Query<'q, Postgres, PgArguments>;

/// Binds the parameters of [`MEANT`].
fn meant<'q>(bound: Bound<'q>, query: &'q FailedQuery) -> Bound<'q> {
    let states: Vec<&str> = query.states.iter().copied().map(FailedState::as_str).collect();
    let mut bound = bound
        .bind(query.projection.as_ref().map(ProjectionName::as_str))
        .bind(query.version.map(i64::from))
        .bind(states);
    for position in [query.position, query.after] {
        bound = bound
            .bind(position.map(|at| at.commit().to_string()))
            .bind(position.map(|at| at.prepare().to_string()));
    }
    bound
}

impl PgStore {
    async fn connection(&self, operation: &'static str) -> Result<PoolConnection<Postgres>, Error> {
        acquire(&self.database, PATIENCE, operation).await
    }

    /// Runs a statement that changes what a query means, and tells the owners.
    async fn change(&self, operation: &'static str, sql: &str, query: &FailedQuery) -> Result<u64, Error> {
        let statement = self.database.names().sql(sql);
        let mut connection = self.connection(operation).await?;
        let done =
            meant(sqlx::query(statement.safe()), query).execute(&mut *connection).await.during(operation)?;
        if done.rows_affected() > 0 {
            self.database.control().announce_commit();
        }
        Ok(done.rows_affected())
    }
}

#[async_trait]
impl ProjectionControl for PgStore {
    async fn states(&self) -> Result<Vec<ProjectionState>, Error> {
        let mut connection = self.connection("read the states of projections").await?;
        state_row::read(&mut connection, self.database.names(), None).await
    }

    /// Waits for the batch that has the state: what it commits is as if it had been before the pause.
    async fn set_paused(&self, name: &ProjectionName, paused: bool) -> Result<bool, Error> {
        const PAUSE: &str = "pause or resume a projection";
        let statement = self.database.names().sql(
            "WITH changed AS (
                 UPDATE highwater.projection SET paused = $2 WHERE name = $1 AND paused <> $2 RETURNING true)
             SELECT EXISTS (SELECT FROM highwater.projection WHERE name = $1), EXISTS (SELECT FROM changed)",
        );
        let mut connection = self.connection(PAUSE).await?;
        let query = sqlx::query(statement.safe()).bind(name.as_str()).bind(paused);
        let row = query.fetch_one(&mut *connection).await.during(PAUSE)?;
        let mut columns = Columns::from(&row, 0, PAUSE);
        let (known, changed): (bool, bool) = (columns.take()?, columns.take()?);
        if !known {
            return Err(Error::new(ErrorKind::NotFound, PAUSE).with("projection", name));
        }
        if changed {
            self.database.control().announce_commit();
        }
        Ok(changed)
    }

    async fn failed_events(&self, query: &FailedQuery, limit: usize) -> Result<Vec<FailedEvent>, Error> {
        let statement = self.database.names().sql(&format!(
            "SELECT {} FROM highwater.failed_event f WHERE {MEANT}
             ORDER BY f.projection, f.position, f.\"offset\", f.version, f.\"partition\" LIMIT $8",
            failed_rows::select("f")
        ));
        let mut connection = self.connection(LIST).await?;
        let rows = meant(sqlx::query(statement.safe()), query)
            .bind(i64::try_from(limit.max(1)).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await
            .during(LIST)?;
        rows.iter().map(|row| failed_rows::failed_in(&mut Columns::from(row, 0, LIST))).collect()
    }

    async fn dead_letter(
        &self,
        key: &ProjectionKey,
        position: Position,
    ) -> Result<Option<DeadLetter>, Error> {
        let mut connection = self.connection("read a dead letter").await?;
        failed_rows::letter(&mut connection, self.database.names(), key, position).await
    }

    async fn request_replay(&self, query: &FailedQuery) -> Result<u64, Error> {
        let sql = format!(
            "UPDATE highwater.failed_event f SET
                 replay_requested = f.replay_requested OR f.state <> 'retrying',
                 next_attempt = CASE f.state WHEN 'retrying' THEN least(f.next_attempt,
                     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) ELSE f.next_attempt END
             WHERE {MEANT}"
        );
        self.change("request a replay", &sql, query).await
    }

    async fn discard(&self, query: &FailedQuery) -> Result<u64, Error> {
        let sql = format!(
            "WITH rows AS (
                 SELECT f.projection, f.version, f.\"partition\", f.position, f.\"offset\"
                 FROM highwater.failed_event f WHERE {MEANT} AND f.state <> 'retrying' FOR UPDATE),
             letters AS (
                 DELETE FROM highwater.dead_letter l USING rows
                 WHERE (l.projection, l.version, l.\"partition\", l.position, l.\"offset\")
                     = (rows.projection, rows.version, rows.\"partition\", rows.position, rows.\"offset\"))
             DELETE FROM highwater.failed_event d USING rows
             WHERE (d.projection, d.version, d.\"partition\", d.position, d.\"offset\")
                 = (rows.projection, rows.version, rows.\"partition\", rows.position, rows.\"offset\")"
        );
        self.change("discard failed events", &sql, query).await
    }

    async fn owner(&self, part: &ProjectionPart) -> Result<Option<Owner>, Error> {
        self.database.control().owner(&part.lock_key()).await
    }

    async fn changed(&self) -> Result<(), Error> {
        const WAIT: &str = "wait for a commit";
        let mut committed = self.database.control().committed();
        let reported = self.reported.load(Ordering::Relaxed);
        let now = *committed
            .wait_for(|now| *now != reported)
            .await
            .map_err(|error| Error::new(ErrorKind::Closed, WAIT).because(error))?;
        self.reported.store(now, Ordering::Relaxed);
        Ok(())
    }
}

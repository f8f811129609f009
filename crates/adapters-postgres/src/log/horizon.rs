//! How far everything is decided.
//!
//! An appender takes the gate before it draws its numbers, and the server drops the gate after the commit is
//! visible. The gate's key carries a bound below all of those numbers. So what is asked here is, in this
//! order and in one statement, whose snapshot is taken before it looks at the locks:
//!
//! 1. which position `w` is the highest one that is visible: all numbers below it were drawn before;
//! 2. who holds the gate: the owner of a number below `w` is listed with a bound below that number, or has
//!    ended.
//!
//! Up to the least bound everything is settled: whatever a *later* statement does not find there will never
//! be. The numbers above `w` are never judged: after a crash the server may hand out again those of
//! transactions that were rolled back. Nor does it matter which transactions of the server are long, as long
//! as they do not append.
//!
//! What is settled stays so; it is kept in memory for all readers of the log, and asked again only by a
//! reader that would go further. No transaction is open while anybody waits.

use std::sync::{Mutex, PoisonError};

use sqlx::{PgConnection, Row};

use highwater_core::error::{Error, ErrorKind};

use super::piece::Place;
use super::rows::READ;
use crate::error::During;
use crate::schema::{Schema, Statement};

/// How far a run without a gap is followed in one statement.
const RUN: i64 = 100_000;

/// The holders of the gate `$1`, seen from position `w.position`. A prepared transaction has no pid, and
/// counts; a lock of another database does not. A distance of more than 2^30 is that of a bound above.
pub(super) const HOLDERS: &str = "pg_catalog.pg_locks l \
    WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' \
     AND l.granted AND l.objsubid = 2 AND l.classid = to_regclass($1)::oid \
     AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()) \
     AND l.pid IS DISTINCT FROM pg_backend_pid() \
     AND ((w.position - l.objid::bigint) & 2147483647) <= 1073741824";
/// The bound of such a holder.
pub(super) const BOUND: &str = "w.position - ((w.position - l.objid::bigint) & 2147483647)";
/// The last event that is visible.
pub(super) const LAST: &str = "(SELECT 1) one LEFT JOIN LATERAL \
    (SELECT position, \"offset\" FROM highwater.event \
     ORDER BY position DESC, \"offset\" DESC LIMIT 1) w ON true";

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settled {
    /// Everything up to this position is settled.
    pub(super) through: i64,
    /// The last event that was visible, whether or not it is settled.
    pub(super) visible: Option<Place>,
}

impl Settled {
    /// Events are visible that may not be read yet.
    pub(super) fn held(&self) -> bool {
        self.visible.is_some_and(|(position, _)| position > self.through)
    }
}

/// What is known of one log in this process.
#[derive(Debug)]
pub(super) struct Horizon {
    known: Mutex<Known>,
    gate: String,
    ask: Statement,
    run: Statement,
    last_until: Statement,
}

#[derive(Debug, Default, Clone, Copy)]
struct Known {
    through: i64,
    /// When the server was started whose answers these are.
    server: Option<i64>,
}

impl Horizon {
    pub(super) fn new(schema: &Schema) -> Self {
        let ask = format!(
            "SELECT pg_is_in_recovery(), to_regclass($1) IS NOT NULL, \
             (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, \
             w.position, w.\"offset\"::bigint, (SELECT min({BOUND}) FROM {HOLDERS}) FROM {LAST}"
        );
        // The first position of a run behind $1 that has no successor. A subquery for each, so that nothing
        // but the index can be used, and no further than the run goes.
        let run = "SELECT CASE WHEN EXISTS (SELECT FROM highwater.event e WHERE e.position = $1 + 1) \
             THEN coalesce(\
             (SELECT e.position FROM highwater.event e \
               WHERE e.position > $1 AND e.position <= $1 + $2 AND e.\"offset\" = 0 \
                 AND (SELECT n.position FROM highwater.event n \
                       WHERE n.position = e.position + 1 AND n.\"offset\" = 0) IS NULL \
               ORDER BY e.position LIMIT 1), $1 + $2) ELSE $1 END";
        let last_until = "SELECT position, \"offset\"::bigint FROM highwater.event WHERE position <= $1 \
             ORDER BY position DESC, \"offset\" DESC LIMIT 1";
        Self {
            known: Mutex::default(),
            gate: format!("{}.position", schema.quoted()),
            ask: schema.sql(&ask),
            run: schema.sql(run),
            last_until: schema.sql(last_until),
        }
    }

    /// The name of the gate, for `$1` of [`HOLDERS`].
    pub(super) fn gate(&self) -> &str {
        &self.gate
    }

    /// Everything up to here is known to be settled.
    pub(super) fn through(&self) -> i64 {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).through
    }

    /// A reader has seen everything up to `through` without a gap.
    pub(super) fn reached(&self, through: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.through = known.through.max(through);
    }

    /// Forgets what is known: the connection was lost, and the next one may lead to another server.
    pub(super) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Known::default();
    }

    /// Finds out how far everything is settled now. Whoever relies on it must read in a later statement.
    pub(super) async fn settle(&self, connection: &mut PgConnection) -> Result<Settled, Error> {
        let (visible, bound, server) = self.ask(connection).await?;
        let Some(visible) = visible else {
            return Ok(Settled { through: 0, visible: None });
        };
        let mut through = bound.unwrap_or(visible.0).min(visible.0).max(self.known_of(server));
        // What follows without a gap is there, and so settled, whoever holds the gate. Without this a reader
        // would be ahead of what others take for the end of the log.
        while through < visible.0 {
            let end: i64 = sqlx::query_scalar(self.run.safe())
                .bind(through)
                .bind(RUN.min(i64::MAX - through))
                .fetch_one(&mut *connection)
                .await
                .during(READ)?;
            let goes_on = end.checked_sub(through) == Some(RUN);
            through = through.max(end);
            if !goes_on {
                break;
            }
        }
        self.reached(through);
        Ok(Settled { through, visible: Some(visible) })
    }

    async fn ask(&self, connection: &mut PgConnection) -> Result<(Option<Place>, Option<i64>, i64), Error> {
        let row = sqlx::query(self.ask.safe()).bind(&self.gate).fetch_one(connection).await.during(READ)?;
        if row.try_get(0).during(READ)? {
            return Err(Error::new(ErrorKind::Unavailable, READ).because(
                "a standby does not see who is appending, and cannot say what is settled: connect to the \
                    primary",
            ));
        }
        if !row.try_get::<bool, _>(1).during(READ)? {
            return Err(Error::new(ErrorKind::Schema, READ)
                .with("sequence", &self.gate)
                .because("it is missing"));
        }
        let server = row.try_get(2).during(READ)?;
        let position: Option<i64> = row.try_get(3).during(READ)?;
        let offset: Option<i64> = row.try_get(4).during(READ)?;
        Ok((position.zip(offset), row.try_get(5).during(READ)?, server))
    }

    /// What is known from this server; nothing, if it was another one.
    fn known_of(&self, server: i64) -> i64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.server.is_some_and(|known| known != server) {
            *known = Known::default();
        }
        known.server = Some(server);
        known.through
    }

    /// The last event at or below `position`.
    pub(super) async fn last_until(
        &self,
        connection: &mut PgConnection,
        position: i64,
    ) -> Result<Option<Place>, Error> {
        sqlx::query_as(self.last_until.safe()).bind(position).fetch_optional(connection).await.during(READ)
    }
}

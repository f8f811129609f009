//! What holds readers back.

use std::fmt;
use std::time::Duration;

use sqlx::{PgConnection, Row};

use highwater_core::error::Error;
use highwater_core::model::Position;
use highwater_core::ports::HeldBack;

use super::horizon::{BOUND, HOLDERS, LAST};
use crate::error::During;
use crate::number::to_u64;
use crate::schema::{Schema, Statement};

const ASK: &str = "ask who holds readers back";

/// A transaction that has appended and not ended, and behind which events are visible that may not be read
/// yet. It is the one that holds back most; others may stand behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The position behind which readers wait. What follows on it without a gap is read all the same.
    pub position: Position,
    /// How long its transaction has been open; `None` where the server does not tell us.
    pub age: Option<Duration>,
    /// The server's process for it; `None` for a prepared transaction, which ends only by `COMMIT PREPARED`
    /// or `ROLLBACK PREPARED`.
    pub pid: Option<i32>,
    /// The name that its session goes by, where it has one and the server tells us.
    pub application_name: Option<String>,
    /// The name of a prepared transaction.
    pub prepared: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.prepared) {
            (Some(pid), _) => write!(f, "server process {pid}")?,
            (None, Some(name)) => write!(f, "prepared transaction '{name}'")?,
            (None, None) => f.write_str("a prepared transaction")?,
        }
        match &self.application_name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

impl From<Holder> for HeldBack {
    fn from(holder: Holder) -> Self {
        Self { position: holder.position, age: holder.age, holder: holder.to_string() }
    }
}

pub(super) fn statement(schema: &Schema) -> Statement {
    // A prepared transaction is found by the lock on its own id, which has the same holder.
    let sql = format!(
        "SELECT h.bound, h.pid, a.application_name, p.gid, \
         (extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000)::bigint AS age \
         FROM (SELECT {BOUND} AS bound, l.pid, l.virtualtransaction FROM {LAST}, {HOLDERS} \
         ORDER BY 1 LIMIT 1) h \
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = h.pid \
         LEFT JOIN pg_catalog.pg_locks x ON h.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' \
              AND x.virtualtransaction = h.virtualtransaction \
         LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid LIMIT 1"
    );
    schema.sql(&sql)
}

pub(super) async fn ask(
    connection: &mut PgConnection,
    statement: &Statement,
    gate: &str,
) -> Result<Option<Holder>, Error> {
    let row = sqlx::query(statement.safe()).bind(gate).fetch_optional(connection).await.during(ASK)?;
    let Some(row) = row else { return Ok(None) };
    let bound: i64 = row.try_get(0).during(ASK)?;
    let application_name: Option<String> = row.try_get(2).during(ASK)?;
    let age: Option<i64> = row.try_get(4).during(ASK)?;
    Ok(Some(Holder {
        position: Position::new(to_u64(bound, "position")?, 0),
        pid: row.try_get(1).during(ASK)?,
        application_name: application_name.filter(|name| !name.is_empty()),
        prepared: row.try_get(3).during(ASK)?,
        // The server's clock may have been set back.
        age: age.map(|age| Duration::from_millis(u64::try_from(age).unwrap_or_default())),
    }))
}

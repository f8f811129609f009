//! One database, as a process uses it: a pool for batches and reads, and one control connection.

use std::fmt;
use std::future::ready;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, Postgres};
use tokio::time::timeout;

use highwater_core::error::{Error, ErrorKind};

use crate::control::{Control, session_name};
use crate::error::During;
use crate::migrations;
use crate::options::{Ownership, PgOptions};
use crate::reach::{self, Reach, shown};
use crate::schema::Schema;
use crate::stale_plans;

const OPEN: &str = "connect to PostgreSQL";
/// How long the end may take.
const CLOSE: Duration = Duration::from_secs(2);
/// The oldest server that is supported, as `server_version_num` has it.
const OLDEST: i32 = 15_00_00;
/// Noticed by the server itself: a client that is gone, in the middle of a statement or between two.
const SESSION: [(&str, &str); 6] = [
    ("client_connection_check_interval", "500ms"),
    ("tcp_keepalives_idle", "1"),
    ("tcp_keepalives_interval", "1"),
    ("tcp_keepalives_count", "2"),
    ("tcp_user_timeout", "3000"),
    ("default_transaction_isolation", "read committed"),
];

/// One database and schema. A clone is another handle to the same connections.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    pool: PgPool,
    schema: Schema,
    options: PgOptions,
    shown: String,
    control: Control,
    reach: Reach,
}

impl Database {
    /// Connects, checks the server's version, and creates or updates our own tables if the options permit it.
    ///
    /// The address is that of libpq: `postgres://user:password@host:port/database?sslmode=require`.
    ///
    /// # Errors
    /// `Invalid` for an address or options that are not understood, `Unavailable` if no server answers or it is a
    /// standby, `AccessDenied`, `NotFound` if there is no such database, `Unsupported` for a server older than 15
    /// or tables that a newer program wrote.
    pub async fn open(url: &str, options: &PgOptions) -> Result<Self, Error> {
        let schema = Schema::new(&options.schema)?;
        let connect = connect_options(url, options)?;
        let shown = shown(&connect);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .min_connections(0)
            .acquire_timeout(options.connect_timeout)
            .test_before_acquire(false)
            .before_acquire(|_, about| Box::pin(ready(Ok(!stale_plans::may_be_on(about.age)))))
            .connect_lazy_with(connect.clone());
        let control = Control::new(connect, &schema, options);
        let reach = Reach::default();
        let database =
            Self(Arc::new(Inner { pool, schema, options: options.clone(), shown, control, reach }));
        let mut first = database.connection(OPEN).await.map_err(missing)?;
        database.look(&mut first).await.map_err(|error| error.with("server", database.shown()))?;
        // Dropped, it would be in the pool a little later, when somebody has made another one already.
        first.return_to_pool().await;
        Ok(database)
    }

    /// Whether it is one that we can work with, and has our tables.
    async fn look(&self, connection: &mut PgConnection) -> Result<(), Error> {
        check_server(connection).await?;
        migrations::ensure(connection, self.names(), self.options().migrate).await
    }

    /// The connections that batches and reads are made with.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// The schema of our own tables and functions.
    #[must_use]
    pub fn schema(&self) -> &str {
        self.0.schema.name()
    }

    /// Where it is, without secrets: `host:port/database`.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.0.shown
    }

    /// Whether both are the same tables, so that events need not leave the server. Two addresses of one server
    /// count as two.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.shown == other.0.shown && self.schema() == other.schema()
    }

    /// How many batches have won their state row while another session had the advisory lock that goes with it: keys
    /// with the same hash, or somebody's own locks that meet ours. The row decides, so that nothing follows from it.
    #[must_use]
    pub fn key_collisions(&self) -> u64 {
        self.control().collisions()
    }

    /// Gives up what is owned here, says what is still to be said to other processes, and ends the control
    /// connection. At the end of a run, since what a process leaves undone the others find out only later; the next
    /// use makes another connection. Takes two seconds at most.
    pub async fn leave(&self) {
        within(self.control().close()).await;
    }

    /// As [`Database::leave`], and then ends all connections: a later use of this handle or of another one to the
    /// same fails. Waits for the connections that are in use. Takes two seconds at most.
    pub async fn close(&self) {
        within(async {
            self.control().close().await;
            self.pool().close().await;
        })
        .await;
    }

    /// A connection of the pool, or why there is none.
    pub(crate) async fn connection(
        &self,
        operation: &'static str,
    ) -> Result<PoolConnection<Postgres>, Error> {
        reach::acquire(self, Duration::ZERO, operation).await
    }

    pub(crate) fn reach(&self) -> &Reach {
        &self.0.reach
    }

    pub(crate) fn names(&self) -> &Schema {
        &self.0.schema
    }

    pub(crate) fn options(&self) -> &PgOptions {
        &self.0.options
    }

    /// The control connection: not part of the interface, but tests look at it.
    #[doc(hidden)]
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.0.control
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("server", &self.0.shown).field("schema", &self.schema()).finish()
    }
}

fn connect_options(url: &str, options: &PgOptions) -> Result<PgConnectOptions, Error> {
    let connect = PgConnectOptions::from_str(url).map_err(|error| {
        Error::new(
            ErrorKind::Invalid,
            "read a PostgreSQL address: write postgres://user:password@host:port/database",
        )
        .because(error)
    })?;
    let connect = connect.application_name(&session_name(options)).log_statements(log_level());
    Ok(match options.ownership {
        Ownership::Session => connect.options(SESSION),
        // A pooler passes settings at connect on to nobody. Prepared statements it has to tell apart by itself: the
        // driver names each that it prepares, and one that is forgotten here would be kept there.
        Ownership::Lease => connect,
    })
}

fn log_level() -> tracing::log::LevelFilter {
    tracing::log::LevelFilter::Off
}

/// An error that names what to do.
fn missing(error: Error) -> Error {
    match error.backend_code() {
        Some("3D000") => Error::new(ErrorKind::NotFound, "connect to PostgreSQL: create the database first")
            .code("3D000")
            .because(error),
        _ => error,
    }
}

async fn within(end: impl Future<Output = ()>) {
    if timeout(CLOSE, end).await.is_err() {
        tracing::debug!("the connections were not closed in time; the server notices that they are gone");
    }
}

async fn check_server(connection: &mut PgConnection) -> Result<(), Error> {
    let (version, standby): (i32, bool) =
        sqlx::query_as("SELECT current_setting('server_version_num')::int, pg_is_in_recovery()")
            .fetch_one(connection)
            .await
            .during(OPEN)?;
    check_version(version)?;
    if standby {
        return Err(Error::new(ErrorKind::Unavailable, OPEN)
            .because("it is a read-only standby: name the primary, or wait until this one is promoted"));
    }
    Ok(())
}

fn check_version(version: i32) -> Result<(), Error> {
    if version >= OLDEST {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, OPEN).because(format!(
        "the server is PostgreSQL {}, and {} is the oldest that is supported: upgrade it",
        version / 10_000,
        OLDEST / 10_000
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsupported_version_is_told_by_its_number() {
        assert!(check_version(150_000).is_ok());
        assert!(check_version(180_001).is_ok());
        let error = check_version(140_011).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.chain().contains("PostgreSQL 14"), "{}", error.chain());
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let connect =
            connect_options("postgres://u:secret@db.example:5433/shop", &PgOptions::default()).unwrap();
        assert_eq!(shown(&connect), "db.example:5433/shop");
    }

    #[test]
    fn x_12_a_bad_address_says_how_one_is_written() {
        let error = connect_options("postgres://u@h:port/db", &PgOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.chain().contains("postgres://user:password@host"), "{}", error.chain());
    }
}

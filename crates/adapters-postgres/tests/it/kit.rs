//! A place of its own for each test: a schema for our tables, and one for the user's, dropped afterwards.

use highwater_postgres::sqlx::{AssertSqlSafe, Connection, Executor, raw_sql};
use highwater_postgres::{Database, PgConnection, PgOptions};

/// The server's address; tests that need one are skipped, visibly, where it is unset.
const URL: &str = "HIGHWATER_TEST_POSTGRES_URL";

/// A pair of schemas that nobody else uses.
pub(crate) struct Place {
    server: String,
    name: String,
}

impl Place {
    /// `None` where there is no server; the test is then skipped, or fails where backends are required.
    pub(crate) async fn new() -> Option<Self> {
        let Ok(server) = std::env::var(URL) else {
            assert!(
                std::env::var_os("REQUIRE_BACKENDS").is_none(),
                "backends are required and {URL} is not set: run `cargo xtask test`"
            );
            eprintln!("skipped: {URL} is not set");
            return None;
        };
        let name = format!("t_{}", uuid::Uuid::now_v7().simple());
        let place = Self { server, name };
        place.execute(&format!("CREATE SCHEMA {}", place.user_schema())).await;
        Some(place)
    }

    /// The schema of our own tables.
    pub(crate) fn schema(&self) -> &str {
        &self.name
    }

    /// The schema of the user's tables, first in the search path of [`Place::url`].
    pub(crate) fn user_schema(&self) -> String {
        format!("{}_user", self.name)
    }

    /// An address under which unqualified names are the user's in this place.
    pub(crate) fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}options[search_path]={}", self.server, self.user_schema())
    }

    pub(crate) fn options(&self) -> PgOptions {
        PgOptions::default().schema(self.schema())
    }

    /// Another handle each time, sharing nothing with the others, as another process would have.
    pub(crate) async fn database(&self) -> Database {
        Database::open(&self.url(), &self.options()).await.expect("the database opens")
    }

    /// A connection beside everything.
    pub(crate) async fn raw(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("a connection")
    }

    /// Runs statements on a connection of their own. `highwater.` is the schema of our own tables.
    pub(crate) async fn execute(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.server).await.expect("a connection");
        let sql = format!(
            "SET search_path = {}; {}",
            self.user_schema(),
            sql.replace("highwater.", &format!("{}.", self.name))
        );
        connection.execute(raw_sql(AssertSqlSafe(sql))).await.expect("the statements run");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let drop = format!(
            "SET lock_timeout = '2s'; DROP SCHEMA IF EXISTS {} CASCADE; DROP SCHEMA IF EXISTS {} CASCADE",
            self.name,
            self.user_schema()
        );
        let server = self.server.clone();
        // The test's own runtime may be on its way out.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server).await?;
                connection.execute(raw_sql(AssertSqlSafe(drop))).await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            })
        })
        .join();
        if !matches!(dropped, Ok(Ok(()))) {
            eprintln!("the schemas of {} stay behind: {dropped:?}", self.name);
        }
    }
}

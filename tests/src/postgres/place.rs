//! A place of its own for each test: a schema for our tables, and one for the user's, dropped afterwards.

use highwater_postgres::{Database, PgOptions};

use crate::folder::Folder;

use super::needed;
use super::session::Session;

/// The address of the server that all tests share.
const URL: &str = "HIGHWATER_TEST_POSTGRES_URL";

/// A pair of schemas that nobody else uses. Dropping it drops them.
#[derive(Debug)]
pub struct Place {
    server: String,
    name: String,
}

impl Place {
    /// A place on the server that all tests share; `None`, said aloud, where there is none: the test is skipped.
    ///
    /// # Panics
    /// When there is none and backends are required.
    #[must_use]
    pub fn new() -> Option<Self> {
        needed(URL).map(|server| Self::on(&server))
    }

    /// A place on a server that this address names.
    #[must_use]
    pub fn on(server: &str) -> Self {
        let name = format!("t_{}", uuid::Uuid::now_v7().simple());
        let this = Self { server: server.to_owned(), name };
        Session::open(server).run(&format!("CREATE SCHEMA {}", this.user_schema()));
        this
    }

    /// The schema of our own tables.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.name
    }

    /// The schema of the user's tables, first in the search path of [`Place::url`].
    #[must_use]
    pub fn user_schema(&self) -> String {
        format!("{}_user", self.name)
    }

    /// An address under which unqualified names are the user's in this place.
    #[must_use]
    pub fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}options[search_path]={}", self.server, self.user_schema())
    }

    /// How the library opens it.
    #[must_use]
    pub fn options(&self) -> PgOptions {
        PgOptions::default().schema(self.schema())
    }

    /// Another handle each time, sharing nothing with the others, as another process would have. It belongs to the
    /// caller's runtime.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn database(&self) -> Database {
        let opened = Database::open(&self.url(), &self.options()).await;
        opened.unwrap_or_else(|error| panic!("{}", error.chain()))
    }

    /// A connection beside everything; unqualified names are the user's.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::open(&self.url())
    }

    /// Runs statements on a connection of their own. `highwater.` is the schema of our own tables.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        self.session().run(&self.sql(sql));
    }

    /// `sql` with our own schema for `highwater.`
    #[must_use]
    pub fn sql(&self, sql: &str) -> String {
        sql.replace("highwater.", &format!("{}.", self.name))
    }

    /// A table of a config, such as `log` or `store`, that names this place.
    #[must_use]
    pub fn table(&self, name: &str) -> String {
        self.table_at(name, &self.url())
    }

    /// The same under another address, such as a [`super::Proxy`]'s.
    #[must_use]
    pub fn table_at(&self, name: &str, url: &str) -> String {
        format!("[{name}]\nurl = \"{url}\"\nschema = \"{}\"\n", self.name)
    }

    /// A folder for the binary, whose `highwater.toml` has its log here, and this behind it.
    #[must_use]
    pub fn folder(&self, config: &str) -> Folder {
        Folder::with_log(&self.table("log"), config)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let drop = format!(
            "SET client_min_messages = warning; SET lock_timeout = '2s';
             DROP SCHEMA IF EXISTS {} CASCADE; DROP SCHEMA IF EXISTS {} CASCADE",
            self.name,
            self.user_schema()
        );
        if let Err(error) = Session::try_open(&self.server).and_then(|session| session.try_run(&drop)) {
            eprintln!("the schemas of {} stay behind: {error}", self.name);
        }
    }
}

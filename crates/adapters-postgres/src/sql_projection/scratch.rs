//! A read model that nobody keeps, beside the real one.
//!
//! A session of its own, in which the temporary schema comes first: the tables that the projection's schema creates
//! are temporary there, and so is all that is written to them. They are gone when the session is, however it ends,
//! and they can be committed batch by batch, which keeps tables small that a projection updates in place.
//!
//! The real tables are kept safe by the server: events are applied in transactions that may write to temporary
//! tables only; where that cannot be, because DDL is run, the transaction is rolled back if it has locked anything
//! else for writing.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::failure::Failure;
use highwater_core::model::RecordedEvent;
use highwater_core::ports::ApplySlice;
use highwater_core::sql::{SqlProblems, SqlProjectionDef, SqlScript};

use crate::database::Database;
use crate::error::{During, failed};
use crate::options::Ownership;

use super::projection::SqlProjection;
use super::read_model;
use super::run_error::statement_error;
use super::scratch_ddl::{Treatment, treatment};
use super::table_name::TableName;

const WORK: &str = "work on a scratch read model";
/// The first permanent table that this transaction has locked for a change.
const TOUCHED: &str = "
    SELECT c.oid::regclass::text FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND c.relpersistence <> 't'
      AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)
    LIMIT 1";

/// A projection with tables of its own in a session of its own.
pub(super) struct Scratch {
    pub(super) connection: PgConnection,
    pub(super) projection: SqlProjection,
    pub(super) tables: Vec<ScratchTable>,
}

/// A table of the read model.
#[derive(Debug)]
pub(super) struct ScratchTable {
    /// As the projection names it.
    pub(super) name: String,
    /// The temporary one, as SQL takes it.
    pub(super) scratch: String,
    /// The real one, if there is one.
    pub(super) real: Option<String>,
}

impl Scratch {
    /// Opens a session and sets the projection up in it.
    pub(super) async fn open(def: &SqlProjectionDef, database: &Database) -> Result<Self, Error> {
        let projection = SqlProjection::new(def.clone(), database)
            .map_err(|problems| Error::new(ErrorKind::Invalid, "read SQL").because(SqlProblems(problems)))?;
        if let Some(named) = projection.created().iter().find(|table| table.schema.is_some()) {
            return Err(not_beside(&projection, &named.to_string()));
        }
        if database.options().ownership == Ownership::Lease {
            return Err(Error::new(ErrorKind::Unsupported, "compute a read model beside the real one").because(
                "it takes a session of its own, which a pooler does not give: connect to the server itself, with \
                 ownership by session",
            ));
        }
        let options = database.pool().connect_options();
        let mut connection = PgConnection::connect_with(&options).await.during(WORK)?;
        let tables = tables(&mut connection, projection.read_model()).await?;
        let mut scratch = Self { connection, projection, tables };
        scratch
            .run(
                "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '10s';
                 SELECT set_config('search_path', 'pg_temp, ' || current_setting('search_path'), false)",
            )
            .await?;
        scratch.run("BEGIN").await?;
        scratch.create().await?;
        scratch.copy_foreign().await?;
        scratch.projection.check_on(&mut scratch.connection).await?;
        scratch.projection.prepare_slices(&mut scratch.connection).await?;
        scratch.commit_guarded().await?;
        Ok(scratch)
    }

    /// Applies events that may have gaps between them: all of them, or none.
    pub(super) async fn apply(&mut self, events: &[RecordedEvent]) -> Result<(), Failure> {
        let read_only = self.projection.writes_rows_only();
        self.run(if read_only { "BEGIN READ ONLY" } else { "BEGIN" }).await?;
        let slice = ApplySlice::Events { events, contiguous: false };
        let mut outcome = self.projection.apply_on(&mut self.connection, slice).await;
        if outcome.is_ok() {
            // As the runner does before it keeps a slice.
            outcome = self.run("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(Failure::new);
        }
        match outcome {
            Ok(()) if read_only => Ok(self.run("COMMIT").await?),
            Ok(()) => Ok(self.commit_guarded().await?),
            Err(failure) => {
                self.run("ROLLBACK").await?;
                match failure.source().downcast_ref::<Error>().and_then(Error::backend_code) {
                    Some("25006") => Err(Failure::new(
                        not_beside(&self.projection, "what its SQL writes to").because(failure.message()),
                    )),
                    _ => Err(failure),
                }
            }
        }
    }

    /// Empties the tables as a rebuild does.
    pub(super) async fn clear(&mut self) -> Result<(), Error> {
        self.run("BEGIN").await?;
        self.projection.clear_on(&mut self.connection).await?;
        self.projection.prepare_slices(&mut self.connection).await?;
        self.commit_guarded().await
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        self.connection.execute(sqlx::raw_sql(sql)).await.map(|_done| ()).during(WORK)
    }

    /// Ends the session, and with it everything in it.
    pub(super) async fn close(self) -> Result<(), Error> {
        self.connection.close().await.during(WORK)
    }

    /// Runs the schema with temporary tables in the place of its tables.
    async fn create(&mut self) -> Result<(), Error> {
        let Some(schema) = self.projection.schema_script() else { return Ok(()) };
        for (index, statement) in schema.statements().iter().enumerate() {
            match treatment(statement.sql()) {
                Treatment::Run => {}
                Treatment::Skip => continue,
                Treatment::Within => {
                    run_within(&mut self.connection, schema, index).await?;
                    continue;
                }
                Treatment::Refuse => {
                    return Err(not_beside(&self.projection, "what its schema changes or drops"));
                }
            }
            match logged(statement.sql()) {
                None => read_model::run(&mut self.connection, schema, index).await?,
                Some(sql) => {
                    let sql = sqlx::raw_sql(AssertSqlSafe(sql));
                    let ran = self.connection.execute(sql).await;
                    ran.map_err(|error| schema.at(index, failed("run SQL", error)))?;
                }
            }
        }
        Ok(())
    }

    /// Tables that the projection writes to and does not create: empty ones of the same make.
    async fn copy_foreign(&mut self) -> Result<(), Error> {
        for table in &self.tables {
            let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
                .persistent(false)
                .bind(&table.scratch)
                .fetch_one(&mut self.connection)
                .await
                .during(WORK)?;
            let Some(real) = table.real.as_ref().filter(|_| !there) else { continue };
            let scratch = &table.scratch;
            let create = format!("CREATE TABLE {scratch} (LIKE {real} INCLUDING ALL EXCLUDING STATISTICS)");
            self.connection.execute(sqlx::raw_sql(AssertSqlSafe(create))).await.during(WORK)?;
            // Numbers come from a sequence of the scratch's own.
            let serial: Vec<String> = sqlx::query_scalar(
                "SELECT quote_ident(attname) FROM pg_attribute a
                 JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                 WHERE a.attrelid = $1::regclass AND pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%'",
            )
            .persistent(false)
            .bind(scratch)
            .fetch_all(&mut self.connection)
            .await
            .during(WORK)?;
            for column in serial {
                let own = format!(
                    "CREATE SEQUENCE IF NOT EXISTS pg_temp.hw_numbers;
                     ALTER TABLE {scratch} ALTER COLUMN {column} SET DEFAULT nextval('pg_temp.hw_numbers')"
                );
                self.connection.execute(sqlx::raw_sql(AssertSqlSafe(own))).await.during(WORK)?;
            }
        }
        Ok(())
    }

    /// Commits what touched temporary tables only.
    async fn commit_guarded(&mut self) -> Result<(), Error> {
        let touched: Option<String> =
            sqlx::query_scalar(TOUCHED).fetch_optional(&mut self.connection).await.during(WORK)?;
        match touched {
            None => self.run("COMMIT").await,
            Some(table) => {
                self.run("ROLLBACK").await?;
                Err(not_beside(&self.projection, &table))
            }
        }
    }
}

fn not_beside(projection: &SqlProjection, what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "compute a read model beside the real one")
        .with("projection", projection.name())
        .with("table", what)
        .because(
            "its SQL writes to tables that the schema does not create in place, or names its tables with their \
             schema: name them without",
        )
}

/// Runs a statement that sees nothing but temporary tables.
async fn run_within(connection: &mut PgConnection, schema: &SqlScript, index: usize) -> Result<(), Error> {
    let path: String = sqlx::query_scalar("SELECT current_setting('search_path')")
        .fetch_one(&mut *connection)
        .await
        .during(WORK)?;
    let sql = format!("SET LOCAL search_path = pg_temp; {}", schema.statements()[index].sql());
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .map_err(|error| statement_error(schema, index, error))?;
    sqlx::query("SELECT set_config('search_path', $1, true)")
        .bind(path)
        .execute(connection)
        .await
        .map(|_done| ())
        .during(WORK)
}

/// The statement without UNLOGGED, which no temporary table can be; `None` where it does not say so.
fn logged(sql: &str) -> Option<String> {
    let mut words = super::table_name::Words(sql);
    if !words.pass("CREATE") || !words.pass("UNLOGGED") {
        return None;
    }
    Some(format!("CREATE {}", words.0))
}

/// The tables as they are found without the scratch.
async fn tables(connection: &mut PgConnection, names: &[TableName]) -> Result<Vec<ScratchTable>, Error> {
    let mut tables = Vec::with_capacity(names.len());
    for table in names {
        let real: Option<String> = sqlx::query_scalar(
            "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)",
        )
        .bind(table.quoted())
        .fetch_optional(&mut *connection)
        .await
        .during(WORK)?;
        let scratch = TableName { schema: Some("pg_temp".to_owned()), name: table.name.clone() };
        tables.push(ScratchTable { name: table.to_string(), scratch: scratch.quoted(), real });
    }
    Ok(tables)
}

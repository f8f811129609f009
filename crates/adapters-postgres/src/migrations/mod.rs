//! Our own tables, and how a database gets them.
//!
//! Each step is a numbered file, applied in one transaction together with the number that says so, in a table of
//! our own schema: the user's tables, and the migration tables of other tools, are never touched. A step that was
//! released is never changed; what comes later is a new step. Processes that start together take turns.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use highwater_core::error::{Error, ErrorKind};

use crate::error::During;
use crate::schema::{Schema, quote_literal};

const MIGRATE: &str = "bring the database up to date";
const STEPS: &[&str] = &[
    include_str!("0001_log.sql"),
    include_str!("0002_read_models.sql"),
    include_str!("0003_ownership.sql"),
    include_str!("0004_sql_projections.sql"),
    include_str!("0005_checkpoint_keys.sql"),
    include_str!("0006_sound_appends.sql"),
    include_str!("0007_move_state.sql"),
    include_str!("0008_lock_state.sql"),
    include_str!("0009_keep_plans.sql"),
    include_str!("0010_search.sql"),
];

/// The version of the tables that this program works with.
fn latest() -> i32 {
    i32::try_from(STEPS.len()).expect("there are few steps")
}

/// Makes sure that the schema has the tables of this version; creates them where `apply` permits it.
///
/// # Errors
/// `Unsupported` if a newer version has written the schema; `Invalid` if it needs a step that may not be applied;
/// `AccessDenied` if the user may not create tables.
pub(crate) async fn ensure(connection: &mut PgConnection, schema: &Schema, apply: bool) -> Result<(), Error> {
    let version = version(connection, schema).await?;
    if version == latest() {
        return Ok(());
    }
    let versions = |kind| {
        Error::new(kind, "open the database")
            .with("schema", schema.name())
            .with("version", version)
            .with("ours", latest())
    };
    if version > latest() {
        return Err(versions(ErrorKind::Unsupported).because(
            "a newer version of highwater has written its tables: use the newer program, or another schema",
        ));
    }
    if !apply {
        return Err(versions(ErrorKind::Invalid)
            .because("its tables are missing or old: migrate it first (`highwater migrate`)"));
    }
    migrate(connection, schema).await
}

/// The version of the tables in the schema; 0 where there are none.
async fn version(connection: &mut PgConnection, schema: &Schema) -> Result<i32, Error> {
    const READ: &str = "read the version of the database";
    let table = format!("{}.migration", schema.quoted());
    let there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(&mut *connection)
        .await
        .during(READ)?;
    if !there {
        return Ok(0);
    }
    let statement = schema.sql("SELECT coalesce(max(version), 0) FROM highwater.migration");
    sqlx::query_scalar(statement.safe()).fetch_one(connection).await.during(READ)
}

async fn migrate(connection: &mut PgConnection, schema: &Schema) -> Result<(), Error> {
    let mut tx = connection.begin().await.during(MIGRATE)?;
    // Two processes that start together: the second finds the work done.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('highwater migrate'), hashtext($1))")
        .bind(schema.name())
        .execute(&mut *tx)
        .await
        .during(MIGRATE)?;
    let exists: bool = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL")
        .bind(schema.quoted())
        .fetch_one(&mut *tx)
        .await
        .during(MIGRATE)?;
    if !exists {
        // Asked first, since a user who may not create schemas may well be given one.
        let create = format!("CREATE SCHEMA {}", schema.quoted());
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *tx).await.during(MIGRATE)?;
    }
    let table = schema.text(
        "CREATE TABLE IF NOT EXISTS highwater.migration
             (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
    );
    sqlx::raw_sql(AssertSqlSafe(table)).execute(&mut *tx).await.during(MIGRATE)?;
    let done = version(&mut tx, schema).await?;
    for (number, step) in (1_i32..).zip(STEPS) {
        if number <= done {
            continue;
        }
        let named = step.replace("'highwater_schema'", &quote_literal(schema.name()));
        sqlx::raw_sql(AssertSqlSafe(schema.text(&named)))
            .execute(&mut *tx)
            .await
            .during(MIGRATE)
            .map_err(|error| error.with("step", number))?;
        sqlx::query(schema.sql("INSERT INTO highwater.migration (version) VALUES ($1)").safe())
            .bind(number)
            .execute(&mut *tx)
            .await
            .during(MIGRATE)?;
    }
    tx.commit().await.during(MIGRATE)
}

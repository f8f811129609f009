//! The tables of a read model: made at the start, emptied for a rebuild.

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ProjectionName;
use highwater_core::sql::{SqlScript, StatementKind};

use crate::error::During;

use super::run_error::statement_error;
use super::table_name::TableName;

const CREATE: &str = "create the read model";
const EMPTY: &str = "empty the read model";

/// Runs a statement of a script by itself.
pub(super) async fn run(
    connection: &mut PgConnection,
    script: &SqlScript,
    statement: usize,
) -> Result<(), Error> {
    let sql = script.statements()[statement].sql().to_owned();
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .map(|_done| ())
        .map_err(|error| statement_error(script, statement, error))
}

/// Runs the schema.
///
/// A table that held rows before it and holds them after it is refused: the log is about to be applied from its
/// start, and would be added to what another version, or somebody else, has put there.
pub(super) async fn create(
    connection: &mut PgConnection,
    projection: &ProjectionName,
    schema: &SqlScript,
    creates: &[TableName],
) -> Result<(), Error> {
    let mut occupied = with_rows(connection, creates.iter()).await?;
    for statement in 0..schema.statements().len() {
        run(connection, schema, statement).await?;
        occupied = with_rows(connection, occupied.into_iter()).await?;
    }
    match occupied.first() {
        None => Ok(()),
        Some(table) => Err(Error::new(ErrorKind::AlreadyExists, CREATE)
            .with("projection", projection)
            .with("table", table)
            .because(format!(
                "the table holds rows already, and the events would be applied on top of them: put \
                 `DROP TABLE IF EXISTS {};` before its CREATE TABLE in the schema, or give the new table another name",
                table.quoted()
            ))),
    }
}

/// Empties the tables, and runs what the schema inserts when they are those that it creates. All at once, so that
/// they may refer to each other; numbers that they hand out begin again.
pub(super) async fn clear(
    connection: &mut PgConnection,
    projection: &ProjectionName,
    schema: Option<&SqlScript>,
    creates: &[TableName],
    explicit: Option<&[TableName]>,
) -> Result<(), Error> {
    let tables = explicit.unwrap_or(creates);
    if tables.is_empty() {
        let refused = Error::new(ErrorKind::Invalid, EMPTY).with("projection", projection);
        return Err(refused.because(
            "no table is known to be its own: create them in `schema`, or name them in `tables = [...]`",
        ));
    }
    let names: Vec<String> = tables.iter().map(TableName::quoted).collect();
    let missing: Option<String> = sqlx::query_scalar(
        "SELECT name FROM unnest($1::text[]) name WHERE to_regclass(name) IS NULL LIMIT 1",
    )
    .persistent(false)
    .bind(&names)
    .fetch_optional(&mut *connection)
    .await
    .during(EMPTY)?;
    if let Some(missing) = missing {
        return Err(Error::new(ErrorKind::NotFound, EMPTY)
            .with("projection", projection)
            .with("table", missing)
            .because("the database has no such table; if `schema` has changed, raise the version instead"));
    }
    let truncate = format!("TRUNCATE {} RESTART IDENTITY", names.join(", "));
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(truncate)))
        .await
        .during(EMPTY)
        .map_err(|error| error.with("projection", projection))?;
    let Some(schema) = schema.filter(|_| explicit.is_none()) else { return Ok(()) };
    for (index, statement) in schema.statements().iter().enumerate() {
        if statement.kind() == StatementKind::Dml {
            run(connection, schema, index).await?;
        }
    }
    Ok(())
}

/// Those of the tables that exist and hold a row.
async fn with_rows<'t>(
    connection: &mut PgConnection,
    tables: impl Iterator<Item = &'t TableName>,
) -> Result<Vec<&'t TableName>, Error> {
    const LOOK: &str = "look into a table of the read model";
    let mut found = Vec::new();
    for table in tables {
        let name = table.quoted();
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .persistent(false)
            .bind(&name)
            .fetch_one(&mut *connection)
            .await
            .during(LOOK)?;
        if !exists {
            continue;
        }
        let rows: Option<i32> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT 1 FROM {name} LIMIT 1")))
            .persistent(false)
            .fetch_optional(&mut *connection)
            .await
            .during(LOOK)
            .map_err(|error| error.with("table", table))?;
        if rows.is_some() {
            found.push(table);
        }
    }
    Ok(found)
}

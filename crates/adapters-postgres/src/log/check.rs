//! What must hold of the sequence behind the positions, and what an incomplete restore breaks.

use sqlx::{PgConnection, Row};

use highwater_core::error::Error;

use crate::error::During;
use crate::schema::{Schema, Statement};

const CHECK: &str = "check the log's sequence";

pub(super) fn statement(schema: &Schema) -> Statement {
    schema.sql(
        "SELECT s.seqcache = 1, NOT s.seqcycle AND s.seqincrement = 1, c.relpersistence = 'p', \
         p.last_value >= coalesce((SELECT max(e.position) FROM highwater.event e), 0), \
         p.last_value >= (SELECT m.position FROM highwater.settled_mark m) \
         FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid, \
         highwater.position p \
         WHERE s.seqrelid = to_regclass($1)",
    )
}

/// What is wrong, each with what to do; empty if all is well.
pub(super) async fn ask(
    connection: &mut PgConnection,
    statement: &Statement,
    sequence: &str,
) -> Result<Vec<String>, Error> {
    let row = sqlx::query(statement.safe()).bind(sequence).fetch_optional(connection).await.during(CHECK)?;
    let Some(row) = row else {
        return Ok(vec![format!("the sequence {sequence} is missing: restore it, then set it with setval")]);
    };
    let behind = format!("set it: SELECT setval('{sequence}', (SELECT max(position) FROM the event table))");
    let rules = [
        format!("{sequence} keeps numbers in stock, of which late ones are lost: ALTER SEQUENCE … CACHE 1"),
        format!("{sequence} does not simply count up: ALTER SEQUENCE … INCREMENT 1 NO CYCLE"),
        format!("{sequence} is not logged, and a crash takes it back: ALTER SEQUENCE … SET LOGGED"),
        format!("{sequence} stands below the highest event, as after an incomplete restore; {behind}"),
        format!(
            "{sequence} stands below what readers took for settled, as after an incomplete restore; {behind}"
        ),
    ];
    let mut wrong = Vec::new();
    for (column, rule) in rules.into_iter().enumerate() {
        let holds: Option<bool> = row.try_get(column).during(CHECK)?;
        if holds == Some(false) {
            wrong.push(rule);
        }
    }
    Ok(wrong)
}

//! What must hold of the sequence behind the positions, what an incomplete restore breaks, and how it is mended.
//!
//! Readers pass over numbers that nobody has used and nobody will. A sequence that was set back, as by a restore of
//! the tables alone, hands such numbers out again: an event there would stand behind every reader, and never be
//! applied. So an append that would draw one is refused by the server; here it is said beforehand, and mended.
//!
//! To set the sequence forward is safe at any time: numbers are left out, and none is used twice. It is done while
//! nobody inserts, since two who do it at once could take each other back.

use sqlx::{Connection, PgConnection, Row};

use highwater_core::error::{Error, ErrorKind};

use crate::error::During;
use crate::schema::{Schema, Statement};

const CHECK: &str = "check the log's sequence";
const MEND: &str = "set the log's sequence forward";
/// How long appends that are under way are waited for.
const PATIENCE: &str = "SET LOCAL lock_timeout = '10s'";

/// The statements.
#[derive(Debug)]
pub(super) struct Check {
    ask: Statement,
    shut: Statement,
    forward: Statement,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is wrong, each with what to do.
    pub(super) wrong: Vec<String>,
    /// Setting the sequence forward mends all of it.
    pub(super) only_behind: bool,
}

impl Check {
    pub(super) fn new(schema: &Schema) -> Self {
        let drawn = "p.last_value - (NOT p.is_called)::int";
        let (events, mark) = (
            "coalesce((SELECT max(e.position) FROM highwater.event e), 0)",
            "coalesce((SELECT m.position FROM highwater.settled_mark m), 0)",
        );
        Self {
            ask: schema.sql(&format!(
                "SELECT s.seqcache = 1, NOT s.seqcycle AND s.seqincrement = 1, c.relpersistence = 'p', \
                 {drawn} >= {events}, {drawn} >= {mark} \
                 FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid, \
                 highwater.position p \
                 WHERE s.seqrelid = to_regclass($1)"
            )),
            shut: schema.sql("LOCK TABLE highwater.event IN SHARE ROW EXCLUSIVE MODE"),
            forward: schema.sql(&format!(
                "SELECT setval(to_regclass($1), n.passed) \
                 FROM (SELECT greatest({events}, {mark}) AS passed) n, highwater.position p \
                 WHERE {drawn} < n.passed"
            )),
        }
    }

    /// Looks at the sequence of this name.
    pub(super) async fn ask(&self, connection: &mut PgConnection, sequence: &str) -> Result<Found, Error> {
        let query = sqlx::query(self.ask.safe()).bind(sequence);
        let Some(row) = query.fetch_optional(connection).await.during(CHECK)? else {
            let wrong =
                vec![format!("the sequence {sequence} is missing: restore it, then set it with setval")];
            return Ok(Found { wrong, only_behind: false });
        };
        let mend = "set it forward, by `highwater migrate` or by setval, before anything is appended";
        let rules = [
            format!(
                "{sequence} keeps numbers in stock, of which late ones are lost: ALTER SEQUENCE … CACHE 1"
            ),
            format!("{sequence} does not simply count up: ALTER SEQUENCE … INCREMENT 1 NO CYCLE"),
            format!("{sequence} is not logged, and a crash takes it back: ALTER SEQUENCE … SET LOGGED"),
            format!("{sequence} stands below the highest event, as after an incomplete restore: {mend}"),
            format!(
                "{sequence} stands below what readers took for settled, as after an incomplete restore: {mend}"
            ),
        ];
        let mut found = Found { only_behind: true, ..Found::default() };
        for (column, rule) in rules.into_iter().enumerate() {
            let holds: Option<bool> = row.try_get(column).during(CHECK)?;
            if holds == Some(false) {
                found.wrong.push(rule);
                found.only_behind &= column >= 3;
            }
        }
        Ok(found)
    }

    /// Sets the sequence forward, behind everything that there is; where it stands now, or `None` if somebody else
    /// has done it meanwhile.
    pub(super) async fn mend(
        &self,
        connection: &mut PgConnection,
        sequence: &str,
    ) -> Result<Option<i64>, Error> {
        let mut tx = connection.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.during(MEND)?;
        sqlx::query(PATIENCE).execute(&mut *tx).await.during(MEND)?;
        sqlx::query(self.shut.safe()).execute(&mut *tx).await.during(MEND)?;
        let query = sqlx::query_scalar(self.forward.safe()).bind(sequence);
        let stands: Option<i64> = query.fetch_optional(&mut *tx).await.during(MEND)?;
        tx.commit().await.during(MEND)?;
        Ok(stands)
    }
}

/// The log must not be appended to as it is.
pub(super) fn unsound(sequence: &str, wrong: &[String]) -> Error {
    Error::new(ErrorKind::Corrupt, "open the event log").with("sequence", sequence).because(wrong.join("; "))
}

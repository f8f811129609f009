//! The ledger of dead numbers, and the mark up to which it is complete.
//!
//! For people and for `doctor`; no reader depends on it. So it is written seldom, a bounded piece at a time,
//! never waiting for anybody, and not at all by whoever may not write: a read never fails for it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use sqlx::PgConnection;

use crate::schema::{Schema, Statement};

/// How many positions apart the notes are.
const EVERY: i64 = 10_000;

#[derive(Debug)]
pub(super) struct Ledger {
    noted: AtomicI64,
    refused: AtomicBool,
    may: Statement,
    note: Statement,
}

impl Ledger {
    pub(super) fn new(schema: &Schema) -> Self {
        let may = "SELECT has_function_privilege(f.oid, 'EXECUTE') \
             AND NOT current_setting('transaction_read_only')::boolean \
             AND has_table_privilege(m.oid, 'UPDATE') AND has_table_privilege(s.oid, 'INSERT') \
             FROM (SELECT to_regprocedure($1)::oid) f(oid), (SELECT to_regclass($2)::oid) m(oid), \
             (SELECT to_regclass($3)::oid) s(oid)";
        Self {
            noted: AtomicI64::new(0),
            refused: AtomicBool::new(false),
            may: schema.sql(may),
            note: schema.sql("SELECT highwater.note_settled($1)"),
        }
    }

    /// Notes, now and then, that everything up to `through` is settled.
    pub(super) async fn note(&self, connection: &mut PgConnection, schema: &Schema, through: i64) {
        let noted = self.noted.load(Ordering::Relaxed);
        if self.refused.load(Ordering::Relaxed) || through.saturating_sub(noted) < EVERY {
            return;
        }
        match self.write(connection, schema, through, noted == 0).await {
            // Somebody else is about it.
            Ok(None) => self.noted.store(through, Ordering::Relaxed),
            Ok(Some(noted)) => self.noted.store(noted, Ordering::Relaxed),
            Err(error) => {
                self.refused.store(true, Ordering::Relaxed);
                tracing::debug!(%error, "the numbers of rolled-back appends are not noted from here");
            }
        }
    }

    async fn write(
        &self,
        connection: &mut PgConnection,
        schema: &Schema,
        through: i64,
        first: bool,
    ) -> Result<Option<i64>, sqlx::Error> {
        if first {
            let name = |name: &str| format!("{}.{name}", schema.quoted());
            let may: Option<bool> = sqlx::query_scalar(self.may.safe())
                .bind(name("note_settled(bigint)"))
                .bind(name("settled_mark"))
                .bind(name("skipped"))
                .fetch_one(&mut *connection)
                .await?;
            if may != Some(true) {
                self.refused.store(true, Ordering::Relaxed);
                return Ok(None);
            }
        }
        sqlx::query_scalar(self.note.safe()).bind(through).fetch_one(connection).await
    }
}

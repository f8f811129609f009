//! What a projection may do with the transaction that it is lent (E-9).
//!
//! SQLite asks an authorizer when it prepares a statement. It answers by one flag, so that our own
//! statements, prepared while the flag is down, may do what a projection may not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use super::created::Created;

/// Pragmas that only tell something, whatever their argument.
const TELLING: &[&str] = &[
    "collation_list",
    "compile_options",
    "data_version",
    "database_list",
    "foreign_key_check",
    "foreign_key_list",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "module_list",
    "page_count",
    "pragma_list",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
];
/// Pragmas that tell something as long as they are given nothing.
const TELLING_BARE: &[&str] = &[
    "application_id",
    "auto_vacuum",
    "busy_timeout",
    "cache_size",
    "encoding",
    "foreign_keys",
    "journal_mode",
    "page_size",
    "recursive_triggers",
    "schema_version",
    "synchronous",
    "user_version",
];

/// The state behind a connection's authorizer.
#[derive(Debug, Default)]
pub(super) struct Authority {
    lent: AtomicBool,
    warned: AtomicBool,
    created: Mutex<Option<Created>>,
}

impl Authority {
    pub(super) fn lent(&self) -> &AtomicBool {
        &self.lent
    }

    pub(super) fn record_created(&self) {
        *self.created.lock().unwrap_or_else(PoisonError::into_inner) = Some(Created::default());
    }

    pub(super) fn created(&self) -> Vec<String> {
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner).take();
        created.map(Created::into_tables).unwrap_or_default()
    }

    fn decide(&self, context: AuthContext<'_>) -> Authorization {
        if let Some(created) = &mut *self.created.lock().unwrap_or_else(PoisonError::into_inner) {
            created.see(context.action);
        }
        if !self.lent.load(Ordering::Relaxed) || is_permitted(context) {
            return Authorization::Allow;
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                action = ?context.action,
                "a projection tried what only the runner may do; SQLite answers \"not authorized\""
            );
        }
        Authorization::Deny
    }
}

/// The hook for a connection.
pub(super) fn authorizer(
    authority: Arc<Authority>,
) -> impl for<'c> FnMut(AuthContext<'c>) -> Authorization + Send + 'static {
    move |context| authority.decide(context)
}

fn is_permitted(context: AuthContext<'_>) -> bool {
    let main = context.database_name.is_none_or(|name| name.eq_ignore_ascii_case("main"));
    let ours = |table: &str| main && is_ours(table);
    match context.action {
        AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::Attach { .. }
        | AuthAction::Detach { .. } => false,
        AuthAction::Pragma { pragma_name, pragma_value } => {
            let is = |name: &&str| name.eq_ignore_ascii_case(pragma_name);
            TELLING.iter().any(is) || (pragma_value.is_none() && TELLING_BARE.iter().any(is))
        }
        AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::CreateTable { table_name }
        | AuthAction::CreateVtable { table_name, .. }
        | AuthAction::CreateIndex { table_name, .. }
        | AuthAction::CreateTrigger { table_name, .. }
        | AuthAction::CreateView { view_name: table_name }
        | AuthAction::DropTable { table_name }
        | AuthAction::DropIndex { table_name, .. } => !ours(table_name),
        // Here the database is an argument, and what is altered may be in it only.
        AuthAction::AlterTable { database_name, table_name } => {
            !(database_name.eq_ignore_ascii_case("main") && is_ours(table_name))
        }
        _ => true,
    }
}

fn is_ours(table: &str) -> bool {
    table.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("highwater_"))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::tx::SqliteTx;
    use super::*;

    fn lent() -> SqliteTx {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE highwater_event (x); CREATE TABLE mine (x); BEGIN").unwrap();
        let tx = SqliteTx::new(conn).unwrap();
        tx.lent().store(true, Ordering::Relaxed);
        tx
    }

    #[test]
    fn e_9_a_projection_cannot_end_or_leave_the_transaction() {
        let tx = lent();
        for sql in [
            "COMMIT",
            "END",
            "ROLLBACK",
            "BEGIN",
            "SAVEPOINT a",
            "RELEASE a",
            "ROLLBACK TO a",
            "ATTACH ':memory:' AS other",
            "DETACH main",
            "PRAGMA foreign_keys = OFF",
            "PRAGMA defer_foreign_keys = ON",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA synchronous = OFF",
            "PRAGMA user_version = 3",
            "PRAGMA writable_schema = ON",
            "PRAGMA wal_checkpoint",
            "PRAGMA busy_timeout = 60000",
            "INSERT INTO highwater_event VALUES (1)",
            "DELETE FROM HIGHWATER_event",
            "UPDATE highwater_event SET x = 1",
            "DROP TABLE highwater_event",
            "CREATE TABLE highwater_mine (x)",
            "ALTER TABLE highwater_event ADD COLUMN y",
            "CREATE TRIGGER t AFTER INSERT ON highwater_event BEGIN SELECT 1; END",
        ] {
            let error = tx.execute_batch(sql).unwrap_err();
            let code = error.sqlite_error_code();
            assert_eq!(code, Some(rusqlite::ErrorCode::AuthorizationForStatementDenied), "{sql}: {error}");
        }
        assert!(!tx.is_autocommit());
    }

    #[test]
    fn everything_else_is_permitted() {
        let tx = lent();
        for sql in [
            "INSERT INTO mine VALUES (1)",
            "SELECT count(*) FROM highwater_event",
            "CREATE TABLE more (x PRIMARY KEY); CREATE INDEX i ON more (x); DROP TABLE more",
            "CREATE TEMP TABLE highwater_slice (x); INSERT INTO highwater_slice VALUES (1)",
            "CREATE TEMP VIEW events AS SELECT * FROM main.highwater_event; DROP VIEW events",
            "CREATE VIRTUAL TABLE search USING fts5(t); INSERT INTO search VALUES ('a b')",
            "DELETE FROM search",
            "PRAGMA table_info(mine)",
            "PRAGMA user_version",
            "SELECT * FROM pragma_foreign_key_list('mine')",
        ] {
            tx.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    #[test]
    fn the_flag_decides_anew_at_each_statement() {
        let tx = lent();
        tx.lent().store(false, Ordering::Relaxed);
        tx.execute_batch("SAVEPOINT a; INSERT INTO highwater_event VALUES (1); RELEASE a").unwrap();
        tx.lent().store(true, Ordering::Relaxed);
        tx.execute_batch("COMMIT").unwrap_err();
        tx.lent().store(false, Ordering::Relaxed);
        tx.execute_batch("COMMIT").unwrap();
    }
}

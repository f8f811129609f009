//! Which tables a schema creates, as SQLite asks for permission to create them.
//!
//! It asks also where `IF NOT EXISTS` finds the table there, so the answer does not depend on what has run
//! before. A virtual table creates inner tables of its own, which nobody may empty by themselves: they are
//! known by the names that their modules give them.

use rusqlite::hooks::AuthAction;

/// What the modules that come with SQLite put behind the name of a virtual table.
const INNER: &[&str] = &[
    "_content",
    "_segments",
    "_segdir",
    "_docsize",
    "_stat",
    "_data",
    "_idx",
    "_config",
    "_node",
    "_rowid",
    "_parent",
];

/// What was created so far.
#[derive(Debug, Default)]
pub(super) struct Created {
    tables: Vec<String>,
    virtual_tables: Vec<String>,
}

impl Created {
    pub(super) fn see(&mut self, action: AuthAction<'_>) {
        match action {
            AuthAction::CreateTable { table_name } if !self.is_inner(table_name) => {
                add(&mut self.tables, table_name)
            }
            AuthAction::CreateVtable { table_name, .. } => {
                add(&mut self.virtual_tables, table_name);
                add(&mut self.tables, table_name);
            }
            _ => {}
        }
    }

    pub(super) fn into_tables(self) -> Vec<String> {
        self.tables
    }

    fn is_inner(&self, table: &str) -> bool {
        let inner_of = |owner: &String| {
            table.get(..owner.len()).is_some_and(|start| start.eq_ignore_ascii_case(owner))
                && INNER.contains(&&table[owner.len()..])
        };
        table.to_ascii_lowercase().starts_with("sqlite_") || self.virtual_tables.iter().any(inner_of)
    }
}

fn add(tables: &mut Vec<String>, table: &str) {
    if !tables.iter().any(|known| known.eq_ignore_ascii_case(table)) {
        tables.push(table.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::tx::SqliteTx;

    #[test]
    fn e_14_a_setup_names_the_tables_that_it_creates() {
        let tx = SqliteTx::new(Connection::open_in_memory().unwrap()).unwrap();
        let schema = "
            CREATE TABLE IF NOT EXISTS a (id INTEGER PRIMARY KEY AUTOINCREMENT);
            CREATE TABLE \"b c\" AS SELECT 1 AS x;
            CREATE TEMP TABLE passing (x);
            CREATE VIEW v AS SELECT * FROM a;
            CREATE INDEX i ON a (id);
            CREATE VIRTUAL TABLE docs USING fts5(text);
            CREATE TABLE docs_meta (x);
            CREATE TABLE IF NOT EXISTS A (x);
            INSERT INTO a DEFAULT VALUES;";
        tx.execute_batch("CREATE TABLE before (x)").unwrap();
        tx.record_created_tables();
        tx.execute_batch(schema).unwrap();
        let tables = ["a", "b c", "docs", "docs_meta"];
        assert_eq!(tx.created_tables(), tables);
        assert_eq!(tx.created_tables(), Vec::<String>::new(), "the recording has ended");
        tx.record_created_tables();
        let again = schema.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ");
        let again = again.replace("IF NOT EXISTS IF NOT EXISTS", "IF NOT EXISTS");
        for statement in again.split(';').filter(|one| one.contains("CREATE TABLE") && !one.contains(" AS "))
        {
            tx.execute_batch(statement).unwrap();
        }
        assert_eq!(tx.created_tables(), ["a", "docs_meta"], "also where they are there");
    }
}

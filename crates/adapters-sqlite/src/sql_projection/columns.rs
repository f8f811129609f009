//! Which columns of a read model say something about the events, and which say when or how they were applied.

use highwater_core::error::{Error, ErrorKind};
use rusqlite::Connection;

use crate::error::sqlite_error;

use super::ddl::Words;

/// The columns of a table that two computations of one read model must agree on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) compared: Vec<String>,
    /// The indices, in `compared`, of the columns of the primary key, if all of it is compared.
    pub(super) key: Option<Vec<usize>>,
    /// Left out of themselves: identities that SQLite hands out, and defaults computed at the insert.
    pub(super) left_out: Vec<String>,
}

impl Columns {
    /// Those of a table of the main schema; `None` if there is no such table.
    pub(super) fn of(conn: &Connection, table: &str, ignore: &[String]) -> Result<Option<Self>, Error> {
        let failed = |error| sqlite_error("read the columns of a table", error).with("table", table);
        let sql: String = conn
            .query_row(
                "SELECT coalesce(max(sql), '') FROM main.sqlite_schema
                 WHERE type = 'table' AND name = ?1 COLLATE NOCASE",
                [table],
                |row| row.get(0),
            )
            .map_err(failed)?;
        let identity = Words(&sql).any(|word| word.is("AUTOINCREMENT"));
        let mut columns = Self { compared: Vec::new(), key: None, left_out: Vec::new() };
        let mut key: Vec<(i64, Option<usize>)> = Vec::new();
        let mut ask = conn
            .prepare(
                "SELECT name, dflt_value, pk FROM pragma_table_xinfo(?1, 'main')
                 WHERE hidden <> 1 ORDER BY cid",
            )
            .map_err(failed)?;
        let mut rows = ask.query([table]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (name, default, place): (String, Option<String>, i64) = row.try_into().map_err(failed)?;
            let computed = default.as_deref().is_some_and(is_computed) || (identity && place > 0);
            let left_out = computed || ignore.iter().any(|entry| names(entry, table, &name));
            if place > 0 {
                key.push((place, (!left_out).then_some(columns.compared.len())));
            }
            match (computed, left_out) {
                (true, _) => columns.left_out.push(name),
                (false, true) => {}
                (false, false) => columns.compared.push(name),
            }
        }
        if columns.compared.is_empty() && columns.left_out.is_empty() && key.is_empty() && sql.is_empty() {
            return Ok(None);
        }
        key.sort_unstable();
        let key: Option<Vec<usize>> = key.into_iter().map(|(_, index)| index).collect();
        columns.key = key.filter(|key| !key.is_empty());
        Ok(Some(columns))
    }
}

/// Refuses an entry of `ignore` that names no column: it would be a slip that nobody sees.
pub(super) fn check_ignore(conn: &Connection, tables: &[String], ignore: &[String]) -> Result<(), Error> {
    let failed = |error| sqlite_error("read the columns of a table", error);
    let mut ask = conn.prepare("SELECT name FROM pragma_table_xinfo(?1, 'main')").map_err(failed)?;
    let mut known = Vec::new();
    for table in tables {
        let columns = ask.query_map([table], |row| row.get::<_, String>(0)).map_err(failed)?;
        for column in columns {
            known.push((table, column.map_err(failed)?));
        }
    }
    match ignore.iter().find(|entry| !known.iter().any(|(table, column)| names(entry, table, column))) {
        None => Ok(()),
        Some(entry) => Err(Error::new(ErrorKind::Invalid, "read which columns to ignore")
            .with("entry", entry)
            .because(format!(
                "no table of the read model has it: write `column` or `table.column` ({})",
                tables.join(", ")
            ))),
    }
}

/// `entry` is `column` or `table.column`.
fn names(entry: &str, table: &str, column: &str) -> bool {
    let of_table = |(head, rest): (&str, &str)| {
        head.eq_ignore_ascii_case(table)
            && rest.strip_prefix('.').is_some_and(|rest| rest.eq_ignore_ascii_case(column))
    };
    entry.eq_ignore_ascii_case(column) || entry.split_at_checked(table.len()).is_some_and(of_table)
}

/// A default that depends on the moment: it calls something. A literal does not.
fn is_computed(default: &str) -> bool {
    Words(default).any(|word| {
        ["(", "CURRENT_TIMESTAMP", "CURRENT_TIME", "CURRENT_DATE"].into_iter().any(|sign| word.is(sign))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(ddl: &str, ignore: &[&str]) -> Columns {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(ddl).unwrap();
        let ignore: Vec<String> = ignore.iter().map(ToString::to_string).collect();
        Columns::of(&conn, "t", &ignore).unwrap().unwrap()
    }

    #[test]
    fn e_26_identities_and_computed_defaults_are_left_out_and_constant_ones_are_not() {
        let t = columns(
            "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL DEFAULT 0,
             s TEXT DEFAULT '(', made TEXT DEFAULT CURRENT_TIMESTAMP,
             token TEXT DEFAULT (hex(randomblob(8))), m DEFAULT -1.5,
             twice AS (n * 2))",
            &[],
        );
        assert_eq!(t.compared, ["n", "s", "m", "twice"]);
        assert_eq!(t.left_out, ["id", "made", "token"]);
        assert_eq!(t.key, None);
    }

    #[test]
    fn e_26_rows_are_told_apart_by_a_key_that_is_compared() {
        let ddl = "CREATE TABLE t (x, b TEXT, a TEXT, PRIMARY KEY (a, b))";
        assert_eq!(columns(ddl, &[]).key, Some(vec![2, 1]));
        let ignored = columns(ddl, &["T.B"]);
        assert_eq!((ignored.compared, ignored.key), (vec!["x".to_owned(), "a".to_owned()], None));
        assert_eq!(
            columns("CREATE TABLE t (id INTEGER PRIMARY KEY, \"autoincrement\" TEXT)", &[]).key,
            Some(vec![0])
        );
    }

    #[test]
    fn e_26_an_ignored_column_that_is_none_is_an_error() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (a, b)").unwrap();
        let check = |entry: &str| check_ignore(&conn, &["t".to_owned()], &[entry.to_owned()]);
        for good in ["a", "B", "t.a", "T.b"] {
            check(good).unwrap();
        }
        for bad in ["c", "t.c", "u.a", "ta", "t", ""] {
            assert_eq!(check(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
        assert_eq!(Columns::of(&conn, "none", &[]).unwrap(), None);
    }
}

//! Two read models, table by table and row by row.
//!
//! Both sides are read in one order and merged, so that a table need not fit into memory. Rows are told
//! apart by their primary key where it is compared, so that a changed row is shown as one; else by all their
//! values.

use std::cmp::Ordering;

use highwater_core::error::Error;
use highwater_core::sql::{RowDifference, TableDifference};
use rusqlite::{Connection, Rows, Statement};

use crate::error::sqlite_error;

use super::cell::Cell;
use super::columns::Columns;
use super::tables::quoted;

/// Compares these tables of the main schemas; without what `ignore` names (`column` or `table.column`).
pub(super) fn compare(
    expected: &Connection,
    found: &Connection,
    tables: &[String],
    ignore: &[String],
) -> Result<Vec<TableDifference>, Error> {
    let mut differences = Vec::new();
    for table in tables {
        let sides = (Columns::of(expected, table, ignore)?, Columns::of(found, table, ignore)?);
        differences.extend(match sides {
            (None, None) => None,
            (Some(a), Some(b)) if a.compared == b.compared => compare_rows(expected, found, table, &a)?,
            (Some(a), Some(b)) => Some(TableDifference::Columns {
                table: table.clone(),
                expected: a.compared,
                found: b.compared,
            }),
            (a, _) => Some(TableDifference::Missing { table: table.clone(), expected: a.is_some() }),
        });
    }
    Ok(differences)
}

fn compare_rows(
    expected: &Connection,
    found: &Connection,
    table: &str,
    columns: &Columns,
) -> Result<Option<TableDifference>, Error> {
    let failed = |error| sqlite_error("compare a table", error).with("table", table);
    let select = select(table, columns);
    let mut expected = expected.prepare(&select).map_err(failed)?;
    let mut found = found.prepare(&select).map_err(failed)?;
    let mut expected = Side::new(&mut expected).map_err(failed)?;
    let mut found = Side::new(&mut found).map_err(failed)?;
    let mut rows = 0_u64;
    let mut examples = Vec::new();
    loop {
        let place = match (&expected.row, &found.row) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => order(columns, a, b),
        };
        let a = if place.is_le() { expected.take().map_err(failed)? } else { None };
        let b = if place.is_ge() { found.take().map_err(failed)? } else { None };
        if matches!((&a, &b), (Some(a), Some(b)) if a.iter().zip(b).all(|(a, b)| a.agrees(b))) {
            continue;
        }
        rows += 1;
        if examples.len() < TableDifference::EXAMPLES {
            let show = |row: Option<Vec<Cell>>| row.map(|row| shown(columns, &row));
            examples.push(RowDifference { expected: show(a), found: show(b) });
        }
    }
    Ok((rows > 0).then(|| TableDifference::Rows { table: table.to_owned(), rows, examples }))
}

/// All rows, in the order of [`order`]; REAL values that are no key come last: they may differ a little.
fn select(table: &str, columns: &Columns) -> String {
    let names: Vec<String> = columns.compared.iter().map(|name| quoted(name)).collect();
    let order: Vec<String> = match &columns.key {
        Some(key) => {
            key.iter().map(|index| format!("typeof({0}), {0} COLLATE BINARY", names[*index])).collect()
        }
        None => {
            let coarse = names.iter().map(|name| {
                format!(
                    "typeof({name}), CASE typeof({name}) WHEN 'real' THEN 0 ELSE {name} END COLLATE BINARY"
                )
            });
            let reals = names.iter().map(|name| format!("CASE typeof({name}) WHEN 'real' THEN {name} END"));
            coarse.chain(reals).collect()
        }
    };
    // A table without a column to compare still has a number of rows.
    let list = if names.is_empty() { "NULL".to_owned() } else { names.join(", ") };
    let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
    format!("SELECT {list} FROM main.{}{order}", quoted(table))
}

fn order(columns: &Columns, a: &[Cell], b: &[Cell]) -> Ordering {
    match &columns.key {
        Some(key) => key.iter().map(|index| a[*index].order(&b[*index])).find(|order| order.is_ne()),
        None => a.iter().zip(b).map(|(a, b)| a.coarse_order(b)).find(|order| order.is_ne()),
    }
    .unwrap_or(Ordering::Equal)
}

fn shown(columns: &Columns, row: &[Cell]) -> String {
    let cells: Vec<String> =
        columns.compared.iter().zip(row).map(|(name, cell)| format!("{name} {cell}")).collect();
    cells.join(", ")
}

/// The rows of one side, one in hand.
struct Side<'s> {
    columns: usize,
    rows: Rows<'s>,
    row: Option<Vec<Cell>>,
}

impl<'s> Side<'s> {
    fn new(statement: &'s mut Statement<'_>) -> rusqlite::Result<Self> {
        let mut side = Self { columns: statement.column_count(), rows: statement.query([])?, row: None };
        side.take()?;
        Ok(side)
    }

    /// The row in hand, and takes up the next.
    fn take(&mut self) -> rusqlite::Result<Option<Vec<Cell>>> {
        let next = match self.rows.next()? {
            None => None,
            Some(row) => Some(
                (0..self.columns)
                    .map(|index| row.get_ref(index).map(Cell::from))
                    .collect::<rusqlite::Result<Vec<Cell>>>()?,
            ),
        };
        Ok(std::mem::replace(&mut self.row, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(ddl: &str, expected: &str, found: &str) -> Vec<TableDifference> {
        let side = |rows: &str| {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(ddl).unwrap();
            conn.execute_batch(rows).unwrap();
            conn
        };
        compare(&side(expected), &side(found), &["t".to_owned()], &[]).unwrap()
    }

    fn text(differences: &[TableDifference]) -> String {
        differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn e_26_the_order_of_rows_and_of_additions_is_no_difference() {
        let ddl = "CREATE TABLE t (name TEXT COLLATE NOCASE, n, r REAL)";
        let one =
            "INSERT INTO t VALUES ('b', 1, 0.1 + 0.2), ('B', x'00', 5.0), ('a', 'x', 1e300), ('b', 1, 0.7)";
        let other = "INSERT INTO t VALUES ('b', 1, 0.7), ('B', x'00', 5), ('a', 'x', 1e300), ('b', 1, 0.3)";
        assert_eq!(differences(ddl, one, other), []);
        assert_eq!(differences("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)", "", ""), []);
    }

    #[test]
    fn e_26_a_changed_row_is_shown_as_one_by_its_key() {
        let found = differences(
            "CREATE TABLE t (k TEXT PRIMARY KEY, n)",
            "INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3)",
            "INSERT INTO t VALUES ('a', 1), ('b', 9), ('d', 4)",
        );
        let TableDifference::Rows { rows: 3, examples, .. } = &found[0] else { panic!("{found:?}") };
        assert_eq!(examples[0].expected.as_deref(), Some("k 'b', n 2"));
        assert_eq!(examples[0].found.as_deref(), Some("k 'b', n 9"));
        assert_eq!(
            (examples[1].expected.as_deref(), examples[1].found.as_deref()),
            (Some("k 'c', n 3"), None)
        );
        assert_eq!(
            (examples[2].expected.as_deref(), examples[2].found.as_deref()),
            (None, Some("k 'd', n 4"))
        );
    }

    #[test]
    fn e_26_every_kind_of_difference_is_found() {
        let ddl = "CREATE TABLE t (a, b REAL)";
        for (expected, found) in [
            ("INSERT INTO t VALUES (1, 1)", ""),
            ("", "INSERT INTO t VALUES (1, 1)"),
            ("INSERT INTO t VALUES (1, 1), (1, 1)", "INSERT INTO t VALUES (1, 1)"),
            ("INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES ('1', 1)"),
            ("INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (1, 1.000001)"),
            ("INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (1, NULL)"),
            ("INSERT INTO t VALUES ('a', 1)", "INSERT INTO t VALUES ('A', 1)"),
            ("INSERT INTO t VALUES ('a', 1)", "INSERT INTO t VALUES (x'61', 1)"),
        ] {
            assert_eq!(differences(ddl, expected, found).len(), 1, "{expected} / {found}");
        }
        assert_eq!(
            text(&differences("CREATE TABLE t (a)", "DROP TABLE t", "")),
            "table `t` is there and should not be"
        );
        let columns = differences("CREATE TABLE t (a)", "", "ALTER TABLE t ADD COLUMN b");
        assert_eq!(text(&columns), "table `t` has the columns a, b, and should have a");
        let only_rows = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT)";
        assert_eq!(differences(only_rows, "INSERT INTO t VALUES (7)", "INSERT INTO t VALUES (8)"), []);
        assert_eq!(differences(only_rows, "INSERT INTO t VALUES (7)", "").len(), 1);
    }
}

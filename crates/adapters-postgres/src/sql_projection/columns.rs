//! Which columns of a read model say something about the events, and which say when or how they were applied.

use sqlx::PgConnection;

use highwater_core::error::{Error, ErrorKind};

use crate::error::During;
use crate::schema::quote_identifier;

const READ: &str = "read the columns of a table";
/// Of the table `$1`, in order: name, whether it is a float, a number, computed at the insert, and its place in the
/// primary key. A default that calls something depends on the moment; a constant, or a cast of one, does not.
const COLUMNS: &str = r"
    SELECT a.attname::text, a.atttypid IN ('real'::regtype, 'double precision'::regtype),
           a.atttypid = 'numeric'::regtype, t.typcategory = 'N' OR t.typcategory = 'B',
           a.attidentity <> '' OR (a.attgenerated = '' AND coalesce(
               d.adbin::text ~ '\{FUNCEXPR[^{}]*:funcformat 0' OR d.adbin::text ~ '\{(SQLVALUEFUNCTION|NEXTVALUEEXPR)',
               false)),
           array_position(i.indkey::int2[], a.attnum)
    FROM pg_attribute a
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
    WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

/// The columns of a table that two computations of one read model must agree on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) compared: Vec<Column>,
    /// The indices, in `compared`, of the columns of the primary key, if all of it is compared.
    pub(super) key: Option<Vec<usize>>,
    /// Left out of themselves: identities that the server hands out, and defaults computed at the insert.
    pub(super) left_out: Vec<String>,
    /// Every column.
    all: Vec<String>,
}

/// A compared column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// A sum of floats depends a little on the order of additions.
    pub(super) float: bool,
    /// Shown without quotes.
    pub(super) bare: bool,
    numeric: bool,
}

impl Column {
    /// The column as text that is equal for equal values.
    pub(super) fn text(&self) -> String {
        let name = quote_identifier(&self.name);
        if self.numeric { format!("trim_scale({name})::text") } else { format!("{name}::text") }
    }
}

impl Columns {
    /// Those of a table, which is named as SQL takes it; `name` is what `ignore` may call it.
    pub(super) async fn of(
        connection: &mut PgConnection,
        table: &str,
        name: &str,
        ignore: &[String],
    ) -> Result<Self, Error> {
        let rows: Vec<(String, bool, bool, bool, bool, Option<i32>)> = sqlx::query_as(COLUMNS)
            .persistent(false)
            .bind(table)
            .fetch_all(connection)
            .await
            .during(READ)
            .map_err(|error| error.with("table", name))?;
        let mut columns = Self { compared: Vec::new(), key: None, left_out: Vec::new(), all: Vec::new() };
        let mut key: Vec<(i32, Option<usize>)> = Vec::new();
        for (column, float, numeric, bare, computed, place) in rows {
            let left_out = computed || ignore.iter().any(|entry| names(entry, name, &column));
            if let Some(place) = place {
                key.push((place, (!left_out).then_some(columns.compared.len())));
            }
            columns.all.push(column.clone());
            match (computed, left_out) {
                (true, _) => columns.left_out.push(column),
                (false, true) => {}
                (false, false) => columns.compared.push(Column { name: column, float, bare, numeric }),
            }
        }
        key.sort_unstable();
        let key: Option<Vec<usize>> = key.into_iter().map(|(_, index)| index).collect();
        columns.key = key.filter(|key| !key.is_empty());
        Ok(columns)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.compared.iter().map(|column| column.name.clone()).collect()
    }
}

/// Refuses an entry of `ignore` that names no column: it would be a slip that nobody sees.
pub(super) fn check_ignore(tables: &[(String, Columns)], ignore: &[String]) -> Result<(), Error> {
    let known = |entry: &String| {
        tables.iter().any(|(table, columns)| columns.all.iter().any(|column| names(entry, table, column)))
    };
    let Some(entry) = ignore.iter().find(|entry| !known(entry)) else { return Ok(()) };
    let tables: Vec<&str> = tables.iter().map(|(table, _)| table.as_str()).collect();
    Err(Error::new(ErrorKind::Invalid, "read which columns to ignore").with("entry", entry).because(format!(
        "no table of the read model has it: write `column` or `table.column` ({})",
        tables.join(", ")
    )))
}

/// `entry` is `column` or `table.column`.
fn names(entry: &str, table: &str, column: &str) -> bool {
    let of_table = |(head, rest): (&str, &str)| {
        head.eq_ignore_ascii_case(table)
            && rest.strip_prefix('.').is_some_and(|rest| rest.eq_ignore_ascii_case(column))
    };
    entry.eq_ignore_ascii_case(column) || entry.split_at_checked(table.len()).is_some_and(of_table)
}

//! Two tables, row by row.
//!
//! Both are read in one order, a thousand rows at a time, and merged; so they need not fit into memory, and values
//! with a fraction may differ in their last digits. Rows are told apart by their primary key where it is compared,
//! so that a changed row is shown as one; else by all their values.

use std::cmp::Ordering;
use std::collections::VecDeque;

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use highwater_core::error::Error;
use highwater_core::sql::{RowDifference, TableDifference};

use crate::error::During;

use super::columns::Columns;

const COMPARE: &str = "compare a table";
/// Two floats are the same when they differ by no more than this share of the greater.
const TOLERANCE: f64 = 1e-12;
/// How much of a value is shown.
const SHOWN: usize = 80;

type Row = Vec<Option<String>>;

/// Compares two tables, each named as SQL takes it, in the transaction that is open. `name` is for people.
pub(super) async fn compare(
    connection: &mut PgConnection,
    name: &str,
    (expected, expected_columns): (&str, &Columns),
    (found, found_columns): (&str, &Columns),
) -> Result<Option<TableDifference>, Error> {
    if expected_columns.names() != found_columns.names() {
        return Ok(Some(TableDifference::Columns {
            table: name.to_owned(),
            expected: expected_columns.names(),
            found: found_columns.names(),
        }));
    }
    let columns = expected_columns;
    let mut expected = Side::open(connection, "hw_expected", expected, columns).await?;
    let mut found = Side::open(connection, "hw_found", found, columns).await?;
    let mut rows = 0_u64;
    let mut examples = Vec::new();
    loop {
        expected.fill(connection).await?;
        found.fill(connection).await?;
        let place = match (expected.rows.front(), found.rows.front()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => order(columns, a, b),
        };
        let a = if place.is_le() { expected.rows.pop_front() } else { None };
        let b = if place.is_ge() { found.rows.pop_front() } else { None };
        if matches!((&a, &b), (Some(a), Some(b)) if agree(columns, a, b)) {
            continue;
        }
        rows += 1;
        if examples.len() < TableDifference::EXAMPLES {
            let show = |row: Option<Row>| row.map(|row| shown(columns, &row));
            examples.push(RowDifference { expected: show(a), found: show(b) });
        }
    }
    run(connection, "CLOSE hw_expected; CLOSE hw_found".to_owned()).await?;
    Ok((rows > 0).then(|| TableDifference::Rows { table: name.to_owned(), rows, examples }))
}

/// The rows of one side.
struct Side {
    fetch: String,
    rows: VecDeque<Row>,
    ended: bool,
}

impl Side {
    async fn open(
        connection: &mut PgConnection,
        cursor: &str,
        table: &str,
        columns: &Columns,
    ) -> Result<Self, Error> {
        let texts: Vec<String> = columns.compared.iter().map(super::columns::Column::text).collect();
        let by_text = |index: usize| format!("{} COLLATE \"C\" NULLS FIRST", texts[index]);
        let order: Vec<String> = match &columns.key {
            Some(key) => key.iter().map(|index| by_text(*index)).collect(),
            None => {
                let all = 0..columns.compared.len();
                let (floats, rest): (Vec<_>, Vec<_>) = all.partition(|index| columns.compared[*index].float);
                let float = |index: usize| crate::schema::quote_identifier(&columns.compared[index].name);
                rest.into_iter().map(by_text).chain(floats.into_iter().map(float)).collect()
            }
        };
        let order = if order.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
        let list = texts.join(", ");
        run(
            connection,
            format!("DECLARE {cursor} NO SCROLL CURSOR FOR SELECT ARRAY[{list}]::text[] FROM {table}{order}"),
        )
        .await?;
        Ok(Self { fetch: format!("FETCH 1000 FROM {cursor}"), rows: VecDeque::new(), ended: false })
    }

    async fn fill(&mut self, connection: &mut PgConnection) -> Result<(), Error> {
        if self.rows.is_empty() && !self.ended {
            let rows: Vec<Row> = sqlx::query_scalar(AssertSqlSafe(self.fetch.clone()))
                .persistent(false)
                .fetch_all(connection)
                .await
                .during(COMPARE)?;
            self.ended = rows.is_empty();
            self.rows = rows.into();
        }
        Ok(())
    }
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<(), Error> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(|_done| ()).during(COMPARE)
}

/// The order in which the rows come; floats that are no key are all alike in it.
fn order(columns: &Columns, a: &Row, b: &Row) -> Ordering {
    let all: Vec<usize> = match &columns.key {
        Some(key) => key.clone(),
        None => (0..a.len()).filter(|index| !columns.compared[*index].float).collect(),
    };
    all.into_iter()
        .map(|index| a[index].cmp(&b[index]))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn agree(columns: &Columns, a: &Row, b: &Row) -> bool {
    let mut cells = columns.compared.iter().zip(a.iter().zip(b));
    cells.all(|(column, (a, b))| a == b || (column.float && near(a.as_deref(), b.as_deref())))
}

fn near(a: Option<&str>, b: Option<&str>) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok());
    match (number(a), number(b)) {
        (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()),
        _ => false,
    }
}

/// `origin 'ATL', departures 3`.
fn shown(columns: &Columns, row: &Row) -> String {
    let cells: Vec<String> = columns
        .compared
        .iter()
        .zip(row)
        .map(|(column, cell)| match cell {
            None => format!("{} NULL", column.name),
            Some(text) if column.bare => format!("{} {text}", column.name),
            Some(text) => {
                let more = if text.chars().nth(SHOWN).is_some() { " …" } else { "" };
                let cut: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
                format!("{} '{cut}'{more}", column.name)
            }
        })
        .collect();
    cells.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e_26_the_order_of_additions_is_no_difference() {
        assert!(near(Some("0.30000000000000004"), Some("0.3")));
        assert!(!near(Some("1.000001"), Some("1")));
        assert!(!near(Some("1"), None));
        assert!(!near(Some("NaN"), Some("1")));
    }
}

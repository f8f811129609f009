mod parameters;
mod passed_over;
mod refused;
mod rendering;
mod statements;

use std::ops::Range;

use super::*;
use crate::sql::{Parameter, Root, Segment, Unterminated};

const BOTH: [Dialect; 2] = [Dialect::Sqlite, Dialect::Postgres];

fn sqlite(text: &str) -> ScannedSql {
    ScannedSql::scan(text, Dialect::Sqlite).unwrap()
}

fn postgres(text: &str) -> ScannedSql {
    ScannedSql::scan(text, Dialect::Postgres).unwrap()
}

fn statements(scanned: &ScannedSql) -> Vec<&str> {
    scanned.statements().iter().map(Statement::sql).collect()
}

fn parameters(scanned: &ScannedSql) -> Vec<String> {
    scanned.statements().iter().flat_map(Statement::parameters).map(Parameter::to_string).collect()
}

fn none(text: &str, dialect: Dialect) {
    let scanned = ScannedSql::scan(text, dialect).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(parameters(&scanned), Vec::<String>::new(), "{text}");
}

fn fails(text: &str, dialect: Dialect) -> ScanError {
    ScannedSql::scan(text, dialect).expect_err(text)
}

fn fails_at(text: &str, dialect: Dialect, at: (usize, usize)) -> ScanErrorKind {
    let error = fails(text, dialect);
    assert_eq!((error.line, error.column), at, "{text}: {error}");
    assert_eq!(line_column(text, error.offset), at, "{text}");
    assert!(error.to_string().contains(&format!("line {}, column {}", at.0, at.1)), "{error}");
    error.kind
}

fn key(text: &str) -> Segment {
    Segment::Key(text.to_owned())
}

#[test]
fn a_statement_says_whether_it_gives_rows_back() {
    for (sql, rows) in [
        ("SELECT 1", true),
        ("(SELECT 1) UNION SELECT 2", true),
        ("VALUES (1)", true),
        ("TABLE t", true),
        ("WITH x AS (SELECT 1) SELECT * FROM x", true),
        ("INSERT INTO t VALUES (1) RETURNING id", true),
        ("WITH x AS (DELETE FROM t RETURNING id) INSERT INTO u SELECT * FROM x", false),
        ("INSERT INTO t (\"RETURNING\") VALUES ('RETURNING')", false),
        ("UPDATE t SET n = 1", false),
        ("CALL p()", false),
    ] {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let scanned = ScannedSql::scan(sql, dialect).unwrap();
            assert_eq!(scanned.statements()[0].returns_rows(), rows, "{sql}");
        }
    }
}

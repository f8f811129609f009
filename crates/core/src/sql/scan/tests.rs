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

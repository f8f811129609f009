//! What must hold for every text and every document.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{Dialect, PathSet, ScannedSql, Segment, SqlValue};

/// Pieces in which every rule of the lexer begins or ends, in any order.
const PIECES: [&str; 62] = [
    "'",
    "''",
    "\"",
    "`",
    "[",
    "]",
    "(",
    ")",
    "--",
    "/*",
    "*/",
    "$$",
    "$a$",
    "$1",
    "E'",
    "e'",
    "\\",
    ":",
    "::",
    ":=",
    ";",
    ".",
    ",",
    "\n",
    "\r",
    " ",
    ":id",
    ":data",
    ":data.a",
    ":data.\"",
    ":data.0",
    ":metadata.x.y",
    ":nope",
    "a",
    "1",
    "é",
    "\u{a0}",
    "\u{feff}",
    "\0",
    "😀",
    "ARRAY",
    "a[1:2]",
    "a[:n]",
    "CREATE ",
    "TEMP ",
    "TRIGGER ",
    "BEGIN ",
    "ATOMIC ",
    "CASE ",
    "END",
    "OR ",
    "REPLACE ",
    "FUNCTION ",
    "WITH ",
    "INSERT ",
    "SELECT ",
    "FROM ",
    "ON ",
    "CONFLICT",
    "JOIN ",
    "?",
    "@x",
];

fn sql() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40);
    prop_oneof![4 => pieces.prop_map(|pieces| pieces.concat()), 1 => ".*"]
}

/// SQL that is always read, so that rendering is tried on more than what chance lets pass.
fn good_sql() -> impl Strategy<Value = String> {
    const GOOD: [&str; 24] = [
        "'it''s'",
        "\"a b\"",
        "/* c */",
        "-- c\n",
        ":id",
        ":data.a",
        ":data.\"a b\"",
        ":data.\"a\"",
        ":metadata.x.0",
        ":stream",
        "; ",
        " ",
        "\n",
        "é",
        "+",
        "(",
        ")",
        ",",
        "x",
        "1",
        "::int",
        "SELECT ",
        ":id::text",
        "=",
    ];
    prop::collection::vec(prop::sample::select(GOOD.to_vec()), 0..40).prop_map(|pieces| pieces.join(" "))
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::Sqlite), Just(Dialect::Postgres)]
}

/// Statements, their parameters and the way back are slices of the text.
fn check_identity(text: &str, scanned: &ScannedSql) -> Result<(), TestCaseError> {
    let mut end = 0;
    for statement in scanned.statements() {
        prop_assert!(statement.range().start >= end);
        end = statement.range().end;
        prop_assert_eq!(&text[statement.range()], statement.sql());
        let written = |occurrence: usize| text[statement.parameters()[occurrence].range.clone()].to_owned();
        let rendered = statement.render_occurrences(written);
        prop_assert_eq!(rendered.sql(), statement.sql());
        let numbered = statement.render(|number| format!("?{}", number + 1));
        for (offset, character) in numbered.sql().char_indices() {
            let original = numbered.original_offset(offset);
            prop_assert!(statement.range().contains(&original));
            let there = text[original..].chars().next();
            prop_assert!(there == Some(':') || there == Some(character) || character == ' ');
        }
    }
    Ok(())
}

const KEYS: [&str; 13] = ["a", "b", "c", "0", "1", "01", "", "é", "a b", "\"", "\\", "\u{1}", "😀"];

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned),
        1 => ".{0,4}",
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec![0, 1, -1, i64::MAX, i64::MIN]).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn path() -> impl Strategy<Value = Vec<Segment>> {
    prop::collection::vec(key().prop_map(|key| Segment::unquoted(&key)), 0..5)
}

fn looked_up(document: &Value, path: &[Segment]) -> SqlValue {
    let step = |value: &Value, segment: &Segment| match (value, segment) {
        (Value::Array(elements), Segment::Index(index)) => elements.get(*index).cloned(),
        (Value::Object(fields), segment) => fields.get(&*segment.text()).cloned(),
        _ => None,
    };
    let found = path.iter().try_fold(document.clone(), |value, segment| step(&value, segment));
    match found {
        None | Some(Value::Null) => SqlValue::Null,
        Some(Value::Bool(bool)) => SqlValue::Bool(bool),
        Some(Value::Number(number)) => {
            number.as_i64().map_or_else(|| SqlValue::Number(number.to_string()), SqlValue::Integer)
        }
        Some(Value::String(text)) => SqlValue::Text(text),
        Some(value) => SqlValue::Json(value.to_string()),
    }
}

/// Json is compared as what it says: the text as written may have white space.
fn without_space(value: SqlValue) -> SqlValue {
    match value {
        SqlValue::Json(text) => SqlValue::Json(
            serde_json::from_str::<Value>(&text).expect("a part of good JSON is good").to_string(),
        ),
        other => other,
    }
}

fn failed(error: impl std::error::Error) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn scanning_never_panics_and_renders_back(text in sql(), dialect in dialect()) {
        match ScannedSql::scan(&text, dialect) {
            Ok(scanned) => check_identity(&text, &scanned)?,
            Err(error) => {
                prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
                prop_assert_eq!(super::line_column(&text, error.offset), (error.line, error.column));
            }
        }
    }

    #[test]
    fn good_sql_is_read_and_renders_back(text in good_sql(), dialect in dialect()) {
        let scanned = ScannedSql::scan(&text, dialect).map_err(failed)?;
        check_identity(&text, &scanned)?;
    }

    #[test]
    fn a_parameter_reads_back_as_it_is_written(path in path(), dialect in dialect()) {
        let written = path.iter().fold(":data".to_owned(), |text, segment| format!("{text}.{segment}"));
        prop_assume!(!written.contains('\0'));
        let scanned = ScannedSql::scan(&written, dialect).map_err(failed)?;
        prop_assert_eq!(&scanned.statements()[0].parameters()[0].path, &path);
    }

    #[test]
    fn extraction_agrees_with_a_look_up_in_the_document(
        document in document(),
        paths in prop::collection::vec(path(), 1..6),
        pretty in any::<bool>(),
    ) {
        let json = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) };
        let json = json.expect("a value can be written");
        let set = PathSet::new(paths.iter().map(Vec::as_slice));
        let found = set.extract(&json).map_err(failed)?;
        let found: Vec<SqlValue> = found.into_iter().map(without_space).collect();
        let expected = paths.iter().map(|path| without_space(looked_up(&document, path)));
        prop_assert_eq!(found, expected.collect::<Vec<_>>());
    }

    #[test]
    fn extraction_accepts_what_serde_json_accepts(bytes in prop_oneof![
        prop::collection::vec(prop::sample::select(br#"{}[]",:0-1.eEtrufalsn \a"#.to_vec()), 0..24),
        prop::collection::vec(any::<u8>(), 0..12),
    ]) {
        let set = PathSet::new([&[Segment::Key("a".to_owned()), Segment::Index(0)][..]]);
        let good = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok()
            && std::str::from_utf8(&bytes).is_ok();
        prop_assert_eq!(set.extract(&bytes).is_ok(), good);
    }
}

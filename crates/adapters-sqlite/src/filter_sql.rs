//! A filter as a condition on the columns `type` and `stream` of the log.
//!
//! Names stand in the text as literals: a condition belongs to one reader or one view, which keep their
//! statements. Columns stand behind a unary plus, which keeps SQLite from choosing the index on streams,
//! whose order is not the log's, over the range of positions that the reader has cut to size.
//!
//! SQLite has no SHA-256, so the hash of a stream is a function of ours, which each connection is given.

use highwater_core::model::{Filter, Pattern, stream_hash};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use crate::prefix::end_of;

/// The condition under which [`Filter::matches`]; `None` where every event does.
pub(crate) fn filter_sql(filter: &Filter) -> Option<String> {
    let mut all = Vec::new();
    all.extend(any_of("type", &filter.types));
    all.extend(any_of("stream", &filter.streams));
    all.extend(any_of("type", &filter.except_types).map(|condition| format!("NOT {condition}")));
    all.extend(
        filter
            .partition
            .filter(|partition| !partition.is_all())
            .map(|part| format!("highwater_stream_hash(stream) % {} = {}", part.of, part.index)),
    );
    (!all.is_empty()).then(|| all.join(" AND "))
}

/// Gives a connection the function that the condition of a partition calls.
pub(crate) fn register(conn: &Connection) -> rusqlite::Result<()> {
    // Innocuous: a view that stands in the schema may call it.
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    conn.create_scalar_function("highwater_stream_hash", 1, flags, |call| match call.get_raw(0) {
        ValueRef::Text(stream) => Ok(Some(i64::from(stream_hash(std::str::from_utf8(stream)?)))),
        _ => Ok(None),
    })
}

/// `None` for an empty list, which asks nothing.
fn any_of(column: &str, patterns: &[Pattern]) -> Option<String> {
    let mut exact = Vec::new();
    let mut conditions = Vec::new();
    for pattern in patterns {
        match pattern {
            Pattern::Exact(name) => exact.push(literal(name)),
            Pattern::Prefix(prefix) => conditions.push(starts_with(column, prefix)),
        }
    }
    if !exact.is_empty() {
        conditions.push(format!("+{column} IN ({})", exact.join(", ")));
    }
    (!conditions.is_empty()).then(|| disjunction(&conditions))
}

/// `a OR b OR c`, cut in the middle again and again: SQLite limits how deep an expression may be, and a plain
/// chain is as deep as it is long.
fn disjunction(conditions: &[String]) -> String {
    match conditions {
        [one] => format!("({one})"),
        _ => {
            let (left, right) = conditions.split_at(conditions.len() / 2);
            format!("({} OR {})", disjunction(left), disjunction(right))
        }
    }
}

fn starts_with(column: &str, prefix: &str) -> String {
    match end_of(prefix) {
        _ if prefix.is_empty() => "true".to_owned(),
        Some(end) => format!("+{column} >= {} AND +{column} < {}", literal(prefix), literal(&end)),
        None => format!("+{column} >= {}", literal(prefix)),
    }
}

/// A text in SQL. A literal cannot hold a NUL, so such a name goes in as its bytes.
fn literal(text: &str) -> String {
    if text.contains('\0') {
        let bytes: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("CAST(x'{}' AS TEXT)", bytes.concat())
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use highwater_core::model::Partition;
    use proptest::prelude::*;

    use super::*;

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            "[aAbB'\u{0}*%_?\u{d7ff}\u{e000}\u{10ffff}]{0,4}",
            proptest::sample::select(vec![
                "'; DROP TABLE t; --",
                "A",
                "AB",
                "a",
                "",
                "\u{10ffff}\u{10ffff}",
                "Ä"
            ])
            .prop_map(ToOwned::to_owned),
        ]
    }

    fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
        let pattern = (name(), any::<bool>()).prop_map(|(name, prefix)| match prefix {
            true => Pattern::Prefix(name.into()),
            false => Pattern::Exact(name.into()),
        });
        proptest::collection::vec(pattern, 0..4)
    }

    fn lets_through(conn: &Connection, filter: &Filter, event_type: &str, stream: &str) -> bool {
        let condition = filter_sql(filter).unwrap_or_else(|| "true".to_owned());
        conn.execute("DELETE FROM log", []).unwrap();
        conn.execute("INSERT INTO log VALUES (?1, ?2)", [event_type, stream]).unwrap();
        conn.query_row(&format!("SELECT {condition} FROM log"), [], |row| row.get(0)).unwrap()
    }

    fn log() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE log (type TEXT NOT NULL, stream TEXT NOT NULL)").unwrap();
        register(&conn).unwrap();
        conn
    }

    proptest! {
        #[test]
        fn sql_lets_through_exactly_what_the_filter_does(
            types in patterns(), streams in patterns(), except_types in patterns(),
            partition in proptest::option::of((0..3_u32, 1..4_u32)),
            events in proptest::collection::vec((name(), name()), 1..20),
        ) {
            let partition = partition.map(|(index, of)| Partition { index: index % of, of });
            let (conn, filter) = (log(), Filter { types, streams, except_types, partition });
            for (event_type, stream) in &events {
                prop_assert_eq!(
                    lets_through(&conn, &filter, event_type, stream),
                    filter.matches(event_type, stream),
                    "{:?} {:?}", event_type, stream
                );
            }
        }
    }

    #[test]
    fn thousands_of_patterns_are_no_deeper_than_sqlite_permits() {
        let texts: Vec<String> = (0..5000).map(|n| format!("prefix-{n}-*")).collect();
        let filter = Filter::types(texts.iter().map(String::as_str));
        let conn = log();
        assert!(lets_through(&conn, &filter, "prefix-4999-x", "s"));
        assert!(!lets_through(&conn, &filter, "prefix-5000-x", "s"));
    }
}

//! A filter as a condition on the columns `type`, `stream` and `stream_hash` of the log.
//!
//! Two ways to say the same: a reader binds its names, so that all readers share a handful of statements; a
//! view cannot have parameters and gets them as literals.

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use highwater_core::model::{Filter, Partition, Pattern};

use crate::schema::quote_literal;

/// A filter as the server takes it.
#[derive(Debug, Clone)]
pub(crate) struct FilterSql {
    types: Option<Names>,
    streams: Option<Names>,
    except_types: Option<Names>,
    partition: Option<Partition>,
}

/// One list of patterns. A name with a NUL is in no log of PostgreSQL, nor could it be bound: it is left out,
/// and matches nothing.
#[derive(Debug, Clone)]
struct Names {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl Names {
    /// `None` for an empty list, which asks nothing.
    fn of(patterns: &[Pattern]) -> Option<Self> {
        if patterns.is_empty() {
            return None;
        }
        let mut names = Self { exact: Vec::new(), prefixes: Vec::new() };
        for pattern in patterns {
            match pattern {
                Pattern::Exact(name) if !name.contains('\0') => names.exact.push((**name).to_owned()),
                Pattern::Prefix(prefix) if !prefix.contains('\0') => {
                    names.prefixes.push((**prefix).to_owned())
                }
                Pattern::Exact(_) | Pattern::Prefix(_) => {}
            }
        }
        Some(names)
    }
}

impl FilterSql {
    pub(crate) fn new(filter: &Filter) -> Self {
        Self {
            types: Names::of(&filter.types),
            streams: Names::of(&filter.streams),
            except_types: Names::of(&filter.except_types),
            partition: filter.partition.filter(|partition| !partition.is_all()),
        }
    }

    /// Whether every event is let through.
    pub(crate) fn is_all(&self) -> bool {
        self.types.is_none()
            && self.streams.is_none()
            && self.except_types.is_none()
            && self.partition.is_none()
    }

    /// The condition, with parameters from `$first` on; begins with ` AND ` where it is not empty.
    pub(crate) fn condition(&self, first: usize) -> String {
        let mut next = first;
        let mut parameter = || {
            next += 1;
            format!("${}", next - 1)
        };
        let mut sql = String::new();
        for (column, names, not) in self.lists() {
            if names.is_some() {
                let (exact, prefixes) = (parameter(), parameter());
                sql.push_str(&format!(
                    " AND {not}({column} = ANY ({exact}::text[]) OR {column} ^@ ANY ({prefixes}::text[]))"
                ));
            }
        }
        if self.partition.is_some() {
            let (of, index) = (parameter(), parameter());
            sql.push_str(&format!(" AND stream_hash % {of}::bigint = {index}::bigint"));
        }
        sql
    }

    /// Binds the parameters of [`FilterSql::condition`].
    pub(crate) fn bind<'q>(
        &'q self,
        mut query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        for (_, names, _) in self.lists() {
            if let Some(names) = names {
                query = query.bind(&names.exact).bind(&names.prefixes);
            }
        }
        if let Some(partition) = &self.partition {
            query = query.bind(i64::from(partition.of)).bind(i64::from(partition.index));
        }
        query
    }

    fn lists(&self) -> [(&'static str, Option<&Names>, &'static str); 3] {
        [
            ("type", self.types.as_ref(), ""),
            ("stream", self.streams.as_ref(), ""),
            ("type", self.except_types.as_ref(), "NOT "),
        ]
    }
}

/// The condition under which [`Filter::matches`], as text with literals: for views. `true` where every event
/// does.
pub(crate) fn filter_text(filter: &Filter) -> String {
    let filter = FilterSql::new(filter);
    let mut all = Vec::new();
    for (column, names, not) in filter.lists() {
        if let Some(names) = names {
            let (exact, prefixes) = (array(&names.exact), array(&names.prefixes));
            all.push(format!("{not}({column} = ANY ({exact}) OR {column} ^@ ANY ({prefixes}))"));
        }
    }
    if let Some(Partition { index, of }) = filter.partition {
        all.push(format!("stream_hash % {of} = {index}"));
    }
    if all.is_empty() { "true".to_owned() } else { all.join(" AND ") }
}

fn array(texts: &[String]) -> String {
    let literals: Vec<String> = texts.iter().map(|text| quote_literal(text)).collect();
    format!("ARRAY[{}]::text[]", literals.join(", "))
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;

    use highwater_core::model::stream_hash;

    use super::*;

    #[test]
    fn a_filter_of_everything_asks_nothing() {
        assert!(FilterSql::new(&Filter::all()).is_all());
        assert_eq!(FilterSql::new(&Filter::all()).condition(3), "");
        assert_eq!(filter_text(&Filter::all()), "true");
        let whole = Filter { partition: Some(Partition { index: 0, of: 1 }), ..Filter::all() };
        assert!(FilterSql::new(&whole).is_all());
    }

    #[test]
    fn a_name_that_no_log_has_still_asks_for_something() {
        let filter = Filter { types: vec![Pattern::Exact("\0".into())], ..Filter::all() };
        assert!(!FilterSql::new(&filter).is_all());
        assert_ne!(filter_text(&filter), "true");
    }

    fn filters(names: &[String]) -> Vec<Filter> {
        let parse = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text)).collect::<Vec<_>>();
        let by = |types: &[&str], streams: &[&str], except: &[&str]| Filter {
            types: parse(types),
            streams: parse(streams),
            except_types: parse(except),
            ..Filter::all()
        };
        let mut filters = vec![
            Filter::all(),
            by(&["a*", "-"], &["'*", "$*", "%*", "e*"], &["a/*"]),
            by(&["*"], &["*"], &["a*", "it's"]),
            by(&["\\*", "\u{e9}*", "\0*"], &[], &[]),
            by(&[], &[], &["\0"]),
        ];
        filters.extend(names.iter().flat_map(|name| {
            let (exact, prefix) =
                (vec![Pattern::Exact(name.as_str().into())], name.chars().take(1).collect::<String>());
            [
                Filter { types: exact.clone(), ..Filter::all() },
                Filter { except_types: exact, ..Filter::all() },
                Filter { streams: vec![Pattern::Prefix(prefix.into())], ..Filter::all() },
            ]
        }));
        filters.extend(
            (0..3).map(|index| Filter { partition: Some(Partition { index, of: 3 }), ..Filter::all() }),
        );
        filters
    }

    /// What a reader asks with bound names is tested by the log's contract; this is the text for views.
    #[tokio::test]
    async fn a_view_lets_through_exactly_what_the_filter_does() {
        let Ok(server) = std::env::var("HIGHWATER_TEST_POSTGRES_URL") else {
            assert!(std::env::var_os("REQUIRE_BACKENDS").is_none(), "backends are required");
            eprintln!("skipped: HIGHWATER_TEST_POSTGRES_URL is not set");
            return;
        };
        let mut connection = sqlx::PgConnection::connect(&server).await.expect("a connection");
        let mut names = highwater_testkit::fixtures::hostile_names();
        names.retain(|name| !name.contains('\0'));
        names.push(r"back\slash".to_owned());
        let rows: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(n, name)| (name.as_str(), names[(n + 7) % names.len()].as_str()))
            .collect();
        let (types, streams): (Vec<&str>, Vec<&str>) = rows.iter().copied().unzip();
        let hashes: Vec<i64> = streams.iter().map(|stream| i64::from(stream_hash(stream))).collect();
        for filter in filters(&names) {
            let sql = format!(
                "SELECT {} FROM (SELECT t COLLATE \"C\" AS type, s COLLATE \"C\" AS stream, stream_hash, n \
                 FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY u(t, s, stream_hash, \
                 n)) e ORDER BY n",
                filter_text(&filter)
            );
            let found: Vec<bool> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                .bind(&types)
                .bind(&streams)
                .bind(&hashes)
                .fetch_all(&mut connection)
                .await
                .expect("the text is SQL");
            let expected: Vec<bool> = rows.iter().map(|(t, s)| filter.matches(t, s)).collect();
            assert_eq!(found, expected, "{filter:?}");
        }
    }
}

//! What a projection in SQL is written as.

use std::collections::HashMap;

use super::{SqlProblem, fingerprint};
use crate::model::{Filter, Pattern, ProjectionName};

/// A piece of SQL and where it stands, for error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlText {
    /// The SQL.
    pub text: String,
    /// Where it stands, as a person would say it: `airport_delays.sql`, or
    /// ``highwater.toml [[projection]] `airport_delays` apply``.
    pub origin: String,
    /// The line of the origin on which the text begins, from 1: 1 for a whole file.
    pub first_line: usize,
}

impl SqlText {
    /// A text that begins on the first line of its origin.
    pub fn new(text: impl Into<String>, origin: impl Into<String>) -> Self {
        Self { text: text.into(), origin: origin.into(), first_line: 1 }
    }
}

/// A projection in SQL, as the user wrote it.
#[derive(Debug, Clone)]
pub struct SqlProjectionDef {
    /// Its name.
    pub name: ProjectionName,
    /// The DDL of the read model; may be absent where the tables are made by somebody else.
    pub schema: Option<SqlText>,
    /// Run once per batch, over the relation `events`.
    pub apply: Option<SqlText>,
    /// Run once per event of a type, with parameters. An event whose type stands here goes here only (F-4).
    pub on: Vec<(String, SqlText)>,
    /// The types and streams as they are written; [`SqlProjectionDef::event_filter`] is what comes of them.
    pub filter: Filter,
    /// The tables that a rebuild empties; `None` = those that `schema` creates.
    pub tables: Option<Vec<String>>,
    /// The log is in the read model's database, so `apply` can read it where it stands.
    pub log_in_store: bool,
}

impl SqlProjectionDef {
    /// The events that the projection is for: the filter as it is written; without `types` and `apply`, the types
    /// that have an entry in `on` (F-4).
    #[must_use]
    pub fn event_filter(&self) -> Filter {
        let mut filter = self.filter.clone();
        if filter.types.is_empty() && self.apply.is_none() {
            filter.types = self.on_types();
        }
        filter
    }

    /// Those of them that go to `apply`.
    #[must_use]
    pub fn apply_filter(&self) -> Filter {
        let mut filter = self.event_filter();
        filter.except_types.extend(self.on_types());
        filter
    }

    /// The place in `on` of each type that has one.
    #[must_use]
    pub fn on_entries(&self) -> HashMap<Box<str>, usize> {
        self.on.iter().enumerate().map(|(entry, (key, _))| (key.as_str().into(), entry)).collect()
    }

    fn on_types(&self) -> Vec<Pattern> {
        self.on.iter().map(|(key, _)| Pattern::Exact(key.as_str().into())).collect()
    }

    /// What is wrong with the definition as a whole; its texts are looked at by [`SqlScript`](super::SqlScript).
    #[must_use]
    pub fn problems(&self) -> Vec<SqlProblem> {
        let mut problems = Vec::new();
        if self.apply.is_none() && self.on.is_empty() {
            let message = "it has nothing to do: give it `apply`, or entries in `on`";
            problems.push(SqlProblem::whole(&self.name, None, message));
        }
        for (n, (key, text)) in self.on.iter().enumerate() {
            let quoted = key.escape_debug();
            let types = &self.filter.types;
            let message = if self.on[..n].iter().any(|(other, _)| other == key) {
                format!("`on` has two entries for `{quoted}`: make them one; it may hold several statements")
            } else if key.ends_with('*') {
                format!(
                    "`{quoted}` in `on` must be one event type, not a prefix: write an entry for each type"
                )
            } else if !types.is_empty() && !types.iter().any(|pattern| pattern.matches(key)) {
                format!(
                    "`{quoted}` in `on` is outside `types` and would never run: add it to `types`, or remove it"
                )
            } else {
                continue;
            };
            problems.push(SqlProblem::whole(&self.name, Some(&text.origin), message));
        }
        problems
    }

    /// A text that changes when the SQL does, white space around a text left aside (E-6). Entries of `on` count
    /// by their types, not by the order in which they are written.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut parts = Vec::new();
        for (part, text) in [("schema", &self.schema), ("apply", &self.apply)] {
            parts.extend(text.iter().flat_map(|text| [part, text.text.trim()]));
        }
        let mut on: Vec<_> = self.on.iter().map(|(key, text)| [key.as_str(), text.text.trim()]).collect();
        on.sort_unstable();
        parts.extend(on.iter().flat_map(|[key, text]| ["on", key, text]));
        fingerprint(&parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def() -> SqlProjectionDef {
        SqlProjectionDef {
            name: ProjectionName::new("p").unwrap(),
            schema: None,
            apply: None,
            on: Vec::new(),
            filter: Filter::all(),
            tables: None,
            log_in_store: true,
        }
    }

    fn apply(sql: &str) -> SqlProjectionDef {
        SqlProjectionDef { apply: Some(SqlText::new(sql, "apply.sql")), ..def() }
    }

    impl SqlProjectionDef {
        fn on(mut self, key: &str, sql: &str) -> Self {
            self.on.push((key.to_owned(), SqlText::new(sql, format!("on {key}"))));
            self
        }

        fn types(mut self, types: &[&str]) -> Self {
            self.filter = Filter::types(types.iter().copied());
            self
        }
    }

    fn one(def: SqlProjectionDef) -> String {
        let mut found: Vec<String> = def.problems().iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn f_4_an_entry_that_would_never_run_is_an_error() {
        assert!(one(def().on("B", "SELECT 1").types(&["A"])).contains("outside `types`"));
        assert!(one(def().on("A", "SELECT 1").on("A", "SELECT 2")).contains("two entries"));
        assert!(one(def().on("A*", "SELECT 1")).contains("prefix"));
        assert!(one(def()).contains("nothing to do"));
        assert_eq!(def().on("Ab", "SELECT 1").types(&["A*"]).problems(), []);
    }

    #[test]
    fn f_4_the_filter_is_what_is_written_else_the_keys_of_on() {
        assert_eq!(apply("SELECT 1").event_filter(), Filter::all());
        assert_eq!(apply("SELECT 1").on("A", "SELECT 1").event_filter(), Filter::all());
        let keys = def().on("A", "SELECT 1").on("B", "SELECT 1");
        assert_eq!(keys.event_filter(), Filter::types(["A", "B"]));
        let written = def().on("A", "SELECT 1").types(&["A", "C*"]);
        assert_eq!(written.event_filter(), Filter::types(["A", "C*"]));
        let mut streams = def().on("A", "SELECT 1");
        streams.filter.streams = vec![Pattern::parse("case-*")];
        let expected = Filter { types: Filter::types(["A"]).types, ..streams.filter.clone() };
        assert_eq!(streams.event_filter(), expected);
    }

    #[test]
    fn f_4_what_has_an_entry_does_not_go_to_apply() {
        let filter = apply("SELECT 1").on("Ab", "SELECT 1").types(&["A*"]).apply_filter();
        assert!(filter.matches("Ac", "s") && !filter.matches("Ab", "s") && !filter.matches("B", "s"));
    }

    #[test]
    fn e_6_the_fingerprint_changes_with_the_sql_and_with_nothing_else() {
        let schema = |text: &str| SqlProjectionDef {
            schema: Some(SqlText { text: text.into(), origin: "moved.sql".into(), first_line: 9 }),
            ..apply("SELECT 1\n")
        };
        let base = || schema("CREATE TABLE t (x)").on("A", "SELECT 1").on("B", "SELECT 2");
        let same = schema("\n CREATE TABLE t (x) ").on("B", "SELECT 2").on("A", "SELECT 1");
        assert_eq!(same.fingerprint(), base().fingerprint());
        let others = [
            base(),
            schema("CREATE TABLE t (y)").on("A", "SELECT 1").on("B", "SELECT 2"),
            base().on("C", "SELECT 2"),
            apply("SELECT 1"),
            apply("SELECT  1"),
            def().on("apply", "SELECT 1"),
            apply("SELECT 1").on("A", "SELECT 1"),
        ]
        .map(|def| def.fingerprint());
        for (n, print) in others.iter().enumerate() {
            assert!(!others[..n].contains(print), "{n}");
        }
    }
}

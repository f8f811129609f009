//! One statement of a user's SQL.

use std::ops::Range;

use super::{Parameter, Rendered, render};

/// A statement: its text, its parameters, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    sql: String,
    start: usize,
    first_keyword: String,
    verb: String,
    kind: StatementKind,
    parameters: Vec<Parameter>,
    /// For each parameter, the number of its value.
    numbers: Vec<usize>,
    /// For each number, the first parameter that has it.
    firsts: Vec<usize>,
    needs_where_true: bool,
    returning: bool,
}

/// What a statement is for, by its words alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatementKind {
    /// It changes the schema: CREATE, ALTER, DROP, COMMENT, GRANT, REVOKE.
    Ddl,
    /// It reads or changes rows: SELECT, VALUES, TABLE, INSERT, REPLACE, UPDATE, DELETE, MERGE, TRUNCATE,
    /// with WITH before it or not.
    Dml,
    /// It would end or split the transaction of the runner, or reach past it: BEGIN, START, COMMIT, END,
    /// ROLLBACK, ABORT, SAVEPOINT, RELEASE, PREPARE TRANSACTION, ATTACH, DETACH, PRAGMA, VACUUM.
    Control,
    /// Anything else; the database judges it.
    Other,
}

/// What the scanner knows of a statement at its end.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) words: Vec<String>,
    pub(super) verb: Option<String>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) needs_where_true: bool,
    /// RETURNING stands outside of brackets.
    pub(super) returning: bool,
}

impl StatementKind {
    fn of(words: &[String], verb: &str) -> Self {
        match verb {
            "CREATE" | "ALTER" | "DROP" | "COMMENT" | "GRANT" | "REVOKE" => Self::Ddl,
            "SELECT" | "VALUES" | "TABLE" | "WITH" | "INSERT" | "REPLACE" | "UPDATE" | "DELETE" | "MERGE"
            | "TRUNCATE" => Self::Dml,
            "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE"
            | "ATTACH" | "DETACH" | "PRAGMA" | "VACUUM" => Self::Control,
            "PREPARE" if words.get(1).is_some_and(|word| word == "TRANSACTION") => Self::Control,
            _ => Self::Other,
        }
    }
}

impl Statement {
    pub(super) fn new(text: &str, range: Range<usize>, parts: Parts) -> Self {
        let Parts { words, verb, parameters, needs_where_true, returning } = parts;
        let first_keyword = words.first().cloned().unwrap_or_default();
        let verb = verb.unwrap_or_else(|| first_keyword.clone());
        let kind = StatementKind::of(&words, &verb);
        let mut firsts: Vec<usize> = Vec::new();
        let mut numbers = Vec::with_capacity(parameters.len());
        for (occurrence, parameter) in parameters.iter().enumerate() {
            let known = firsts.iter().position(|first| parameters[*first].is_same_value(parameter));
            numbers.push(known.unwrap_or(firsts.len()));
            if known.is_none() {
                firsts.push(occurrence);
            }
        }
        let (sql, start) = (text[range.clone()].to_owned(), range.start);
        Self {
            sql,
            start,
            first_keyword,
            verb,
            kind,
            parameters,
            numbers,
            firsts,
            needs_where_true,
            returning,
        }
    }

    /// The statement as it is written, from its first to its last token, without the `;`.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The bytes of the scanned text that it takes up.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.sql.len()
    }

    /// Every occurrence of a parameter, in the order of the text; their ranges count in the scanned text.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The number of the value of each of [`parameters`](Self::parameters): 0 for the first value, one more
    /// for each that is new.
    pub fn numbers(&self) -> &[usize] {
        &self.numbers
    }

    /// The different values, by number: what is to be bound.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Parameter> {
        self.firsts.iter().map(|first| &self.parameters[*first])
    }

    /// The first word, in capitals; empty where the statement begins with none.
    pub fn first_keyword(&self) -> &str {
        &self.first_keyword
    }

    /// The word that says what the statement does, in capitals: the first one, or after WITH that of the main
    /// statement.
    pub fn verb(&self) -> &str {
        &self.verb
    }

    /// What it is for.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// SQLite will stop at the `DO` of this upsert, for want of a `WHERE true` before its `ON CONFLICT`.
    pub fn needs_where_true_hint(&self) -> bool {
        self.needs_where_true
    }

    /// It gives rows back, of itself or by RETURNING.
    pub fn returns_rows(&self) -> bool {
        self.returning || matches!(self.verb.as_str(), "SELECT" | "VALUES" | "TABLE" | "WITH")
    }

    /// The statement with one text for each value: `text_of` is given the number of the value.
    ///
    /// A text that would run into the word beside it (`AND:id` with `$1`) is set off by a space.
    pub fn render(&self, mut text_of: impl FnMut(usize) -> String) -> Rendered {
        self.render_occurrences(|occurrence| text_of(self.numbers[occurrence]))
    }

    /// The statement with a text of its own for each occurrence of a parameter, as PostgreSQL needs to infer
    /// the type of each; `text_of` is given the index in [`parameters`](Self::parameters).
    pub fn render_occurrences(&self, text_of: impl FnMut(usize) -> String) -> Rendered {
        render::render(&self.sql, self.start, &self.parameters, text_of)
    }
}

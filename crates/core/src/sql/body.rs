//! Statements that hold statements.
//!
//! The `;` inside the body of a SQLite trigger (`BEGIN ...; END`) or of a PostgreSQL routine in standard
//! SQL (`BEGIN ATOMIC ...; END`) does not end the statement. Both grammars put a `;` before the `END` that
//! closes the body, and none before the `END` of a `CASE`; that is how SQLite's own shell finds the end, too,
//! and it stays right where `end` or `begin` names a column, as SQLite allows.

use super::Dialect;

#[derive(Debug, Default)]
pub(super) struct Body {
    opener: Option<Opener>,
    /// Where its BEGIN stands.
    begun: Option<usize>,
    ended: bool,
    previous: Previous,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opener {
    Begin,
    BeginAtomic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Previous {
    #[default]
    Other,
    Dot,
    Semicolon,
    Begin(usize),
    Atomic,
}

impl Body {
    /// Takes the words that a statement begins with, as far as they are known.
    pub(super) fn opening(&mut self, words: &[String], dialect: Dialect) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.opener = match (dialect, words.as_slice()) {
            (
                Dialect::Sqlite,
                ["CREATE", "TRIGGER", ..] | ["CREATE", "TEMP" | "TEMPORARY", "TRIGGER", ..],
            ) => Some(Opener::Begin),
            (
                Dialect::Postgres,
                ["CREATE", "FUNCTION" | "PROCEDURE", ..]
                | ["CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE", ..],
            ) => Some(Opener::BeginAtomic),
            _ => self.opener,
        };
    }

    /// Takes a word outside of brackets, in capitals.
    pub(super) fn word(&mut self, word: &str, offset: usize) {
        let after = self.previous;
        self.previous = match word {
            "BEGIN" if after != Previous::Dot => Previous::Begin(offset),
            "ATOMIC" if matches!(after, Previous::Begin(_)) => Previous::Atomic,
            _ => Previous::Other,
        };
        if self.begun.is_some() {
            self.ended |= word == "END" && matches!(after, Previous::Semicolon | Previous::Atomic);
            return;
        }
        self.begun = match (self.opener, self.previous, after) {
            (Some(Opener::Begin), Previous::Begin(at), _) => Some(at),
            (Some(Opener::BeginAtomic), Previous::Atomic, Previous::Begin(at)) => Some(at),
            _ => None,
        };
    }

    /// Takes any other token, or a word in brackets.
    pub(super) fn symbol(&mut self, symbol: Option<u8>) {
        self.previous = match symbol {
            Some(b';') => Previous::Semicolon,
            Some(b'.') => Previous::Dot,
            _ => Previous::Other,
        };
    }

    /// Where the BEGIN of a body stands that has not ended.
    pub(super) fn unended(&self) -> Option<usize> {
        self.begun.filter(|_| !self.ended)
    }
}

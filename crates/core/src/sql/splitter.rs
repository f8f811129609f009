//! Where one statement ends and the next begins.

use std::ops::Range;

use super::body::Body;
use super::lexer::{Lexer, Token, TokenKind};
use super::statement::Parts;
use super::upsert::UpsertWatch;
use super::{Dialect, ScanError, ScanErrorKind, Statement, Unterminated};

/// As many words as it takes to know a statement: CREATE OR REPLACE FUNCTION.
const LEADING_WORDS: usize = 4;

/// The words that a statement with WITH goes on with after its common table expressions.
const MAIN_VERBS: [&str; 8] = ["SELECT", "VALUES", "TABLE", "INSERT", "REPLACE", "UPDATE", "DELETE", "MERGE"];

pub(super) fn split(text: &str, dialect: Dialect) -> Result<Vec<Statement>, ScanError> {
    let mut lexer = Lexer::new(text, dialect)?;
    let mut statements = Vec::new();
    let mut draft = Draft::default();
    while let Some(token) = lexer.next()? {
        let depth = lexer.depth();
        if matches!(token.kind, TokenKind::Symbol(b';')) && depth == 0 && draft.body.unended().is_none() {
            statements.extend(std::mem::take(&mut draft).finish(text, dialect));
        } else {
            draft.take(token, depth, text, dialect);
        }
    }
    // With a bracket open, the end of the body may have been taken for part of it: the database knows better.
    if let Some(begin) = draft.body.unended().filter(|_| lexer.depth() == 0) {
        return Err(ScanError::new(ScanErrorKind::Unterminated(Unterminated::Body), text, begin));
    }
    statements.extend(draft.finish(text, dialect));
    Ok(statements)
}

/// The statement that is being read.
#[derive(Default)]
struct Draft {
    range: Option<Range<usize>>,
    parts: Parts,
    /// Something else than a word has come.
    words_done: bool,
    body: Body,
    upsert: UpsertWatch,
}

impl Draft {
    fn take(&mut self, token: Token, depth: usize, text: &str, dialect: Dialect) {
        let Token { kind, range } = token;
        let start = self.range.as_ref().map_or(range.start, |so_far| so_far.start);
        self.range = Some(start..range.end);
        match kind {
            TokenKind::Word => self.word(&text[range.clone()], range.start, depth, dialect),
            TokenKind::Symbol(symbol) => self.symbol(Some(symbol), depth),
            TokenKind::Other => self.symbol(None, depth),
            TokenKind::Parameter(parameter) => {
                self.parts.parameters.push(parameter);
                self.symbol(None, depth);
            }
        }
    }

    fn word(&mut self, word: &str, offset: usize, depth: usize, dialect: Dialect) {
        let word = word.to_ascii_uppercase();
        if depth == 0 {
            self.body.word(&word, offset);
            self.upsert.word(&word);
            self.parts.returning |= word == "RETURNING";
        } else {
            self.body.symbol(None);
        }
        let words = &mut self.parts.words;
        let after_with = words.first().is_some_and(|first| first == "WITH");
        if after_with && depth == 0 && self.parts.verb.is_none() && MAIN_VERBS.contains(&word.as_str()) {
            self.parts.verb = Some(word.clone());
        }
        if !self.words_done && words.len() < LEADING_WORDS {
            words.push(word);
            self.body.opening(words, dialect);
        }
    }

    fn symbol(&mut self, symbol: Option<u8>, depth: usize) {
        // `(SELECT ...) UNION ...` begins with its bracket and is a SELECT all the same.
        self.words_done |= symbol != Some(b'(') || !self.parts.words.is_empty();
        self.body.symbol(symbol);
        if depth == 0 {
            self.upsert.symbol(symbol);
        }
    }

    fn finish(mut self, text: &str, dialect: Dialect) -> Option<Statement> {
        self.parts.needs_where_true = dialect == Dialect::Sqlite && self.upsert.is_misread();
        self.range.map(|range| Statement::new(text, range, self.parts))
    }
}

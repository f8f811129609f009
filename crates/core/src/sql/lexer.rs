//! The words, quotes and parameters of SQL text.
//!
//! It knows just enough of each dialect to tell where a `:` or a `;` means what it seems to mean. Everything
//! else is the database's to judge, so what the lexer does not know is passed on as it stands.

mod parameters;
mod quotes;

use std::ops::Range;

use super::{Dialect, Parameter, ScanError, ScanErrorKind, Unterminated};

#[derive(Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) range: Range<usize>,
}

#[derive(Debug)]
pub(super) enum TokenKind {
    /// An unquoted identifier or keyword.
    Word,
    Parameter(Parameter),
    /// One ASCII character, or the two of `::` and `:=` under their colon.
    Symbol(u8),
    /// A literal, a quoted identifier, a number.
    Other,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
    open: Vec<Bracket>,
    previous: Previous,
}

/// What is open around the next token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Round,
    /// `a[1:2]`: a colon may part the bounds.
    Subscript,
    /// `ARRAY[1, 2]`: a colon may not.
    Elements,
}

/// What tells a subscript from the elements of an array.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Previous {
    ArrayWord,
    OpenSquare,
    Comma,
    Other,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Result<Self, ScanError> {
        if let Some(nul) = text.find('\0') {
            return Err(ScanError::new(ScanErrorKind::Nul, text, nul));
        }
        // The byte order mark that some editors write is part of the file, not of the SQL.
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Ok(Self { text, at, dialect, open: Vec::new(), previous: Previous::Other })
    }

    /// How many brackets are open after the last token.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The next token; `None` at the end of the text.
    pub(super) fn next(&mut self) -> Result<Option<Token>, ScanError> {
        self.skip_blank()?;
        let start = self.at;
        let Some(first) = self.peek(0) else { return Ok(None) };
        let sqlite = self.dialect == Dialect::Sqlite;
        let kind = match first {
            b'\'' => self.quoted(b'\'', Unterminated::String)?,
            b'"' => self.quoted(b'"', Unterminated::Identifier)?,
            b'`' if sqlite => self.quoted(b'`', Unterminated::Identifier)?,
            b'[' if sqlite => self.through("]", start, Unterminated::Identifier)?,
            b'?' | b'@' | b'$' if sqlite => return Err(self.foreign(start)),
            b'$' => self.dollar()?,
            b':' => self.colon()?,
            b'0'..=b'9' => {
                self.skip_word();
                TokenKind::Other
            }
            byte if is_word_byte(byte) => self.word()?,
            byte => self.symbol(byte),
        };
        self.previous = match kind {
            TokenKind::Symbol(b'[') => Previous::OpenSquare,
            TokenKind::Symbol(b',') => Previous::Comma,
            TokenKind::Word if self.text[start..self.at].eq_ignore_ascii_case("array") => Previous::ArrayWord,
            _ => Previous::Other,
        };
        Ok(Some(Token { kind, range: start..self.at }))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn error(&self, kind: ScanErrorKind, offset: usize) -> ScanError {
        ScanError::new(kind, self.text, offset)
    }

    fn unterminated(&self, what: Unterminated, start: usize) -> ScanError {
        self.error(ScanErrorKind::Unterminated(what), start)
    }

    fn skip_word(&mut self) {
        self.at += word_length(self.rest());
    }

    fn word(&mut self) -> Result<TokenKind, ScanError> {
        let start = self.at;
        self.skip_word();
        let escapes = self.text[start..self.at].eq_ignore_ascii_case("e") && self.peek(0) == Some(b'\'');
        if escapes && self.dialect == Dialect::Postgres {
            return self.escape_string(start);
        }
        Ok(TokenKind::Word)
    }

    fn symbol(&mut self, byte: u8) -> TokenKind {
        self.at += 1;
        match byte {
            b'(' => self.open.push(Bracket::Round),
            b'[' => self.open.push(self.square()),
            b')' if self.innermost() == Some(Bracket::Round) => {
                self.open.pop();
            }
            b']' if matches!(self.innermost(), Some(Bracket::Subscript | Bracket::Elements)) => {
                self.open.pop();
            }
            _ => {}
        }
        TokenKind::Symbol(byte)
    }

    fn innermost(&self) -> Option<Bracket> {
        self.open.last().copied()
    }

    /// What the `[` after the previous token opens.
    fn square(&self) -> Bracket {
        let nested = matches!(self.previous, Previous::OpenSquare | Previous::Comma);
        if self.previous == Previous::ArrayWord || (nested && self.innermost() == Some(Bracket::Elements)) {
            Bracket::Elements
        } else {
            Bracket::Subscript
        }
    }
}

/// Part of an unquoted identifier in both dialects; every character beyond ASCII is.
pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

fn word_length(text: &str) -> usize {
    text.bytes().take_while(|byte| is_word_byte(*byte)).count()
}

//! What a statement's meaning does not reach into: comments, strings, quoted identifiers.

use super::{Lexer, TokenKind, is_word_byte};
use crate::sql::{Dialect, ScanError, Unterminated};

impl Lexer<'_> {
    pub(super) fn skip_blank(&mut self) -> Result<(), ScanError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c'), _) => self.at += 1,
                (Some(b'-'), Some(b'-')) => self.skip_line(),
                (Some(b'/'), Some(b'*')) => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        let postgres = self.dialect == Dialect::Postgres;
        let end = self.rest().find(|c| c == '\n' || (postgres && c == '\r'));
        self.at = end.map_or(self.text.len(), |end| self.at + end);
    }

    fn skip_comment(&mut self) -> Result<(), ScanError> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) if depth == 0 || self.dialect == Dialect::Postgres => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return Err(self.unterminated(Unterminated::Comment, start)),
            }
        }
    }

    /// Moves past a quote, what it quotes (the quote doubled stands for itself) and its end.
    pub(super) fn skip_quoted(&mut self, quote: u8, what: Unterminated) -> Result<(), ScanError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                Some(byte) if byte == quote && self.peek(1) == Some(quote) => self.at += 2,
                Some(byte) if byte == quote => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => self.at += 1,
                None => return Err(self.unterminated(what, start)),
            }
        }
    }

    pub(super) fn quoted(&mut self, quote: u8, what: Unterminated) -> Result<TokenKind, ScanError> {
        self.skip_quoted(quote, what)?;
        Ok(TokenKind::Other)
    }

    /// Moves past the next `end`.
    pub(super) fn through(
        &mut self,
        end: &str,
        start: usize,
        what: Unterminated,
    ) -> Result<TokenKind, ScanError> {
        let Some(found) = self.rest().find(end) else { return Err(self.unterminated(what, start)) };
        self.at += found + end.len();
        Ok(TokenKind::Other)
    }

    /// `E'...'`, from its quote on. A string that goes on after a line break goes on with its escapes.
    pub(super) fn escape_string(&mut self, start: usize) -> Result<TokenKind, ScanError> {
        self.at += 1;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'\\'), Some(_)) => {
                    let escaped = self.text[self.at + 1..].chars().next().map_or(0, char::len_utf8);
                    self.at += 1 + escaped;
                }
                (Some(b'\''), Some(b'\'')) => self.at += 2,
                (Some(b'\''), _) => {
                    self.at += 1;
                    match self.continuation() {
                        Some(quote) => self.at = quote + 1,
                        None => return Ok(TokenKind::Other),
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return Err(self.unterminated(Unterminated::String, start)),
            }
        }
    }

    /// Where the string that just ended is taken up again: after white space with a line break in it.
    fn continuation(&self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        let mut line_break = false;
        loop {
            match bytes.get(at)? {
                b'\n' | b'\r' => line_break = true,
                b' ' | b'\t' | b'\x0b' | b'\x0c' => {}
                b'-' if bytes.get(at + 1) == Some(&b'-') => {
                    at += self.text[at..].find(['\n', '\r'])?;
                    continue;
                }
                b'\'' if line_break => return Some(at),
                _ => return None,
            }
            at += 1;
        }
    }

    /// A dollar in PostgreSQL: `$tag$ ... $tag$`, or a placeholder.
    pub(super) fn dollar(&mut self) -> Result<TokenKind, ScanError> {
        let start = self.at;
        if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.foreign(start));
        }
        let tag_length =
            self.text[start + 1..].bytes().take_while(|byte| is_word_byte(*byte) && *byte != b'$').count();
        let end = start + 1 + tag_length;
        if self.text.as_bytes().get(end) != Some(&b'$') {
            return Ok(self.symbol(b'$'));
        }
        let tag = &self.text[start..=end];
        self.at = end + 1;
        self.through(tag, start, Unterminated::DollarQuote(tag.to_owned()))
    }
}

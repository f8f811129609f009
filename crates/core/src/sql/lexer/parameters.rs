//! Named parameters, and the colons that are none.

use super::{Bracket, Lexer, TokenKind, word_length};
use crate::sql::parameter::is_plain_char;
use crate::sql::{MAX_SEGMENTS, Parameter, Root, ScanError, ScanErrorKind, Segment, Unterminated};

impl Lexer<'_> {
    /// The error for a placeholder of the database, which begins with the one character at `start`.
    pub(super) fn foreign(&self, start: usize) -> ScanError {
        let end = start + 1 + word_length(&self.text[start + 1..]);
        self.error(ScanErrorKind::ForeignParameter { text: self.text[start..end].to_owned() }, start)
    }

    /// A parameter, or a colon that means something else.
    pub(super) fn colon(&mut self) -> Result<TokenKind, ScanError> {
        let start = self.at;
        let name = &self.text[start + 1..start + 1 + word_length(&self.text[start + 1..])];
        if name.is_empty() {
            let pair = matches!(self.peek(1), Some(b':' | b'='));
            self.at += if pair { 2 } else { 1 };
            return Ok(TokenKind::Symbol(b':'));
        }
        if let Some(root) = Root::named(name) {
            self.at += 1 + name.len();
            return self.parameter(root, start).map(TokenKind::Parameter);
        }
        if self.innermost() == Some(Bracket::Subscript) {
            self.at += 1;
            return Ok(TokenKind::Symbol(b':'));
        }
        let nearest = Root::nearest(name);
        Err(self.error(ScanErrorKind::UnknownParameter { name: name.to_owned(), nearest }, start))
    }

    /// The path after a root.
    fn parameter(&mut self, root: Root, start: usize) -> Result<Parameter, ScanError> {
        let mut path = Vec::new();
        while self.peek(0) == Some(b'.') {
            if !root.has_fields() {
                return Err(self.error(ScanErrorKind::NoFields { root }, start));
            }
            if path.len() == MAX_SEGMENTS {
                return Err(self.error(ScanErrorKind::PathTooLong { root }, start));
            }
            path.push(self.segment(start)?);
        }
        Ok(Parameter { root, path, range: start..self.at })
    }

    /// One segment of the parameter that begins at `start`, from its dot on.
    fn segment(&mut self, start: usize) -> Result<Segment, ScanError> {
        let dot = self.at;
        self.at += 1;
        if self.peek(0) == Some(b'"') {
            let quote = self.at;
            self.skip_quoted(b'"', Unterminated::Segment)?;
            return Ok(Segment::Key(self.text[quote + 1..self.at - 1].replace("\"\"", "\"")));
        }
        let rest = self.rest();
        let end = rest.find(|c| !is_plain_char(c)).unwrap_or(rest.len());
        self.at += end;
        // A no-break space glued to a key, say, must not become part of it unseen.
        if let Some(character) = rest[end..].chars().next().filter(|c| !c.is_ascii()) {
            let parameter = self.text[start..self.at].to_owned();
            return Err(self.error(ScanErrorKind::OddCharacter { parameter, character }, self.at));
        }
        if end == 0 {
            let parameter = self.text[start..dot].to_owned();
            return Err(self.error(ScanErrorKind::MissingSegment { parameter }, dot));
        }
        Ok(Segment::unquoted(&rest[..end]))
    }
}

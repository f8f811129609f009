//! A statement with its parameters replaced, and the way back.

use super::Parameter;
use super::lexer::is_word_byte;

/// The text for the database, and where each place of it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    sql: String,
    pieces: Vec<Piece>,
    /// Where the statement ends in the scanned text.
    end: usize,
}

/// A stretch of the rendered text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    rendered: usize,
    original: usize,
    /// Copied; else it stands for a parameter.
    copied: bool,
}

impl Rendered {
    /// The text for the database.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The byte offset, in the scanned text, of what stands at a byte offset of the rendered SQL.
    ///
    /// A place in the replacement of a parameter is the place of the parameter; a place past the end is the
    /// end of the statement.
    pub fn original_offset(&self, offset: usize) -> usize {
        if offset >= self.sql.len() {
            return self.end;
        }
        let next = self.pieces.partition_point(|piece| piece.rendered <= offset);
        match next.checked_sub(1).map(|index| self.pieces[index]) {
            Some(piece) if piece.copied => piece.original + (offset - piece.rendered),
            Some(piece) => piece.original,
            None => self.end,
        }
    }
}

/// Renders `sql`, which begins at `start` of the scanned text.
pub(super) fn render(
    sql: &str,
    start: usize,
    parameters: &[Parameter],
    mut text_of: impl FnMut(usize) -> String,
) -> Rendered {
    let mut rendered =
        Rendered { sql: String::with_capacity(sql.len()), pieces: Vec::new(), end: start + sql.len() };
    let mut at = 0;
    for (occurrence, parameter) in parameters.iter().enumerate() {
        rendered.copy(&sql[at..parameter.range.start - start], start + at);
        rendered.push(&text_of(occurrence), parameter.range.start, false);
        at = parameter.range.end - start;
    }
    rendered.copy(&sql[at..], start + at);
    rendered
}

impl Rendered {
    fn copy(&mut self, text: &str, original: usize) {
        self.push(text, original, true);
    }

    fn push(&mut self, text: &str, original: usize, copied: bool) {
        let Some(first) = text.bytes().next() else { return };
        let glued = self.sql.bytes().next_back().is_some_and(is_word_byte) && is_word_byte(first);
        if glued {
            self.pieces.push(Piece { rendered: self.sql.len(), original, copied: false });
            self.sql.push(' ');
        }
        self.pieces.push(Piece { rendered: self.sql.len(), original, copied });
        self.sql.push_str(text);
    }
}

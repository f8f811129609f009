//! Lines out of a stream of bytes, a block at a time: no copy and no allocation per line.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use memchr::{memchr, memrchr};

/// How much is read at once.
const BLOCK: usize = 1 << 20;

/// The longest line that is taken; bounds memory.
pub(crate) const MAX_LINE: usize = 256 << 20;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Its bytes, without the line end.
    Line(Bytes),
    /// It is longer than the limit; its bytes were passed over.
    TooLong,
}

/// Splits a reader into lines. Lines that were read whole before a read error are given out before the error.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    max_line: usize,
    /// Whole lines, each with its line end.
    block: Bytes,
    /// The beginning of the next line.
    tail: Vec<u8>,
    skipping: bool,
    ended: bool,
    failed: Option<io::Error>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// The lines of `reader`.
    pub(crate) fn new(reader: R, max_line: usize) -> Self {
        Self {
            reader,
            max_line,
            block: Bytes::new(),
            tail: Vec::new(),
            skipping: false,
            ended: false,
            failed: None,
            number: 0,
        }
    }

    /// The next line with its number, from 1.
    ///
    /// # Errors
    /// When the reader failed, once; then the lines are at their end.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Item)>> {
        loop {
            if let Some(end) = memchr(b'\n', &self.block) {
                let line = self.block.split_to(end);
                self.block.advance(1);
                self.number += 1;
                if std::mem::take(&mut self.skipping) {
                    return Ok(Some((self.number, Item::TooLong)));
                }
                return Ok(Some((self.number, self.checked(line))));
            }
            if let Some(error) = self.failed.take() {
                self.ended = true;
                self.tail.clear();
                self.skipping = false;
                return Err(error);
            }
            if self.ended {
                return Ok(self.last());
            }
            self.fill();
        }
    }

    fn last(&mut self) -> Option<(u64, Item)> {
        let skipping = std::mem::take(&mut self.skipping);
        let line = std::mem::take(&mut self.tail);
        if line.is_empty() && !skipping {
            return None;
        }
        self.number += 1;
        Some((self.number, if skipping { Item::TooLong } else { self.checked(Bytes::from(line)) }))
    }

    fn checked(&self, mut line: Bytes) -> Item {
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if self.number == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line.advance(3);
        }
        if line.len() > self.max_line { Item::TooLong } else { Item::Line(line) }
    }

    fn fill(&mut self) {
        let mut buffer = std::mem::take(&mut self.tail);
        let limit = u64::try_from(BLOCK).unwrap_or(u64::MAX);
        match self.reader.by_ref().take(limit).read_to_end(&mut buffer) {
            Ok(read) => self.ended = read < BLOCK,
            Err(error) => self.failed = Some(error),
        }
        match memrchr(b'\n', &buffer) {
            Some(last) => {
                self.tail = buffer.split_off(last + 1);
                self.block = Bytes::from(buffer);
            }
            None if buffer.len() > self.max_line || self.skipping => self.skipping = true,
            None => self.tail = buffer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], max_line: usize) -> Vec<(u64, Item)> {
        let mut lines = Lines::new(text, max_line);
        std::iter::from_fn(|| lines.next().expect("memory does not fail")).collect()
    }

    fn line(text: &str) -> Item {
        Item::Line(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn line_ends_a_byte_order_mark_and_a_last_line_without_an_end() {
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"a\n\nb\r\n", 9), [(1, line("a")), (2, line("")), (3, line("b"))]);
        assert_eq!(lines(b"\xef\xbb\xbfa\nb", 9), [(1, line("a")), (2, line("b"))]);
    }

    #[test]
    fn lines_longer_than_a_block_are_whole() {
        let long = "x".repeat(BLOCK * 2 + 7);
        let text = format!("a\n{long}\nb\n");
        assert_eq!(lines(text.as_bytes(), BLOCK * 3), [(1, line("a")), (2, line(&long)), (3, line("b"))]);
    }

    #[test]
    fn x_11_a_line_over_the_limit_is_passed_over_and_the_next_ones_are_not() {
        let long = "x".repeat(BLOCK * 3);
        for text in [format!("{long}\nb\n"), format!("{long}\nb")] {
            assert_eq!(lines(text.as_bytes(), 100), [(1, Item::TooLong), (2, line("b"))]);
        }
        assert_eq!(lines(long.as_bytes(), 100), [(1, Item::TooLong)]);
        assert_eq!(lines(b"12345\n1234\n", 4), [(1, Item::TooLong), (2, line("1234"))]);
    }

    #[test]
    fn x_2_a_read_error_comes_after_the_whole_lines_and_ends_them() {
        struct Breaks<'t>(&'t [u8]);
        impl Read for Breaks<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.0.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { self.0.read(buffer) }
            }
        }
        let mut lines = Lines::new(Breaks(b"a\nb\nhal"), 9);
        assert_eq!(lines.next().unwrap(), Some((1, line("a"))));
        assert_eq!(lines.next().unwrap(), Some((2, line("b"))));
        assert_eq!(lines.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(lines.next().unwrap(), None, "half a line is no line");
    }
}

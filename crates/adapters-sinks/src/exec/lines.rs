//! Lines out of a pipe, in bounded pieces.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line that is taken as a whole; bounds memory.
pub(super) const LONGEST: usize = 64 << 10;

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

/// A line, or the first [`LONGEST`] bytes of what is left of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Without the line end.
    pub(super) bytes: Vec<u8>,
    /// Whether the line ends here.
    pub(super) whole: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::new(reader), line: Vec::new() }
    }

    /// The next line; a last one need not have an end. `None` at the end.
    ///
    /// # Errors
    /// What the pipe answers.
    ///
    /// # Cancellation
    /// What was read so far is kept for the next call.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                let bytes = std::mem::take(&mut self.line);
                return Ok((!bytes.is_empty()).then_some(Line { bytes, whole: true }));
            }
            let room = (LONGEST - self.line.len()).min(buffer.len());
            let end = buffer[..room].iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(room);
            self.line.extend_from_slice(&buffer[..taken]);
            self.reader.consume(taken + usize::from(end.is_some()));
            if end.is_some() || self.line.len() == LONGEST {
                let bytes = std::mem::take(&mut self.line);
                return Ok(Some(Line { bytes, whole: end.is_some() }));
            }
        }
    }

    /// Reads what comes and forgets it, to the end.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        loop {
            let read = self.reader.fill_buf().await?.len();
            if read == 0 {
                return Ok(());
            }
            self.reader.consume(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: &[u8]) -> Vec<(usize, bool)> {
        let mut lines = Lines::new(text);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            seen.push((line.bytes.len(), line.whole));
        }
        seen
    }

    #[tokio::test]
    async fn lines_end_at_their_end_or_at_the_end_of_all() {
        assert_eq!(all(b"ab\n\nc").await, [(2, true), (0, true), (1, true)]);
        assert_eq!(all(b"").await, []);
    }

    #[tokio::test]
    async fn x_11_a_line_without_end_comes_in_pieces() {
        let mut long = vec![b'x'; 2 * LONGEST + 1];
        assert_eq!(all(&long).await, [(LONGEST, false), (LONGEST, false), (1, true)]);
        long.push(b'\n');
        assert_eq!(all(&long).await, [(LONGEST, false), (LONGEST, false), (1, true)]);
    }
}

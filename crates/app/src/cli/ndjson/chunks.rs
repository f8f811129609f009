//! Lines gathered into the pieces that are appended in one call each.

use std::fmt;
use std::io::{self, Read};
use std::num::NonZeroUsize;

use highwater_core::model::Append;

use super::line::{LineError, parse_line};
use super::lines::{Item, Lines, MAX_LINE};
use super::names::Names;

/// A chunk ends here even if it has fewer lines: bounds memory, and the size of one transaction.
const MAX_CHUNK_BYTES: usize = 8 << 20;

/// A line that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Its number, from 1.
    pub(crate) line: u64,
    /// What is wrong with it.
    pub(crate) what: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// Why there are no more chunks, though the source has not ended in order.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A line is bad, and bad lines are not skipped.
    Bad(BadLine),
    /// The source could not be read on.
    Read(io::Error),
}

/// Some events, in the order of their lines.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// One append a line.
    pub(crate) appends: Vec<Append>,
    /// The line number of each append.
    pub(crate) lines: Vec<u64>,
    /// Bad lines that were skipped.
    pub(crate) bad: Vec<BadLine>,
}

/// Reads a source chunk by chunk. What was good before a bad line or a read error is given out before it.
pub(crate) struct Chunks<R> {
    lines: Lines<R>,
    names: Names,
    events: NonZeroUsize,
    skip_bad: bool,
    stop: Option<Stop>,
    ended: bool,
}

impl<R: Read> Chunks<R> {
    /// Chunks of at most `events` events.
    pub(crate) fn new(reader: R, events: NonZeroUsize, skip_bad: bool) -> Self {
        Self {
            lines: Lines::new(reader, MAX_LINE),
            names: Names::default(),
            events,
            skip_bad,
            stop: None,
            ended: false,
        }
    }

    fn read(&mut self) -> Chunk {
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        while chunk.appends.len() < self.events.get()
            && bytes < MAX_CHUNK_BYTES
            && chunk.bad.len() < self.events.get()
        {
            let (number, item) = match self.lines.next() {
                Ok(Some(numbered)) => numbered,
                Ok(None) => {
                    self.ended = true;
                    return chunk;
                }
                Err(error) => {
                    self.stop = Some(Stop::Read(error));
                    return chunk;
                }
            };
            let parsed = match item {
                Item::Line(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
                Item::Line(line) => {
                    bytes += line.len();
                    parse_line(&line, &mut self.names)
                }
                Item::TooLong => Err(LineError(format!("longer than {} MiB", MAX_LINE >> 20))),
            };
            match parsed {
                Ok(append) => {
                    chunk.appends.push(append);
                    chunk.lines.push(number);
                }
                Err(LineError(what)) if self.skip_bad => chunk.bad.push(BadLine { line: number, what }),
                Err(LineError(what)) => {
                    self.stop = Some(Stop::Bad(BadLine { line: number, what }));
                    return chunk;
                }
            }
        }
        chunk
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = Result<Chunk, Stop>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.stop.is_none() {
            let chunk = self.read();
            if !chunk.appends.is_empty() || !chunk.bad.is_empty() {
                return Some(Ok(chunk));
            }
        }
        self.ended = true;
        self.stop.take().map(Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u32) -> String {
        format!(
            r#"{{"id":"00000000-0000-0000-0000-{number:012}","stream":"s","type":"T","time":"2013-01-01T10:17:00Z","data":{{}}}}"#
        )
    }

    fn chunks(text: &str, skip_bad: bool) -> (Vec<Vec<u64>>, Vec<u64>, Option<String>) {
        let (mut lines, mut bad, mut stop) = (Vec::new(), Vec::new(), None);
        for chunk in Chunks::new(text.as_bytes(), NonZeroUsize::new(2).unwrap(), skip_bad) {
            match chunk {
                Ok(chunk) => {
                    lines.push(chunk.lines);
                    bad.extend(chunk.bad.iter().map(|bad| bad.line));
                }
                Err(Stop::Bad(bad)) => stop = Some(bad.to_string()),
                Err(Stop::Read(error)) => stop = Some(error.to_string()),
            }
        }
        (lines, bad, stop)
    }

    #[test]
    fn lines_are_gathered_and_blank_ones_left_out() {
        let text = [event(1), String::new(), event(2), "  ".to_owned(), event(3)].join("\n");
        assert_eq!(chunks(&text, false), (vec![vec![1, 3], vec![5]], vec![], None));
        assert_eq!(chunks("\n\n", false), (vec![], vec![], None));
    }

    #[test]
    fn x_12_what_stands_before_a_bad_line_is_given_out_first() {
        let text = [event(1), event(2), event(3), "{}".to_owned(), event(4)].join("\n");
        let (lines, bad, stop) = chunks(&text, false);
        assert_eq!((lines, bad), (vec![vec![1, 2], vec![3]], vec![]));
        assert!(stop.unwrap().starts_with("line 4: `id` is missing"));
    }

    #[test]
    fn bad_lines_are_skipped_on_request_and_named() {
        let text = ["{}".to_owned(), event(1), "x".to_owned(), event(2), "y".to_owned()].join("\n");
        assert_eq!(chunks(&text, true), (vec![vec![2], vec![4]], vec![1, 3, 5], None));
    }
}

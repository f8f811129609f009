//! Many paths out of one JSON document in one pass, without building the document.
//!
//! Payloads are bytes until a statement asks for something in them, and then what is asked for is the
//! only thing that is decoded: an odd string or number elsewhere in a payload is no failure of an event whose
//! SQL never touches it (F-6).

#[cfg(test)]
mod tests;

use super::json_trie::Trie;
use super::{Segment, SqlValue, json_walk, line_column};

/// The paths that one statement, or several, need of a document.
///
/// - A segment of digits without a leading zero is an element of an array and a key of an object, quoted or
///   not; every other segment is a key.
/// - Where a document has one key twice, the last one counts, as in PostgreSQL's `json` and `jsonb`.
///   (SQLite's own `->>` takes the first.)
/// - A path that leads nowhere, or past a scalar, is [`SqlValue::Null`].
/// - The empty path is the document.
///
/// The depth of a document is not limited; paths are meant to be as long as the scanner lets them be
/// ([`MAX_SEGMENTS`](super::MAX_SEGMENTS)), since the walk recurses once a segment.
#[derive(Clone, Debug)]
pub struct PathSet {
    trie: Trie,
    wanted: Vec<Wanted>,
}

#[derive(Clone, Debug)]
struct Wanted {
    slot: usize,
    path: String,
}

/// A document that the paths cannot be taken from. It is the failure of one event and will not heal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPathError {
    /// The bytes are no UTF-8, which JSON must be.
    #[error("the payload is not UTF-8 at line {line}, column {column}, so no field can be taken from it")]
    NotUtf8 {
        /// Line of the first bad byte, from 1.
        line: usize,
        /// Column of the first bad byte, from 1, in characters.
        column: usize,
    },
    /// The bytes are not one JSON value.
    #[error("the payload is not JSON at line {line}, column {column}: {reason}")]
    NotJson {
        /// What the parser says.
        reason: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
    },
    /// The string at a wanted path has an escape that stands for no character (half of a surrogate pair).
    #[error("the string at {path} in the payload is no text: {reason}")]
    NotText {
        /// The path, as it is written after `:data.`.
        path: String,
        /// What the parser says.
        reason: String,
    },
}

impl PathSet {
    /// The set of these paths, in this order; a path may come twice.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p [Segment]>) -> Self {
        let mut trie = Trie::new();
        let wanted =
            paths.into_iter().map(|path| Wanted { slot: trie.insert(path), path: written(path) }).collect();
        Self { trie, wanted }
    }

    /// How many values [`extract`](Self::extract) gives.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Nothing is wanted, so no document is ever looked at.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The values at the paths, in the order of the paths.
    ///
    /// An empty set answers without a look at `json`. Else the whole document is checked: what follows the
    /// last wanted value may still be no JSON.
    ///
    /// # Errors
    /// See [`JsonPathError`].
    pub fn extract(&self, json: &[u8]) -> Result<Vec<SqlValue>, JsonPathError> {
        if self.wanted.is_empty() {
            return Ok(Vec::new());
        }
        // Checked as a whole: it is cheaper than by string, and serde_json does not look into what it skips.
        let text = std::str::from_utf8(json).map_err(|error| not_utf8(json, &error))?;
        let found = json_walk::find(&self.trie, text).map_err(|error| not_json(text, &error))?;
        let value = |wanted: &Wanted| match found[wanted.slot] {
            None => Ok(SqlValue::Null),
            Some(raw) => SqlValue::from_json(raw).map_err(|error| JsonPathError::NotText {
                path: wanted.path.clone(),
                reason: reason(&error),
            }),
        };
        self.wanted.iter().map(value).collect()
    }
}

fn written(path: &[Segment]) -> String {
    if path.is_empty() {
        return "the top".to_owned();
    }
    path.iter().map(Segment::to_string).collect::<Vec<_>>().join(".")
}

fn not_utf8(json: &[u8], error: &std::str::Utf8Error) -> JsonPathError {
    let good = String::from_utf8_lossy(&json[..error.valid_up_to()]);
    let (line, column) = line_column(&good, good.len());
    JsonPathError::NotUtf8 { line, column }
}

fn not_json(text: &str, error: &serde_json::Error) -> JsonPathError {
    // serde_json's column counts the bytes of the line up to and with the one it dislikes; a control
    // character in a string is the one after it.
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let (line, column) = line_column(text, (line_start + error.column()).saturating_sub(1));
    JsonPathError::NotJson { reason: reason(error), line, column }
}

/// What serde_json says without where it says it.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) => reason.to_owned(),
        None => text,
    }
}

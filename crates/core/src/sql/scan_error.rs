//! What is wrong with a user's SQL before a database sees it.

use std::fmt;

use super::{Root, line_column};

/// The text cannot be used; where, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanError {
    /// What is wrong.
    pub kind: ScanErrorKind,
    /// Where, as a byte offset of the text.
    pub offset: usize,
    /// Where: the line, from 1.
    pub line: usize,
    /// Where: the column, from 1, in characters.
    pub column: usize,
}

/// The kinds of [`ScanError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanErrorKind {
    /// A `:name` that is none of the known ones.
    UnknownParameter {
        /// The name, without the colon.
        name: String,
        /// The known one that is most like it.
        nearest: Root,
    },
    /// A placeholder of the database's own (`?`, `?1`, `@x`, `$x`, `$1`): it would be bound to nothing, or to
    /// one of ours.
    ForeignParameter {
        /// As it is written.
        text: String,
    },
    /// A dot after a parameter, and then nothing that names a field.
    MissingSegment {
        /// What stands before the dot.
        parameter: String,
    },
    /// A character in a path that is neither a letter nor a digit, yet would pass for part of a name.
    OddCharacter {
        /// What stands before it.
        parameter: String,
        /// The character.
        character: char,
    },
    /// A path below a parameter that is no document.
    NoFields {
        /// The parameter.
        root: Root,
    },
    /// A path of more than [`MAX_SEGMENTS`](super::MAX_SEGMENTS) segments.
    PathTooLong {
        /// The root of it.
        root: Root,
    },
    /// Something that is opened at the place of the error and closed nowhere.
    Unterminated(Unterminated),
    /// The character U+0000: databases take it for the end of the text.
    Nul,
    /// A statement that would take the transaction or the connection out of the runner's hands.
    Refused {
        /// Its first word, in capitals.
        keyword: String,
    },
    /// A parameter in SQL that does not run for one event.
    ParameterWithoutEvent {
        /// As it is written.
        parameter: String,
    },
}

/// What is opened and closed nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unterminated {
    /// A string: `'`, or `E'` in PostgreSQL.
    String,
    /// A quoted identifier: `"`, and in SQLite a backtick or `[`.
    Identifier,
    /// A quoted segment of a path: `:data."`.
    Segment,
    /// A comment: `/*`.
    Comment,
    /// A dollar-quoted string of PostgreSQL; its opening tag, dollars included.
    DollarQuote(String),
    /// The statements of a SQLite trigger (`BEGIN`) or of a PostgreSQL routine (`BEGIN ATOMIC`), which
    /// end with `; END`.
    Body,
}

impl ScanError {
    pub(super) fn new(kind: ScanErrorKind, text: &str, offset: usize) -> Self {
        let (line, column) = line_column(text, offset);
        Self { kind, offset, line, column }
    }
}

impl std::error::Error for ScanError {}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fault(f)?;
        write!(f, " at line {}, column {}: ", self.line, self.column)?;
        self.kind.advice(f)
    }
}

impl ScanErrorKind {
    fn fault(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownParameter { name, .. } => write!(f, "unknown parameter :{}", name.escape_debug()),
            Self::ForeignParameter { text } => write!(f, "unknown parameter {}", text.escape_debug()),
            Self::MissingSegment { parameter } => write!(f, "{parameter}. names no field"),
            Self::OddCharacter { parameter, character } => {
                write!(f, "odd character '{}' after {parameter}", character.escape_debug())
            }
            Self::NoFields { root } => write!(f, ":{} has no fields", root.name()),
            Self::PathTooLong { root } => write!(f, "the path below :{} is too long", root.name()),
            Self::Unterminated(what) => write!(f, "unterminated {what}"),
            Self::Nul => f.write_str("the character U+0000 cannot stand in SQL"),
            Self::Refused { keyword } => write!(f, "{keyword} is not allowed in the SQL of a projection"),
            Self::ParameterWithoutEvent { parameter } => {
                write!(f, "{parameter} has no event to be taken from")
            }
        }
    }

    fn advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownParameter { name, nearest } => {
                let (nearest, name) = (nearest.name(), name.escape_debug());
                write!(f, "the nearest known one is :{nearest}; a field of the payload is :data.{name}")
            }
            Self::ForeignParameter { .. } => f.write_str("use names such as :stream or :data.customer.id"),
            Self::MissingSegment { .. } => {
                f.write_str("write a key, a \"quoted key\" or the index of an array, or remove the dot")
            }
            Self::OddCharacter { .. } => {
                f.write_str("quote the key if the character belongs to it, else remove it")
            }
            Self::NoFields { .. } => f.write_str("only :data and :metadata take a path"),
            Self::PathTooLong { .. } => write!(f, "at most {} segments are followed", super::MAX_SEGMENTS),
            Self::Unterminated(what) => write!(f, "close it with {}", what.closed_by()),
            Self::Nul => f.write_str("remove it"),
            Self::Refused { .. } => {
                f.write_str("the runner owns the transaction and the connection; remove the statement")
            }
            Self::ParameterWithoutEvent { .. } => f.write_str(
                "only the SQL of one event type (`on`) has parameters; `apply` reads the relation events",
            ),
        }
    }
}

impl fmt::Display for Unterminated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Identifier => "quoted identifier",
            Self::Segment => "quoted key in a path",
            Self::Comment => "comment",
            Self::DollarQuote(_) => "dollar-quoted string",
            Self::Body => "body",
        })
    }
}

impl Unterminated {
    fn closed_by(&self) -> &str {
        match self {
            Self::String => "'",
            Self::Identifier => "the quote or bracket that matches",
            Self::Segment => "\"",
            Self::Comment => "*/",
            Self::DollarQuote(tag) => tag,
            Self::Body => "; END",
        }
    }
}

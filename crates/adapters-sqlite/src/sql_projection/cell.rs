//! One value of a read model, as it is compared and shown.

use std::cmp::Ordering;
use std::fmt;

use rusqlite::types::ValueRef;

/// Two REAL values are the same when they differ by no more than this share of the greater: the order in
/// which doubles are added is no difference between two read models.
const TOLERANCE: f64 = 1e-12;
/// How much of a value is shown.
const SHOWN: usize = 80;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    /// Bytes, since SQLite does not promise UTF-8.
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Integer(value),
            ValueRef::Real(value) => Self::Real(value),
            ValueRef::Text(text) => Self::Text(text.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

impl Cell {
    /// What `typeof` says; the first thing to sort by, so that no two types need be compared.
    fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Integer(_) => "integer",
            Self::Real(_) => "real",
            Self::Text(_) => "text",
            Self::Blob(_) => "blob",
        }
    }

    /// The order of `typeof(x), x COLLATE BINARY`.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) | (Self::Blob(a), Self::Blob(b)) => a.cmp(b),
            _ => self.type_name().cmp(other.type_name()),
        }
    }

    /// The same order with all REAL values alike.
    pub(super) fn coarse_order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Real(_), Self::Real(_)) => Ordering::Equal,
            _ => self.order(other),
        }
    }

    /// The same value, REAL values within the tolerance.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Real(a), Self::Real(b)) => {
                a.total_cmp(b).is_eq() || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
            }
            _ => self == other,
        }
    }
}

/// As SQL would write it, cut where it is long.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value:?}"),
            Self::Text(text) => {
                let text = String::from_utf8_lossy(text);
                let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
                write!(f, "'{shown}'{}", if text.chars().nth(SHOWN).is_some() { " …" } else { "" })
            }
            Self::Blob(bytes) => {
                f.write_str("x'")?;
                bytes.iter().take(SHOWN / 2).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(if bytes.len() > SHOWN / 2 { "' …" } else { "'" })
            }
        }
    }
}

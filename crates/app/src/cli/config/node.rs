//! A value with its origin.

use std::collections::BTreeMap;
use std::fmt;

/// Where a value comes from. The order is the order of the layers: a greater one wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// A line of the config file, from 1.
    File(usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl Origin {
    /// The origin in the words of a message; `file` is the config file's name.
    pub(crate) fn place(&self, file: &str) -> String {
        match self {
            Self::Default => "default".to_owned(),
            Self::File(line) => format!("{file}:{line}"),
            Self::Environment(variable) => variable.clone(),
            Self::Flag(flag) => flag.clone(),
        }
    }
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A string, and the line of the file on which its text begins.
    String(String, usize),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// A list.
    Array(Vec<Node>),
    /// A table, by key.
    Table(BTreeMap<String, Node>),
    /// What no key takes: a float, a date, a number out of range; as it was written.
    Other(&'static str, String),
    /// The text of an environment variable or a flag: whatever type is needed.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text, _) | Self::Text(text) => write!(f, "the text {text:?}"),
            Self::Integer(number) => write!(f, "the number {number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Array(_) => f.write_str("a list"),
            Self::Table(_) => f.write_str("a table"),
            Self::Other(what, text) => write!(f, "the {what} {text}"),
        }
    }
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// The value.
    pub(crate) value: Value,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

//! Reading a table key by key: wrong types and unknown keys are noted, and reading goes on.

use std::collections::BTreeMap;

use super::keys::unknown;
use super::node::{Node, Origin, Value};
use super::problems::Problems;

/// A table being read. Keys that were never asked for are reported by [`Table::finish`].
#[derive(Debug)]
pub(crate) struct Table<'n> {
    path: String,
    origin: Origin,
    keys: &'n BTreeMap<String, Node>,
}

impl<'n> Table<'n> {
    /// The top of the tree.
    pub(crate) fn top(keys: &'n BTreeMap<String, Node>) -> Self {
        Self { path: String::new(), origin: Origin::Default, keys }
    }

    /// The table in `node`; noted if it is none.
    pub(crate) fn of(path: &str, node: &'n Node, problems: &mut Problems) -> Option<Self> {
        let Value::Table(keys) = &node.value else {
            problems.add(&node.origin, format!("`{path}` must be a table, not {}", node.value));
            return None;
        };
        Some(Self { path: path.to_owned(), origin: node.origin.clone(), keys })
    }

    /// Where the table begins.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The whole name of one of its keys.
    pub(crate) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.keys.get(key)
    }

    /// All keys.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'n str, &'n Node)> + use<'n> {
        self.keys.iter().map(|(key, node)| (key.as_str(), node))
    }

    /// The table under a key.
    pub(crate) fn table(&self, key: &str, problems: &mut Problems) -> Option<Table<'n>> {
        self.get(key).and_then(|node| Table::of(&self.name(key), node, problems))
    }

    /// The text under a key.
    pub(crate) fn string(&self, key: &str, problems: &mut Problems) -> Option<&'n str> {
        let node = self.get(key)?;
        match &node.value {
            Value::String(text, _) | Value::Text(text) => Some(text),
            other => {
                let name = self.name(key);
                problems.add(&node.origin, format!("`{name}` must be a text in quotes, not {other}"));
                None
            }
        }
    }

    /// The list of texts under a key; one that is there has at least one, none of them empty.
    pub(crate) fn strings(&self, key: &str, problems: &mut Problems) -> Option<Vec<&'n str>> {
        let node = self.get(key)?;
        let name = self.name(key);
        let Value::Array(items) = &node.value else {
            let what =
                format!("`{name}` must be a list of texts, such as [\"A\", \"B\"], not {}", node.value);
            problems.add(&node.origin, what);
            return None;
        };
        if items.is_empty() {
            problems.add(&node.origin, format!("`{name}` is an empty list: leave the key out instead"));
        }
        let mut texts = Vec::new();
        for item in items {
            match &item.value {
                Value::String(text, _) if !text.is_empty() => texts.push(text.as_str()),
                other => {
                    let what = format!("`{name}` must list texts that are not empty, not {other}");
                    problems.add(&item.origin, what);
                }
            }
        }
        Some(texts)
    }

    /// Notes every key that is not among `known`.
    pub(crate) fn finish<'k>(
        &self,
        known: impl IntoIterator<Item = &'k str> + Clone,
        problems: &mut Problems,
    ) {
        for (key, node) in self.keys {
            if !known.clone().into_iter().any(|known| known == key) {
                problems.add(&node.origin, unknown(&self.path, key, known.clone()));
            }
        }
    }
}

//! Which events a runner is for.

use std::sync::Arc;

use crate::model::Partition;
use crate::sql::fingerprint;

/// A name, or all names with a prefix (written with a trailing `*`). Case matters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// This name.
    Exact(Arc<str>),
    /// All names that start so; the empty prefix is every name.
    Prefix(Arc<str>),
}

impl Pattern {
    /// Reads `name` or `prefix*`. A `*` elsewhere is a plain character.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.into()),
            None => Self::Exact(text.into()),
        }
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Prefix(prefix) => name.starts_with(&**prefix),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Exact(exact) => format!("={exact}"),
            Self::Prefix(prefix) => format!("^{prefix}"),
        }
    }
}

/// Which events a runner is for: those whose type matches one of `types` **and** whose stream matches one of
/// `streams`; an empty list asks nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Types; empty = all.
    pub types: Vec<Pattern>,
    /// Streams; empty = all.
    pub streams: Vec<Pattern>,
    /// Types that are left out even where `types` has them; never written by a user, and no part of the
    /// fingerprint beyond what it derives from.
    pub except_types: Vec<Pattern>,
    /// Only streams of this partition; `None` = of all. Set by the runtime, never written by a user.
    pub partition: Option<Partition>,
}

impl Filter {
    /// Every event.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Events of these types, each exact or a prefix with a trailing `*`.
    #[must_use]
    pub fn types<'t>(types: impl IntoIterator<Item = &'t str>) -> Self {
        Self { types: types.into_iter().map(Pattern::parse).collect(), ..Self::default() }
    }

    /// Whether an event of this type in this stream is meant.
    #[must_use]
    pub fn matches(&self, event_type: &str, stream: &str) -> bool {
        any(&self.types, event_type)
            && any(&self.streams, stream)
            && !self.except_types.iter().any(|pattern| pattern.matches(event_type))
            && self.partition.is_none_or(|partition| partition.contains(stream))
    }

    /// Whether every event is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.types.is_empty()
            && self.streams.is_empty()
            && self.except_types.is_empty()
            && self.partition.is_none_or(|partition| partition.is_all())
    }

    /// A text that is equal for equal filters, whatever the order of the patterns, and differs otherwise (E-6).
    ///
    /// It is the same for all partitions of one projection, and says how many they are: see
    /// [`Filter::partitions_of`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let list = |patterns: &[Pattern]| {
            let mut texts: Vec<String> = patterns.iter().map(Pattern::text).collect();
            texts.sort();
            texts.dedup();
            let parts: Vec<&str> = texts.iter().map(String::as_str).collect();
            fingerprint(&parts)
        };
        let patterns = fingerprint(&[&list(&self.types), &list(&self.streams), &list(&self.except_types)]);
        match self.partition {
            Some(partition) if !partition.is_all() => format!("{patterns}/{}", partition.of),
            _ => patterns,
        }
    }

    /// Into how many partitions a projection was divided whose filter had this fingerprint.
    #[must_use]
    pub fn partitions_of(fingerprint: &str) -> u32 {
        fingerprint.split_once('/').and_then(|(_, of)| of.parse().ok()).unwrap_or(1)
    }
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_and_prefix_and_everything() {
        let filter = Filter {
            types: vec![Pattern::parse("Flight*"), Pattern::parse("Delay")],
            streams: vec![Pattern::parse("case-*")],
            except_types: vec![Pattern::parse("FlightDiverted")],
            partition: None,
        };
        assert!(filter.matches("FlightLanded", "case-1"));
        assert!(filter.matches("Delay", "case-1"));
        assert!(!filter.matches("Delayed", "case-1"));
        assert!(!filter.matches("flightLanded", "case-1"), "case matters");
        assert!(!filter.matches("FlightLanded", "x-case-1"));
        assert!(!filter.matches("FlightDiverted", "case-1"));
        assert!(Filter::all().matches("anything", "anywhere"));
    }

    #[test]
    fn a_partition_narrows_and_its_number_is_part_of_the_fingerprint() {
        let part = |index, of| Filter { partition: Some(Partition { index, of }), ..Filter::types(["A"]) };
        let whole = Filter::types(["A"]);
        assert!(!whole.is_all() && Filter::all().is_all());
        assert!(!Filter { partition: Some(Partition { index: 0, of: 2 }), ..Filter::all() }.is_all());
        assert!((0..3).all(|index| !part(index, 3).matches("B", "s")));
        assert_eq!((0..3).filter(|&index| part(index, 3).matches("A", "s")).count(), 1);
        assert_eq!(part(0, 4).fingerprint(), part(3, 4).fingerprint());
        assert_ne!(part(0, 4).fingerprint(), part(0, 5).fingerprint());
        assert_eq!(part(0, 1).fingerprint(), whole.fingerprint(), "one partition is none");
        assert_eq!(Filter::partitions_of(&part(2, 4).fingerprint()), 4);
        assert_eq!(Filter::partitions_of(&whole.fingerprint()), 1);
    }

    #[test]
    fn e_6_the_fingerprint_sees_changes_and_not_order() {
        let a = Filter::types(["A", "B*"]);
        let b = Filter::types(["B*", "A"]);
        assert_eq!(a.fingerprint(), b.fingerprint());
        assert_ne!(a.fingerprint(), Filter::types(["A", "B"]).fingerprint());
        assert_ne!(
            Filter::types(["A"]).fingerprint(),
            Filter { streams: vec![Pattern::parse("A")], ..Filter::all() }.fingerprint()
        );
    }
}

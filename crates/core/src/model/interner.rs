//! Names that are the same are one allocation.

use std::collections::HashSet;
use std::sync::Arc;

/// Streams may be as many as there are customers; beyond this many the memory begins anew.
const STREAMS: usize = 1 << 16;
/// Types and categories are few, unless somebody makes them up.
const TYPES: usize = 1 << 13;

/// The names that one reader of a log has met: streams, categories and event types repeat, and each is allocated once
/// and shared by the events. Bounded: at some 65,000 streams, or 8,000 of the others, it begins anew.
#[derive(Debug, Default)]
pub struct Interner {
    types: HashSet<Arc<str>>,
    categories: HashSet<Arc<str>>,
    streams: HashSet<Arc<str>>,
}

impl Interner {
    /// The name of an event type, shared.
    pub fn event_type(&mut self, name: &str) -> Arc<str> {
        shared(&mut self.types, name, TYPES)
    }

    /// The name of a category, shared.
    pub fn category(&mut self, name: &str) -> Arc<str> {
        shared(&mut self.categories, name, TYPES)
    }

    /// The name of a stream, shared.
    pub fn stream(&mut self, name: &str) -> Arc<str> {
        shared(&mut self.streams, name, STREAMS)
    }
}

fn shared(names: &mut HashSet<Arc<str>>, name: &str, most: usize) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return known.clone();
    }
    if names.len() >= most {
        names.clear();
    }
    let new: Arc<str> = name.into();
    names.insert(new.clone());
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_are_shared_and_the_memory_is_bounded() {
        let mut interner = Interner::default();
        let first = interner.stream("a");
        assert!(Arc::ptr_eq(&first, &interner.stream("a")));
        for n in 0..STREAMS * 2 {
            interner.stream(&n.to_string());
        }
        assert!(interner.streams.len() <= STREAMS);
        assert_eq!(&*interner.stream("a"), "a");
    }
}

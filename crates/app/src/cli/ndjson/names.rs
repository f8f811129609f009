//! Names are few and repeated: each is allocated once.

use std::collections::HashSet;
use std::sync::Arc;

/// How many names are remembered before the memory is emptied: a file of a million streams must not keep them
/// all.
const REMEMBERED: usize = 16_384;

/// A memory of names.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<Arc<str>>);

impl Names {
    /// The shared copy of `name`.
    pub(crate) fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let shared: Arc<str> = name.into();
        self.0.insert(Arc::clone(&shared));
        shared
    }
}

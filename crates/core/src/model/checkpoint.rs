//! A remembered place of a runner that is not transactional.

use crate::model::Position;

/// What a checkpoint store keeps for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The end of the longest settled prefix.
    pub position: Position,
    /// When it was written, by the store's clock: microseconds since 1970. Informational (D-13).
    pub updated_at_micros: i64,
}

/// What a forward-only write did (D-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// The checkpoint moved forward, or was created.
    Applied,
    /// It was there already.
    Unchanged,
    /// A newer one is stored; nothing was touched.
    Stale {
        /// What is stored.
        current: Position,
    },
}

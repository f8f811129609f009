//! Second stage: drop what was processed before.
//!
//! A batch may be older than the state: it was read ahead, and another owner has moved on. The state that was
//! locked in the applying transaction is the authority, never the place where a reader stands.

pub use highwater_core::progress::processed_before;

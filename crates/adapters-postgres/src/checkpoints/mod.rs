//! Checkpoints of runners that are not transactional, and who may move them.
//!
//! The halves of a position are `numeric(20, 0)`: the server compares them itself, and every bit of a `u64`
//! counts. Keys are in the order of their bytes, so a prefix is a range.
//!
//! A second table has all keys of which anything is known, with their owners. It also tells a checkpoint that is
//! lost from one that never was: who deletes rows with another program has deleted half of what there is. Each
//! change is one call of a function in the server, one flight and one transaction, however many keys it moves.

mod owned;
mod rows;
mod store;

pub use store::PgCheckpoints;

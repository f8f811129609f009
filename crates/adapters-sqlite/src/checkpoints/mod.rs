//! Checkpoints of runners that are not transactional, and who may move them.
//!
//! The halves of a position are 8 bytes each, greatest first: their order as bytes is their order as numbers, so
//! SQLite itself compares them, and every bit of a `u64` counts.
//!
//! A second table has all keys of which anything is known, with their owners. It also tells a checkpoint that is
//! lost from one that never was: who deletes rows with another program has deleted half of what there is.

mod keys;
mod owned;
mod rows;
mod store;

pub use store::SqliteCheckpoints;

//! What is settled, what is a duplicate, when a checkpoint is due.
//!
//! Only settled events move a checkpoint: applied and committed, durably dead-lettered, filtered out, or
//! skipped with a stored record.

mod dedup;
mod flush;
mod low_water;

pub use dedup::processed_before;
pub use flush::FlushRule;
pub use low_water::LowWater;

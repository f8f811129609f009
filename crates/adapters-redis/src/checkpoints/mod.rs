//! Checkpoints, and who may move them.
//!
//! A checkpoint is a hash: `commit`, `prepare`, `updated_at`, and for a key that was claimed `epoch`, `generation`,
//! `owner` and `lease_until`, the times in microseconds since 1970 by the server's clock. Each change is one call of
//! a script on this one key: compared and written inside the server, so that no two writers can come between.
//!
//! Beside them is the registry, a set of all keys that ever had a checkpoint. A key enters it before its first
//! checkpoint is written and leaves it before that is deleted, in one transaction with it, and who claims sees both as
//! of one moment. So a hash that is gone while its key is registered was lost: evicted, run out of its time to live,
//! or flushed. Only when the registry itself is gone, nothing can be told
//! any more; then [`remembers`](highwater_core::ports::OwnedCheckpoints::remembers) says so.

mod answer;
mod migrate;
mod operate;
mod owned;
mod scan;
mod scripts;
mod store;

pub use migrate::{Migrated, OlderForm, Refused};
pub use store::RedisCheckpoints;

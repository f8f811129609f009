//! Events that a handler gave up, on a stream for each group.
//!
//! An entry of the stream is a letter, whole. Beside the stream is its index, a sorted set whose members are a letter's
//! identity and the id of its entry, in the order of the positions: letters are published in the order in which events
//! fail, and listed in the order of the log. Both are changed by one script, at once.
//!
//! A letter is as durable as the server is set up to make it; see [`RedisOptions::replicas`](crate::RedisOptions) for
//! more than one server.

mod entry;
mod repair;
mod store;

pub use repair::Repaired;
pub use store::RedisDeadLetters;

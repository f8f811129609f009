//! Highwater on Redis 7 and later, and on servers that speak as it does: checkpoints with an owner, dead letters on
//! a stream.
//!
//! * [`Redis`]: one server, as a process uses it: one connection for all checkpoints, a small pool beside it for
//!   what takes longer. Everything else is made from it.
//! * [`RedisCheckpoints`]: forward-only checkpoints, compared as decimal texts inside the server, with owners, an
//!   optional time to live, and a registry that tells a lost one from a new one.
//! * [`RedisDeadLetters`]: events that a handler gave up.
//! * [`RedisClassifier`]: what a driver error means for an event.
//!
//! Names in the server begin with a prefix of the user's, one per environment (`prod:`, `dev:`); all of them have
//! one hash tag, so that in a cluster they are in one slot, and each is found at the one node that has it.
//!
//! What a server in memory has, it can lose: [`Warning`] says when one is set up so that it will.

#![warn(missing_docs)]

mod address;
mod checkpoints;
mod classify;
mod dead_letters;
mod error;
mod fault;
mod glob;
mod names;
mod options;
mod reply;
mod script;
mod server;

pub use deadpool_redis::{self, redis};

pub use checkpoints::{Migrated, OlderForm, RedisCheckpoints, Refused};
pub use classify::RedisClassifier;
pub use dead_letters::{RedisDeadLetters, Repaired};
pub use options::RedisOptions;
pub use server::{Redis, Warning};

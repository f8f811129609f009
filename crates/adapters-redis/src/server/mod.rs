//! One server, as a process uses it.
//!
//! Checkpoints go over one connection, which is shared: many calls are in flight on it at once, and nobody waits for
//! a check that it still lives. What takes longer, a scan or a dead letter with its payload, goes over a connection
//! of a small pool, so that no checkpoint waits behind it.
//!
//! A connection that breaks is replaced by the next call that needs one, once and within a time: there is no loop
//! here that tries again. Waiting is the caller's, whose backoff knows what is at stake.

mod endpoint;
mod handle;
mod inspect;
mod lane;
mod link;
mod session;

pub use handle::Redis;
pub use inspect::Warning;

pub(crate) use handle::is_no_script;
pub(crate) use lane::{Again, Way};
pub(crate) use session::Session;

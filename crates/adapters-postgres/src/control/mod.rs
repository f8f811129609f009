//! The control connection: one a process and database. It listens, notifies, and holds ownership (E-11).
//!
//! Ownership belongs to a session of the server, so that a process that dies, however it dies, owns nothing
//! any more; and one session is enough for all projections of a process. The same session hears of appends
//! and commits, which are hints: a poll timer is always armed elsewhere.
//!
//! * [`Control`] is what the adapter holds; [`PgLease`] is what an owner holds.
//! * [`task`] runs the connection, either a [`session`] with advisory locks or, behind a pooler in
//!   transaction mode, [`rows`] that are renewed; [`link`] is whichever of them.
//! * [`keys`], [`members`] and [`holders`] decide without a server: who in this process has what and is counted
//!   for what, and whose heartbeat has stood still for so long that its sessions are ended.

mod command;
mod handle;
mod holders;
mod keys;
mod lease;
mod link;
mod members;
mod names;
mod rows;
mod session;
mod setup;
mod signals;
mod task;
mod timer;

pub use handle::Control;
pub use lease::PgLease;
pub(crate) use names::session_name;

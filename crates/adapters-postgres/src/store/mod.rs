//! The transactional store of read models.
//!
//! A batch is one transaction on one connection of the pool, polled in the caller's task. What counts is the
//! number of flights to the server: one to begin, one to lock the state and read what waits beside it, one
//! each for the savepoint, the statement and the release, and one that moves the state and commits.
//!
//! Dropping a future does not stop a statement. So every transaction carries a mark by which another
//! connection finds its backend and cancels it, and nothing goes back to the pool before the server has
//! answered.

mod cancel;
mod control;
mod failed_rows;
mod literal;
mod pg_store;
mod session;
mod state_row;
mod stir;
mod tables;
mod unit;

pub use pg_store::PgStore;
pub use unit::PgUnit;

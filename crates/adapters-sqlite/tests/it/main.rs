//! SQLite against the contracts of the ports, and what is particular to it.

mod claims;
mod contracts;
mod files;
mod kit;
mod log;
mod sql_projection;
mod store;
mod wake_up;

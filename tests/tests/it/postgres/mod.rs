//! PostgreSQL: what a server may do to us, through real servers, and the real binary on it.

mod data;
mod kill;
mod kit;
mod server;

//! PostgreSQL: what a server may do to us, through real servers, and the real binary on it.

mod chaos;
mod data;
mod failures;
mod instances;
mod kill;
mod kit;
mod server;

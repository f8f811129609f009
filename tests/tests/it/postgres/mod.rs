//! PostgreSQL: what a server may do to us, through real servers, and the real binary on it.

mod chaos;
mod commands;
mod connections;
mod data;
mod failures;
mod instances;
mod kill;
mod kit;
mod lease;
mod outages;
mod partitions;
mod probe;
mod projections;
mod restore;
mod server;
mod server_log;
mod store_runner;
mod takeover;

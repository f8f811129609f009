//! The log, where it is PostgreSQL's own.

mod append;
mod holder;
mod naive;
mod order;
mod quiet;
mod rules_of_appending;
mod rules_of_reading;
mod scans;
mod session;
mod storage;
mod stress;

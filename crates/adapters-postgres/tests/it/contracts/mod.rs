//! The contract suites of the ports, one file an area.

mod log;
mod store;

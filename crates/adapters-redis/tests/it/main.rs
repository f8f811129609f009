//! The adapter against real servers; see `kit` for the shared one, `own_server` for those that a test may kill.

mod checkpoints;
mod cluster;
mod contracts;
mod dead_letters;
mod faults;
mod kit;
mod operate;
mod own_server;
mod proxy;
mod start;

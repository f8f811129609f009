//! The adapter against a real server; see `kit`.

mod contracts;
mod kit;
mod log;
mod membership;
mod ownership;
mod proxy;
mod reach;
mod sql_projection;
mod store;
mod store_kit;
mod store_lost;
mod store_runner;
mod wake_up;

//! The adapter against a real server; see `kit`.

mod checkpoints;
mod contracts;
mod kit;
mod log;
mod membership;
mod ownership;
mod proxy;
mod reach;
mod sql_projection;
mod stale_plans;
mod store;
mod store_kit;
mod store_lost;
mod wake_up;

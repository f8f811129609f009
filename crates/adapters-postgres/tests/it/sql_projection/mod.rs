//! What a user of SQL projections relies on, driven through the port on bare transactions.

mod check;
mod cuts;
mod kept_plans;
mod parameters;
mod payloads;
mod read_model;
mod relation;
mod routing;
mod sample;
mod search;
mod support;
mod verify;

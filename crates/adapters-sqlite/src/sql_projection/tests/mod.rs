//! What a user of SQL projections relies on, on bare connections.

mod check;
mod cuts;
mod definition;
mod parameters;
mod payloads;
mod read_model;
mod relation;
mod routing;
mod sample;
mod support;

//! What a prober, a metrics collector and an operator ask of a running process, over HTTP.
//!
//! * `GET /metrics`: metrics in Prometheus' text form; their names stand in `highwater_runtime::telemetry`: `metric`,
//!   `handler_metric` and `persistence_metric`.
//! * `GET /health/live`: 200 while every loop beats; else 503, and the process should be started anew.
//! * `GET /health/ready`: 200 while no projection or handler is starting, stalled or faulted; else 503. With
//!   `?max_lag_seconds=30` also 503 while one is further behind.
//! * `GET /health/lag`: how far each is behind.
//!
//! The answers but the metrics are JSON: `{"ok": bool, "projections": [{"name", "partition", "phase", "reason",
//! "lag_positions", "lag_events", "lag_seconds"}], "handlers": [{"name", "phase", "reason", "position", "attempts",
//! "lag_positions", "lag_events", "lag_seconds"}]}`; and `"held_back": {"position", "seconds", "holder"}` while an
//! appender that does not end has kept readers of the log behind that position for some seconds. That alone is no 503:
//! no projection can do anything about it.
//!
//! For `highwater breaker` and `highwater persist`, where the process runs handlers (409 where it runs none):
//!
//! * `GET /breaker`: the circuit breaker in front of the checkpoint store.
//! * `POST /breaker/reset`: closes it; it may open again with the next failures.
//! * `POST /persist?deadline_ms=30000&override_breaker=false`: writes the checkpoints of all handlers now; 503 while the
//!   breaker is open.
//!
//! Nobody is asked for a password. What can be done here loses nothing and harms nobody, but the metrics name
//! projections, and who calls these all day keeps the checkpoint store busy: so the address should not be public. Listen
//! at 127.0.0.1, or where only the prober's network reaches.

mod client;
mod control;
mod health;
mod held_back;
mod scrape;
mod server;
mod wire;

pub(crate) use client::Process;
pub(crate) use scrape::Recorder;
pub(crate) use server::{Probed, serve};
pub(crate) use wire::{Breaker, Persisted};

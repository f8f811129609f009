//! The contract suites: one a port, one function a law, one test per law per adapter.
//!
//! An adapter is interchangeable only if it keeps every law of its port, not just those that its author
//! thought of. So the laws are written once, here, and each adapter expands them over its own storage:
//!
//! ```text
//! /// A fresh log; `None` where the backend cannot be had.
//! async fn log(law: &str) -> Option<LogFixture> { … }
//! highwater_testkit::event_log_contract!(event_log_on_sqlite, log);
//! ```
//!
//! gives the tests `event_log_on_sqlite::law_1_nothing_is_passed_over` and so on. The factory is called once
//! a law, with the law's name (for a schema, prefix or file name of its own), and the fixture lives as long
//! as the law runs. The expansion uses `#[tokio::test]`, so the crate that expands a suite depends on
//! `tokio`.
//!
//! A factory that answers `None` skips the test and says so; with `REQUIRE_BACKENDS` set it fails instead. A
//! law that needs something which the fixture does not offer ([`LogFixture::outage`], the optional methods of
//! [`TestTable`]) says so on stderr and passes.

pub mod append_events;
pub mod checkpoint_store;
pub mod dead_letters;
pub mod event_log;
pub mod event_reader;
mod fixture;
pub mod owned_checkpoints;
pub mod persist_target;
pub mod persistent_subscription;
pub mod projection_control;
pub mod read_model_store;
mod store_support;
mod suite;
mod support;
pub mod unit_of_work;
pub mod unit_records;
pub mod unit_tables;

pub use fixture::{
    CheckpointFixture, ControlFixture, DeadLettersFixture, LogFixture, Lose, Outage, OwnedCheckpointsFixture,
    StoreFixture, SubscriptionFixture, TargetFixture, TargetProbe, TestTable, lose, outage,
};
pub use suite::{LAW_LIMIT, bounded, skipped};

//! The decisions and the ports of Highwater.
//!
//! Nothing in this crate acts: there is no runtime, no driver, no clock and no randomness in it. Time and
//! random numbers come in as arguments, decisions go out as values, and everything that touches the world is a
//! trait in [`ports`]. That is what makes each decision a plain unit test, and what lets a storage be swapped
//! without touching the semantics of delivery.
//!
//! * [`model`]: what the words mean (event, position, state, failed event).
//! * [`ports`]: **the specification**: one file a port, with its numbered laws.
//! * [`policy`]: what a failure does, how long to wait, how large a batch is.
//! * [`progress`]: what is settled, what is a duplicate, when a checkpoint is due.
//! * [`breaker`]: when a target that does not answer is left alone.
//! * [`settings`]: every setting with its default and its reason.
//! * [`sql`]: the text side of projections written in SQL.

#![warn(missing_docs)]

pub mod breaker;
pub mod error;
pub mod failure;
#[cfg(any(test, feature = "mocks"))]
pub mod mocks;
pub mod model;
pub mod policy;
pub mod ports;
pub mod progress;
pub mod settings;
pub mod sql;

pub use error::{BoxError, Error, ErrorKind, Retry};
pub use failure::{Failure, OrVerdict, Verdict};

//! Helpers of the end-to-end suites: the real binary in a folder of its own, the sample events with their
//! published figures, SQL projections that show whether each event was handled once, in order, and servers that a
//! test may crash.

use std::time::Duration;

mod binary;
mod database;
mod digest;
mod folder;
mod poll;
pub mod postgres;
pub mod projections;
mod random;
mod running;
mod sample;

pub use binary::binary;
pub use database::{Database, Tables};
pub use digest::{Checked, hex_sha256};
pub use folder::Folder;
pub use poll::{CLOCK, pause, poll};
pub use random::Random;
pub use running::{Output, Running};
pub use sample::{Located, Sample};

/// How long anything may take that is waited for: far more than it takes.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Batches of a hundred events, never more: many commits, and many places to be cut off at.
pub const BY_HUNDREDS: &str = r#"
[defaults]
batch = 100
min_batch = 50
max_batch = 100
max_range_batch = 100
poll_interval = "50ms"
"#;

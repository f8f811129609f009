//! Time and chance that a test drives.
//!
//! The clock stands on tokio's time, so `#[tokio::test(start_paused = true)]` makes it virtual without a
//! harness: ten simulated minutes pass in no time, and every sleep of the code under test takes part. Only
//! the wall clock is ours, since it has to be able to step back.

mod scripted_jitter;
mod virtual_clock;

pub use scripted_jitter::ScriptedJitter;
pub use virtual_clock::VirtualClock;
pub(crate) use virtual_clock::{instant_after, instant_now, pause};

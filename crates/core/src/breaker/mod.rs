//! When a target that does not answer is left alone (C-7).
//!
//! Calls to a target that is down cost their whole time-out each, keep it from coming up, and fill the logs.
//! After some failures in a row the breaker opens, and calls are refused without being made. After a while it
//! lets one probe through, and that one alone decides: closed again, or open for as long again.
//!
//! * [`Breaker`]: the three states as a pure machine; time is an argument.
//! * [`SharedBreaker`], [`HeldPermit`]: the same for many callers; a permit that is dropped is given back, so
//!   a cancelled probe wedges nothing.
//!
//! The pattern is Nygard's ("Release It!", 2007). Two details matter in practice. Half-open admits exactly
//! one call, not a crowd. And each permit carries the generation of the state in which it was granted: a slow
//! call from before the breaker opened says nothing about the target now, so its result changes nothing.

mod machine;
#[cfg(test)]
mod properties;
mod shared;
mod state;

pub use machine::{Breaker, Permit, Sample};
pub use shared::{HeldPermit, SharedBreaker};
pub use state::{BreakerChange, BreakerRule, BreakerSnapshot, BreakerState, Refused};

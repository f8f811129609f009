//! Second stage: drop what was processed before.
//!
//! A batch may be older than the state: it was read ahead, and another owner has moved on. The state that was
//! locked in the applying transaction is the authority, never the place where a reader stands.

use highwater_core::model::{Position, RecordedEvent};

/// How many events at the head of `events` stand at or below `settled`; they are in log order.
#[must_use]
pub fn processed_before(events: &[RecordedEvent], settled: Option<Position>) -> usize {
    settled.map_or(0, |settled| events.partition_point(|event| event.position() <= settled))
}

//! Fourth stage: what is not applied is written down, in the transaction that moves past it.

use highwater_core::Error;
use highwater_core::model::{DeadLetter, FailedEvent, FailedState, ProjectionState, RecordedEvent};
use highwater_core::policy::Decided;
use highwater_core::ports::UnitOfWork;

/// What is known of a failed attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What was decided about the failure.
    pub decided: Decided,
    /// The reason and its causes in one line.
    pub message: String,
    /// How many attempts have failed, this one included.
    pub attempts: u32,
    /// Now, by the wall clock.
    pub wall_micros: i64,
}

/// The longest message that is kept, in bytes: a driver may repeat a whole statement in it.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The row of an event that failed.
#[must_use]
pub fn failed_event(
    state: &ProjectionState,
    event: &RecordedEvent,
    before: Option<&FailedEvent>,
    attempt: Attempt,
    becomes: FailedState,
    next_attempt_micros: Option<i64>,
) -> FailedEvent {
    let parts = event.parts();
    FailedEvent {
        key: state.key.clone(),
        generation: state.generation,
        position: parts.position,
        id: parts.id,
        stream: parts.stream.clone(),
        sequence: parts.sequence,
        event_type: parts.event_type.clone(),
        state: becomes,
        class: attempt.decided.class,
        code: attempt.decided.code,
        message: shortened(attempt.message),
        attempts: attempt.attempts,
        first_failed_micros: before.map_or(attempt.wall_micros, |before| before.first_failed_micros),
        last_failed_micros: attempt.wall_micros,
        next_attempt_micros,
        replay_requested: false,
    }
}

/// Writes the row, and the payload where the state asks for one.
///
/// # Errors
/// When it cannot be stored; the event is then not settled (B-3).
pub async fn record<U: UnitOfWork>(
    unit: &mut U,
    failed: &FailedEvent,
    event: &RecordedEvent,
) -> Result<(), Error> {
    match failed.state {
        FailedState::Parked | FailedState::Held => {
            let letter = DeadLetter { failed: failed.clone(), event: event.detached() };
            unit.record_failed(failed, Some(&letter)).await
        }
        FailedState::Retrying | FailedState::Recorded => unit.record_failed(failed, None).await,
    }
}

/// A message that is short enough to be kept.
pub(crate) fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let cut = message.floor_char_boundary(MAX_MESSAGE_BYTES);
        message.truncate(cut);
        message.push('…');
    }
    message
}

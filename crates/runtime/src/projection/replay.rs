//! An operator asked for another try of an event that was set aside (E-18).
//!
//! The event is applied alone, behind what has been applied since. When an event of a parked stream passes, the
//! events that were held behind it follow in order, each in a transaction of its own.

use highwater_core::model::{FailedEvent, FailedState, ProjectionState, RecordedEvent};
use highwater_core::ports::{ApplySlice, UnitOfWork};
use highwater_core::{Error, Failure};

use super::isolate::Halted;
use super::work::{Batch, BatchOutcome, Committed};
use crate::flow::apply::{Keep, apply};

/// Tries the event. The state does not move: it passed the event when that was set aside.
///
/// # Errors
/// When the transaction is lost; it is rolled back then.
pub(super) async fn replay_one<U: UnitOfWork>(
    mut unit: U,
    batch: &Batch<U::Tx>,
    state: &ProjectionState,
    failed: &FailedEvent,
    read: Option<&RecordedEvent>,
) -> Result<BatchOutcome, Error> {
    let letter = match read {
        Some(_) => None,
        None => unit.dead_letter(&state.key, failed.position).await?,
    };
    let event = read.or(letter.as_ref().map(|letter| &letter.event));
    let blocked_by = match failed.state {
        FailedState::Held => unit.first_of_stream(&state.key, &failed.stream).await?,
        _ => None,
    }
    .map(|first| first.failed.position)
    .filter(|&first| first != failed.position);

    let mut row = FailedEvent { replay_requested: false, ..failed.clone() };
    let outcome = match (event, blocked_by) {
        (_, Some(first)) => Err(Failure::new(format!(
            "held behind the event at {first} of its stream: retry or discard that first"
        ))),
        (None, _) => Err(Failure::new("its payload is neither kept nor in the log any more: discard it")),
        (Some(event), None) => {
            row.attempts = row.attempts.saturating_add(1);
            let slice = ApplySlice::Events { events: std::slice::from_ref(event), contiguous: true };
            let limit = batch.definition.settings.statement_timeout;
            let clock = &*batch.environment.clock;
            apply(&mut unit, &*batch.definition.projection, slice, Some(limit), clock, Keep::Yes).await?
        }
    };
    let recovered = match outcome {
        Ok(()) => {
            unit.resolve_failed(&state.key, failed.position).await?;
            follow_with_next_held(&mut unit, state, failed).await?;
            Some(failed.clone())
        }
        Err(failure) => {
            let decided = batch.environment.classifier.failure(&failure);
            row.class = decided.class;
            row.code = decided.code;
            row.message = failure.message();
            row.last_failed_micros = batch.environment.clock.wall_micros();
            unit.record_failed(&row, letter.as_ref()).await?;
            None
        }
    };
    unit.commit(state, state).await?;
    let failed = if recovered.is_some() { Vec::new() } else { vec![row] };
    Ok(BatchOutcome::Committed(Box::new(Committed {
        state: state.clone(),
        applied: u64::from(recovered.is_some()),
        duplicates: 0,
        had_failures: !failed.is_empty(),
        failed,
        recovered,
        halted: Halted::Prefix,
        whole_only: false,
        segments: batch.segments,
        caught_up: false,
    })))
}

/// The next held event of the stream is asked for in turn.
async fn follow_with_next_held<U: UnitOfWork>(
    unit: &mut U,
    state: &ProjectionState,
    passed: &FailedEvent,
) -> Result<(), Error> {
    if !matches!(passed.state, FailedState::Parked | FailedState::Held) {
        return Ok(());
    }
    if let Some(mut next) = unit.first_of_stream(&state.key, &passed.stream).await?
        && next.failed.state == FailedState::Held
    {
        next.failed.replay_requested = true;
        let row = next.failed.clone();
        unit.record_failed(&row, Some(&next)).await?;
    }
    Ok(())
}

//! An attempt whose transaction was lost is written down in a fresh one (E-17).
//!
//! The same row is written *before* the attempt when the process itself died twice at this place: whatever kills
//! it then reaches its limit like every other failure.

use std::future::Future;
use std::sync::Arc;

use highwater_core::Error;
use highwater_core::model::{FailedEvent, FailedState, ProjectionState, RecordedEvent};
use highwater_core::policy::{Action, Class, Decided, OnFailure, decide};
use highwater_core::ports::{ApplySlice, Locked, ReadModelStore, UnitOfWork};

use super::definition::ProjectionDefinition;
use super::isolate::too_many_open;
use crate::environment::Environment;
use crate::flow::apply::{Keep, apply};
use crate::flow::checkpoint::next_state;
use crate::flow::dead_letter::{Attempt, failed_event, record};

/// What was written down.
#[derive(Debug)]
pub(super) enum Noted {
    /// The event is tried again (or now, for an attempt that is written down before it is made).
    Retrying(FailedEvent),
    /// It has had all its attempts and was set aside; the state has moved past it.
    SetAside(Box<(FailedEvent, ProjectionState)>),
    /// It has had all its attempts. Nothing was written: first find out whether the events behind it fail alike.
    Exhausted,
    /// The runner cannot go on: the policy is to halt, or too many events are open. The row is written.
    Fault(String),
    /// Somebody else has moved the state meanwhile: nothing was written.
    Moved,
}

/// The attempt that is to be written down.
#[derive(Debug, Clone)]
pub(super) struct LostAttempt {
    /// The event, the first behind the state.
    pub(super) event: RecordedEvent,
    /// What is known of the failure.
    pub(super) decided: Decided,
    /// The reason.
    pub(super) message: String,
    /// It is written down before it is made: it is due at once.
    pub(super) beforehand: bool,
    /// The events behind it were tried, and do not fail alike.
    pub(super) probed: bool,
}

/// Writes an attempt down.
///
/// # Errors
/// When it could not be made durable.
pub(super) fn note<S: ReadModelStore>(
    store: &S,
    definition: &Arc<ProjectionDefinition<S::Tx>>,
    environment: &Environment,
    epoch: u64,
    lost: LostAttempt,
) -> impl Future<Output = Result<Noted, Error>> + Send {
    let definition = definition.clone();
    let environment = environment.clone();
    let limit = definition.settings.batch_deadline;
    store.transact(limit, move |unit| note_in_unit(unit, definition, environment, epoch, lost))
}

async fn note_in_unit<U: UnitOfWork>(
    mut unit: U,
    definition: Arc<ProjectionDefinition<U::Tx>>,
    environment: Environment,
    epoch: u64,
    lost: LostAttempt,
) -> Result<Noted, Error> {
    let key = definition.key();
    let acquired = match unit.lock(&key).await? {
        Locked::Acquired(acquired) if acquired.state.epoch == epoch => acquired,
        _other => {
            unit.rollback().await?;
            return Ok(Noted::Moved);
        }
    };
    let state = &acquired.state;
    let settings = &definition.settings;
    let before = acquired.retrying.as_ref().filter(|row| row.position == lost.event.position());
    let earlier = before.map_or(0, |row| row.attempts);
    let wall_micros = environment.clock.wall_micros();
    // Beforehand, the attempts made so far decide whether there is another one.
    let judged = if lost.beforehand { earlier } else { earlier.saturating_add(1) };
    let action = if lost.beforehand && judged < settings.max_failures {
        Action::RetryLater
    } else {
        decide(settings.on_failure, &lost.decided, None, judged, settings.max_failures)
    };
    // A process that dies at an event is no sign of an outage; everything else that is unknown may be one.
    if matches!(action, Action::Probe(_)) && !lost.probed && !lost.beforehand {
        unit.rollback().await?;
        return Ok(Noted::Exhausted);
    }
    let attempt = Attempt {
        decided: lost.decided,
        message: lost.message,
        attempts: if lost.beforehand && action != Action::RetryLater {
            earlier
        } else {
            earlier.saturating_add(1)
        },
        wall_micros,
    };
    let wait = settings.backoff().delay(attempt.attempts.saturating_sub(1), environment.jitter.next_u64());
    let later = wall_micros.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
    let due = if lost.beforehand { wall_micros } else { later };
    match action {
        Action::SetAside(becomes) | Action::Probe(becomes) if settings.on_failure != OnFailure::Halt => {
            let row = failed_event(state, &lost.event, before, attempt, becomes, None);
            record(&mut unit, &row, &lost.event).await?;
            let open = unit.open_failures(&key).await?;
            let next = next_state(state, std::slice::from_ref(&lost.event), 1, Some(lost.event.position()));
            unit.commit(state, &next).await?;
            Ok(match too_many_open(open, settings) {
                Some(reason) => Noted::Fault(reason),
                None => Noted::SetAside(Box::new((row, next))),
            })
        }
        action => {
            let row = failed_event(state, &lost.event, before, attempt, FailedState::Retrying, Some(due));
            record(&mut unit, &row, &lost.event).await?;
            unit.commit(state, state).await?;
            Ok(if action == Action::RetryLater { Noted::Retrying(row) } else { Noted::Fault(row.message) })
        }
    }
}

/// How many of `events`, in a row from the first, fail without a known reason. Each is tried in a transaction of its
/// own that is always rolled back.
pub(super) fn failing_alike<S: ReadModelStore>(
    store: &S,
    definition: &Arc<ProjectionDefinition<S::Tx>>,
    environment: &Environment,
    events: Vec<RecordedEvent>,
) -> impl Future<Output = usize> + Send {
    async move {
        let limit = definition.settings.batch_deadline;
        let mut alike = 0;
        for event in events {
            let (definition, clock) = (definition.clone(), environment.clock.clone());
            let tried = store
                .transact(limit, move |mut unit| async move {
                    let slice = ApplySlice::Events { events: std::slice::from_ref(&event), contiguous: true };
                    let alone = Some(definition.settings.statement_timeout);
                    let tried =
                        apply(&mut unit, &*definition.projection, slice, alone, &*clock, Keep::No).await?;
                    unit.rollback().await?;
                    Ok(tried)
                })
                .await;
            let fails = match tried {
                Ok(Ok(())) => false,
                Ok(Err(failure)) => environment.classifier.failure(&failure).class == Class::Unclassified,
                // Its transaction is lost, too.
                Err(_) => true,
            };
            if !fails {
                break;
            }
            alike += 1;
        }
        alike
    }
}

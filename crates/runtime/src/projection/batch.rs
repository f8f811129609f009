//! One batch, one transaction. This file is the only place that commits or rolls back a batch (E-10, E-16).
//!
//! The unit comes in by value, [`apply_in_unit`] hands it back to nobody: every path through it ends in a commit
//! or in a rollback, and an error, a panic or a dropped future rolls back by the store's law.

use std::future::Future;
use std::time::Duration;

use highwater_core::model::{ProjectionState, RecordedEvent};
use highwater_core::policy::Segments;
use highwater_core::ports::{Acquired, ApplySlice, EventRange, Locked, Moment, ReadModelStore, UnitOfWork};
use highwater_core::settings::SavepointMode;
use highwater_core::{Error, ErrorKind};

use super::isolate::{Halted, Isolated, Isolation};
use super::replay::replay_one;
use super::work::{Batch, BatchOutcome, Committed, Work};
use crate::flow::apply::{Keep, apply};
use crate::flow::checkpoint::next_state;
use crate::flow::dedup::processed_before;
use crate::flow::source::Piece;

/// Runs a batch in one transaction of the store.
pub fn run_batch<S: ReadModelStore>(
    store: &S,
    batch: Batch<S::Tx>,
) -> impl Future<Output = BatchOutcome> + Send {
    let settings = &batch.definition.settings;
    let deadline = settings.batch_deadline;
    let limit = deadline.saturating_add(settings.commit_grace);
    let work = store.transact(limit, move |unit| apply_in_unit(unit, batch, deadline));
    async move {
        match work.await {
            Ok(outcome) => outcome,
            Err(error) => match error.kind() {
                ErrorKind::LostOwnership => BatchOutcome::LostOwnership,
                ErrorKind::OutcomeUnknown => BatchOutcome::Unknown,
                _ => BatchOutcome::Failed(error),
            },
        }
    }
}

/// The batch inside its transaction: commits or rolls back, and says which.
///
/// # Errors
/// When the transaction is lost; it is rolled back then.
pub async fn apply_in_unit<U: UnitOfWork>(
    mut unit: U,
    batch: Batch<U::Tx>,
    deadline: Duration,
) -> Result<BatchOutcome, Error> {
    let started = batch.environment.clock.now();
    let key = batch.definition.key();
    let acquired = match unit.lock(&key).await? {
        Locked::Acquired(acquired) => acquired,
        Locked::Busy => return end(unit, BatchOutcome::Busy).await,
        Locked::Missing => {
            unit.rollback().await?;
            return Err(Error::new(
                ErrorKind::CheckpointMismatch,
                "find the projection's state row; it was there at the start",
            )
            .with("projection", &key));
        }
    };
    if acquired.state.epoch != batch.epoch {
        return end(unit, BatchOutcome::LostOwnership).await;
    }
    if acquired.state.paused {
        return end(unit, BatchOutcome::Paused).await;
    }
    if let Work::Replay { failed, event } = &batch.work {
        return replay_one(unit, &batch, &acquired.state, failed, event.as_ref()).await;
    }
    if let Some(replay) = acquired.replay {
        return end(unit, BatchOutcome::ReplayWanted(Box::new(replay))).await;
    }
    match &batch.work {
        Work::Events(piece) => {
            let piece = piece.clone();
            events(unit, batch, &acquired, &piece, started + deadline).await
        }
        Work::Range { after, range, last } => {
            if *after != acquired.state.resume_after() {
                return end(unit, BatchOutcome::Moved(Box::new(acquired.state))).await;
            }
            if acquired.retrying.is_some() {
                return end(unit, BatchOutcome::RangeFailed).await;
            }
            let (range, last) = (*range, last.clone());
            whole_range(unit, batch, &acquired.state, range, last.as_ref()).await
        }
        Work::Replay { .. } => end(unit, BatchOutcome::Idle).await,
    }
}

async fn end<U: UnitOfWork>(unit: U, outcome: BatchOutcome) -> Result<BatchOutcome, Error> {
    unit.rollback().await?;
    Ok(outcome)
}

async fn events<U: UnitOfWork>(
    mut unit: U,
    batch: Batch<U::Tx>,
    acquired: &Acquired,
    piece: &Piece,
    deadline: Moment,
) -> Result<BatchOutcome, Error> {
    let state = &acquired.state;
    if piece.after() != state.resume_after() {
        return end(unit, BatchOutcome::Moved(Box::new(state.clone()))).await;
    }
    let duplicates = processed_before(piece.events(), state.resume_after());
    let mut fresh = &piece.events()[duplicates..];
    let mut before = acquired.retrying.as_ref();
    let mut whole_piece = true;
    if let Some(row) = before {
        match fresh.first() {
            Some(first) if first.position() == row.position => {
                let wall = batch.environment.clock.wall_micros();
                let cap = i64::try_from(batch.definition.settings.retry_cap.as_micros()).unwrap_or(i64::MAX);
                // Further away than any pause is: the clock was set back since it was written.
                let later = |micros: i64| micros > wall && micros.saturating_sub(wall) <= cap;
                if let Some(micros) = row.next_attempt_micros.filter(|&micros| later(micros)) {
                    return end(unit, BatchOutcome::RetryAt { micros }).await;
                }
                // A retry runs the event alone.
                whole_piece = fresh.len() == 1;
                fresh = &fresh[..1];
            }
            Some(first) if first.position() > row.position => {
                // The filter no longer lets it through, or the log has dropped it.
                unit.resolve_failed(&state.key, row.position).await?;
                before = None;
            }
            _ => before = None,
        }
    }
    let parked_streams = match batch.definition.settings.on_failure {
        highwater_core::policy::OnFailure::ParkStream => unit.parked_streams(&state.key).await?,
        _ => Vec::new(),
    };
    let behind = &piece.events()[duplicates + fresh.len()..];
    let following: Vec<RecordedEvent> = behind.iter().chain(piece.following(4)).take(4).cloned().collect();
    let mut segments = match batch.definition.settings.savepoint {
        SavepointMode::Optimistic => batch.segments,
        SavepointMode::PerEvent => Segments::per_event(),
    };
    let isolated = Isolation {
        projection: &*batch.definition.projection,
        contiguous: batch.definition.may_read_the_log(),
        settings: &batch.definition.settings,
        environment: &batch.environment,
        state,
        before,
        attempt_recorded: batch.attempt_recorded,
        parked_streams: &parked_streams,
        following: &following,
        deadline,
        failed_first: batch.failed_first,
    }
    .run(&mut unit, fresh, &mut segments)
    .await?;
    let complete = whole_piece && isolated.settled == fresh.len();
    let bound = if complete { piece.scanned() } else { fresh.last().map(RecordedEvent::position) };
    let next = next_state(state, fresh, isolated.settled, bound);
    let nothing = next == *state
        && isolated.failed.is_empty()
        && isolated.recovered.is_none()
        && acquired.retrying.is_some() == before.is_some();
    if nothing {
        unit.rollback().await?;
        return Ok(without_commit(isolated, state, &segments));
    }
    unit.commit(state, &next).await?;
    Ok(BatchOutcome::Committed(Box::new(Committed {
        state: next,
        applied: isolated.applied,
        duplicates: duplicates as u64,
        failed: isolated.failed,
        recovered: isolated.recovered,
        halted: isolated.halted,
        whole_only: isolated.whole_only,
        had_failures: isolated.had_failures,
        segments,
        caught_up: complete && piece.caught_up(),
    })))
}

/// A batch that wrote nothing: it was empty, or its first event has to wait.
fn without_commit(isolated: Isolated, state: &ProjectionState, segments: &Segments) -> BatchOutcome {
    match isolated.halted {
        Halted::No | Halted::Prefix => BatchOutcome::Idle,
        halted => BatchOutcome::Committed(Box::new(Committed {
            state: state.clone(),
            applied: 0,
            duplicates: 0,
            failed: Vec::new(),
            recovered: None,
            halted,
            whole_only: false,
            had_failures: isolated.had_failures,
            segments: *segments,
            caught_up: false,
        })),
    }
}

/// A range is applied as a whole or not at all.
async fn whole_range<U: UnitOfWork>(
    mut unit: U,
    batch: Batch<U::Tx>,
    state: &ProjectionState,
    range: EventRange,
    last: Option<&RecordedEvent>,
) -> Result<BatchOutcome, Error> {
    if let Some(last) = last {
        let slice =
            ApplySlice::Range { after: state.resume_after(), through: last.position(), count: range.events };
        let applied = apply(
            &mut unit,
            &*batch.definition.projection,
            slice,
            None,
            &*batch.environment.clock,
            Keep::Yes,
        )
        .await?;
        if applied.is_err() {
            return end(unit, BatchOutcome::RangeFailed).await;
        }
    }
    let settled: Vec<RecordedEvent> = last.into_iter().cloned().collect();
    let next = next_state(state, &settled, settled.len(), range.scanned);
    if next == *state {
        return end(unit, BatchOutcome::Idle).await;
    }
    unit.commit(state, &next).await?;
    let mut segments = batch.segments;
    segments.passed(usize::try_from(range.events).unwrap_or(usize::MAX));
    Ok(BatchOutcome::Committed(Box::new(Committed {
        state: next,
        applied: range.events,
        duplicates: 0,
        failed: Vec::new(),
        recovered: None,
        halted: Halted::No,
        whole_only: false,
        had_failures: false,
        segments,
        caught_up: range.caught_up,
    })))
}

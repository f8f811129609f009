//! Third stage: a slice of events under a savepoint of its own.
//!
//! Either all of the slice's effects stand and the savepoint is released, or none is left. A failure that shows
//! only at the release (a swallowed error that broke the transaction, a deferred constraint) is a failure of the
//! slice, not of the store.

use std::time::Duration;

use highwater_core::model::RecordedEvent;
use highwater_core::ports::{ApplySlice, Clock, DynProjection, UnitOfWork, Until};
use highwater_core::{Error, ErrorKind, Failure, Verdict};

/// Whether what was done is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Released into the transaction.
    Yes,
    /// Rolled back even if it passes: to find out whether it would.
    No,
}

/// Applies a slice. `alone_limit` bounds an event that stands alone: its statements, and what it waits for. After a
/// failure nothing of it is left.
///
/// # Errors
/// When the transaction itself is lost, or was ended by the projection.
pub async fn apply<U: UnitOfWork>(
    unit: &mut U,
    projection: &dyn DynProjection<U::Tx>,
    slice: ApplySlice<'_>,
    alone_limit: Option<Duration>,
    clock: &dyn Clock,
    keep: Keep,
) -> Result<Result<(), Failure>, Error> {
    unit.savepoint().await?;
    unit.statement_timeout(alone_limit).await?;
    let outcome = match alone_limit {
        None => projection.apply_slice(slice, unit.tx()).await,
        Some(limit) => {
            tokio::select! {
                biased;
                outcome = projection.apply_slice(slice, unit.tx()) => outcome,
                () = clock.sleep(limit) => Err(timed_out(limit)),
            }
        }
    };
    concluded(unit, outcome, keep).await
}

/// Applies events as far as that goes, by a projection that finds the one that cannot be applied, see
/// [`DynProjection::apply_until`]. After a failure nothing of it is left.
///
/// # Errors
/// As [`apply`].
pub async fn apply_until<U: UnitOfWork>(
    unit: &mut U,
    projection: &dyn DynProjection<U::Tx>,
    events: &[RecordedEvent],
    known: bool,
) -> Result<Result<Until, Failure>, Error> {
    unit.savepoint().await?;
    unit.statement_timeout(None).await?;
    let outcome = projection.apply_until(events, known, unit.tx()).await;
    concluded(unit, outcome, Keep::Yes).await
}

/// The end of the savepoint: what passed is kept if that is wanted and possible.
async fn concluded<U: UnitOfWork, T>(
    unit: &mut U,
    outcome: Result<T, Failure>,
    keep: Keep,
) -> Result<Result<T, Failure>, Error> {
    let outcome = match outcome {
        Ok(passed) if keep == Keep::Yes => match unit.release().await {
            Ok(()) => return Ok(Ok(passed)),
            Err(error) if belongs_to_the_slice(&error) => Err(Failure::new(error)),
            Err(error) => return Err(error),
        },
        other => other,
    };
    unit.rollback_to().await?;
    unit.release().await?;
    Ok(outcome.map_err(|failure| match ended_the_transaction(&failure) {
        true => failure.verdict(Verdict::Stop),
        false => failure,
    }))
}

fn timed_out(limit: Duration) -> Failure {
    Failure::new(
        Error::new(ErrorKind::Timeout, "apply one event alone")
            .with("limit", format_args!("{} ms", limit.as_millis())),
    )
}

/// A release that fails so tells of what the slice did, and the savepoint still stands.
fn belongs_to_the_slice(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Constraint | ErrorKind::Decode | ErrorKind::Other | ErrorKind::Unstorable
    )
}

fn ended_the_transaction(failure: &Failure) -> bool {
    let mut next = Some(failure.source());
    while let Some(error) = next {
        if error.downcast_ref::<Error>().is_some_and(|error| error.kind() == ErrorKind::TransactionEnded) {
            return true;
        }
        next = error.source();
    }
    false
}

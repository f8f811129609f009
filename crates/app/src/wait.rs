//! Read your own writes: wait until a projection (E-13) or a handler has settled a position.

use std::time::Duration;

use highwater_core::model::{FailedState, Position, ProjectionName, ProjectionState};
use highwater_core::ports::{Clock, DeadLetters, FailedQuery, OwnedCheckpoints, ProjectionControl};
use highwater_core::{Error, ErrorKind};

/// How often the committed state is looked at when nothing hints at a change.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What waiting came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// Everything up to the position is settled, and the event there, if it is one of the projection's or handler's,
    /// applied or handled.
    Reached,
    /// Not within the time.
    TimedOut,
    /// Everything up to the position is settled, but the event there is parked or held, or a dead letter.
    Parked,
    /// An operator has paused the projection before the position. Never said of a handler.
    Paused,
    /// The projection cannot go on. Never said of a handler: only the process that runs it knows.
    Faulted(String),
}

/// Waits until `name` has settled `position`, by the committed state: it does not matter which process runs it.
///
/// Dropping the future stops waiting.
///
/// # Errors
/// `NotFound` if the projection has no state (it never ran), or why the store cannot be asked.
pub async fn wait_for(
    control: &dyn ProjectionControl,
    clock: &dyn Clock,
    name: &ProjectionName,
    position: Position,
    timeout: Duration,
) -> Result<Waited, Error> {
    let deadline = clock.now() + timeout;
    loop {
        let states = newest(control.states().await?, name);
        if states.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "wait for a projection that never ran")
                .with("projection", name));
        }
        if states.iter().all(|state| state.scanned.is_some_and(|scanned| scanned >= position)) {
            let query = FailedQuery {
                projection: Some(name.clone()),
                version: states.first().map(|state| state.key.version),
                states: vec![FailedState::Parked, FailedState::Held],
                position: Some(position),
                ..FailedQuery::default()
            };
            // Rows of older versions are no news of this one.
            let rows = control.failed_events(&query, 100).await?;
            let parked = rows.iter().any(|row| states.iter().any(|state| state.key == row.key));
            return Ok(if parked { Waited::Parked } else { Waited::Reached });
        }
        if let Some(fault) = states.iter().find_map(|state| state.fault.clone()) {
            return Ok(Waited::Faulted(fault));
        }
        if states.iter().any(|state| state.paused) {
            return Ok(Waited::Paused);
        }
        let now = clock.now();
        if now >= deadline {
            return Ok(Waited::TimedOut);
        }
        let look = LOOK_EVERY.min(deadline.since(now));
        let deaf = tokio::select! {
            hint = control.changed() => hint.is_err(),
            () = clock.sleep(look) => false,
        };
        if deaf {
            clock.sleep(look).await;
        }
    }
}

/// Waits until the handler `name` has settled `position` and its checkpoint says so, whichever process runs it.
///
/// A checkpoint is stored a little after its events are handled: see `checkpoint_batch_size` and
/// `checkpoint_interval`. Nothing hints at its moves, so it is looked at every 100 ms. Dropping the future stops
/// waiting.
///
/// # Errors
/// `NotFound` if the handler has neither a checkpoint nor an owner (it never ran), or why a store cannot be asked.
pub async fn wait_for_handler(
    checkpoints: &dyn OwnedCheckpoints,
    letters: Option<&dyn DeadLetters>,
    clock: &dyn Clock,
    name: &str,
    position: Position,
    timeout: Duration,
) -> Result<Waited, Error> {
    let deadline = clock.now() + timeout;
    loop {
        let checkpoint = checkpoints.get(name).await?;
        if checkpoint.is_some_and(|checkpoint| checkpoint.position >= position) {
            let dead = match letters {
                Some(letters) => has_letter(checkpoints, letters, name, position).await?,
                None => false,
            };
            return Ok(if dead { Waited::Parked } else { Waited::Reached });
        }
        if checkpoint.is_none() && checkpoints.owner(name).await?.is_none() {
            return Err(
                Error::new(ErrorKind::NotFound, "wait for a handler that never ran").with("handler", name)
            );
        }
        let now = clock.now();
        if now >= deadline {
            return Ok(Waited::TimedOut);
        }
        clock.sleep(LOOK_EVERY.min(deadline.since(now))).await;
    }
}

/// Whether the event at this position is a dead letter of the present generation; those from before a reset are no
/// news.
async fn has_letter(
    checkpoints: &dyn OwnedCheckpoints,
    letters: &dyn DeadLetters,
    name: &str,
    position: Position,
) -> Result<bool, Error> {
    let generation = checkpoints.owner(name).await?.map_or(0, |owner| owner.generation);
    // Letters of one position are a few, one a generation.
    let page = letters.list(name, position.previous(), 100).await?;
    let mut here = page.iter().filter(|letter| letter.event.position() == position);
    Ok(here.any(|letter| letter.generation == generation))
}

/// The rows of the newest version: an older one has been replaced.
fn newest(states: Vec<ProjectionState>, name: &ProjectionName) -> Vec<ProjectionState> {
    let mut rows: Vec<_> = states.into_iter().filter(|state| state.key.name == *name).collect();
    let version = rows.iter().map(|state| state.key.version).max();
    rows.retain(|state| Some(state.key.version) == version);
    rows
}

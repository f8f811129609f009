//! Read your own writes: wait until a projection has settled a position (E-13).

use std::time::Duration;

use highwater_core::model::{FailedState, Position, ProjectionName, ProjectionState};
use highwater_core::ports::{Clock, FailedQuery, ProjectionControl};
use highwater_core::{Error, ErrorKind};

/// How often the committed state is looked at when nothing hints at a change.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What waiting came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// Everything up to the position is settled, and the event there, if it is one of the projection's, applied.
    Reached,
    /// Not within the time.
    TimedOut,
    /// Everything up to the position is settled, but the event there is parked or held.
    Parked,
    /// An operator has paused the projection before the position.
    Paused,
    /// The projection cannot go on.
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

/// The rows of the newest version: an older one has been replaced.
fn newest(states: Vec<ProjectionState>, name: &ProjectionName) -> Vec<ProjectionState> {
    let mut rows: Vec<_> = states.into_iter().filter(|state| state.key.name == *name).collect();
    let version = rows.iter().map(|state| state.key.version).max();
    rows.retain(|state| Some(state.key.version) == version);
    rows
}

//! `rebuild`: the read model is emptied and made anew from the log, in one transaction (E-24).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::{Position, ProjectionKey, ProjectionPart, ProjectionState};
use highwater_core::ports::{Claim, EventLog, Locked, ReadModelStore, UnitOfWork};
use highwater_core::{Error, ErrorKind};

use super::definition::ProjectionDefinition;
use super::start::start_position;
use crate::environment::Environment;

/// Emptying a large table takes its time; it is one statement that nobody waits behind but this projection.
const LIMIT: Duration = Duration::from_secs(3600);

/// Empties the read model, forgets its failures, and sets the state of all partitions back to the start under a new
/// generation; the next run fills it again. The number of partitions may be another one than before. A crash or a
/// dropped future leaves everything as it was. The answer is the state of the first partition.
///
/// # Errors
/// `Busy` while another instance owns the projection or a partition of it, `NotFound` if it never ran at this
/// version, or why it could not be emptied.
pub fn rebuild<S: ReadModelStore>(
    store: &S,
    log: &dyn EventLog,
    definition: &Arc<ProjectionDefinition<S::Tx>>,
    environment: &Environment,
) -> impl Future<Output = Result<ProjectionState, Error>> + Send {
    async move {
        let key = definition.key();
        let known = store
            .transact(definition.settings.batch_deadline, move |mut unit| async move {
                let states = states_of(&mut unit, &key).await?;
                unit.rollback().await?;
                Ok(states)
            })
            .await?;
        let beyond = known.last().map_or(0, |state| state.key.partition.saturating_add(1));
        let mut leases = Vec::new();
        for partition in 0..definition.partitions().max(beyond) {
            match store.claim(&ProjectionPart::new(definition.name.clone(), partition)).await? {
                Claim::Owned(lease) => leases.push(lease),
                Claim::Busy => {
                    return Err(Error::new(
                        ErrorKind::Busy,
                        "rebuild a projection that is running: stop its owner first",
                    )
                    .with("projection", &definition.name));
                }
            }
        }
        let start = start_position(log, definition.settings.start_from).await?;
        let definition = definition.clone();
        let wall = environment.clock.wall_micros();
        let rebuilt = store.transact(LIMIT, move |unit| reset(unit, definition, known, start, wall)).await;
        drop(leases);
        rebuilt
    }
}

/// The rows of this version, by partition.
async fn states_of<U: UnitOfWork>(unit: &mut U, key: &ProjectionKey) -> Result<Vec<ProjectionState>, Error> {
    let mut states = unit.states(&key.name).await?;
    states.retain(|state| state.key.version == key.version);
    Ok(states)
}

async fn reset<U: UnitOfWork>(
    mut unit: U,
    definition: Arc<ProjectionDefinition<U::Tx>>,
    known: Vec<ProjectionState>,
    start: Option<Position>,
    wall_micros: i64,
) -> Result<ProjectionState, Error> {
    let key = definition.key();
    let contended =
        || Error::new(ErrorKind::Contention, "lock the projection's state").with("projection", &key);
    let mut states = Vec::new();
    for state in states_of(&mut unit, &key).await? {
        match unit.lock(&state.key).await? {
            // One that came since has no claim of ours.
            Locked::Acquired(found) if known.iter().any(|known| known.key == state.key) => {
                states.push(found.state)
            }
            Locked::Acquired(_) | Locked::Missing | Locked::Busy => {
                unit.rollback().await?;
                return Err(contended());
            }
        }
    }
    let Some(generation) = states.iter().map(|state| state.generation).max() else {
        unit.rollback().await?;
        return Err(Error::new(
            ErrorKind::NotFound,
            "rebuild a projection that never ran at this version: run it, and it is built",
        )
        .with("projection", &key));
    };
    definition.projection.clear(unit.tx()).await.map_err(|failure| {
        Error::new(ErrorKind::Schema, "empty the read model")
            .with("projection", &key)
            .because(failure.message())
    })?;
    let (filter, sql) = (definition.part(0).filter.fingerprint(), definition.sql_fingerprint.clone());
    let paused = states.iter().any(|state| state.paused);
    let next = |partition| {
        let key = ProjectionKey { partition, ..key.clone() };
        let before = states.iter().find(|state| state.key == key).cloned();
        let before = before.unwrap_or_else(|| ProjectionState::new(key, start, filter.clone(), sql.clone()));
        ProjectionState {
            generation: generation + 1,
            filter_fingerprint: filter.clone(),
            sql_fingerprint: sql.clone(),
            epoch: before.epoch + 1,
            paused,
            updated_at_micros: wall_micros,
            ..before.rebuilt(start)
        }
    };
    for state in &states {
        unit.clear_failed(&state.key).await?;
        if state.key.partition > 0 {
            unit.remove_state(&state.key).await?;
        }
    }
    for partition in 1..definition.partitions() {
        unit.create_state(&next(partition)).await?;
    }
    let first = next(0);
    let read = match states.into_iter().find(|state| state.key.partition == 0) {
        Some(state) => state,
        None => {
            unit.create_state(&first).await?;
            first.clone()
        }
    };
    unit.commit(&read, &first).await?;
    Ok(first)
}

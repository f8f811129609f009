//! `rebuild`: the read model is emptied and made anew from the log, in one transaction (E-24).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::ProjectionState;
use highwater_core::ports::{Claim, EventLog, Locked, ReadModelStore, UnitOfWork};
use highwater_core::{Error, ErrorKind};

use super::definition::ProjectionDefinition;
use super::start::start_position;
use crate::environment::Environment;

/// Emptying a large table takes its time; it is one statement that nobody waits behind but this projection.
const LIMIT: Duration = Duration::from_secs(3600);

/// Empties the read model, forgets its failures, and sets the state back to the start under a new generation; the
/// next run fills it again. A crash or a dropped future leaves everything as it was.
///
/// # Errors
/// `Busy` while another instance owns the projection, `NotFound` if it never ran at this version, or why it
/// could not be emptied.
pub fn rebuild<S: ReadModelStore>(
    store: &S,
    log: &dyn EventLog,
    definition: &Arc<ProjectionDefinition<S::Tx>>,
    environment: &Environment,
) -> impl Future<Output = Result<ProjectionState, Error>> + Send {
    async move {
        let _lease = match store.claim(&definition.name).await? {
            Claim::Owned(lease) => lease,
            Claim::Busy => {
                return Err(Error::new(
                    ErrorKind::Busy,
                    "rebuild a projection that is running: stop its owner first",
                )
                .with("projection", &definition.name));
            }
        };
        let start = start_position(log, definition.settings.start_from).await?;
        let definition = definition.clone();
        let wall = environment.clock.wall_micros();
        store
            .transact(LIMIT, move |mut unit| async move {
                let key = definition.key();
                let state = match unit.lock(&key).await? {
                    Locked::Acquired(acquired) => acquired.state,
                    Locked::Missing => {
                        unit.rollback().await?;
                        return Err(Error::new(
                            ErrorKind::NotFound,
                            "rebuild a projection that never ran at this version: run it, and it is built",
                        )
                        .with("projection", &key));
                    }
                    Locked::Busy => {
                        unit.rollback().await?;
                        return Err(Error::new(ErrorKind::Contention, "lock the projection's state")
                            .with("projection", &key));
                    }
                };
                definition.projection.clear(unit.tx()).await.map_err(|failure| {
                    Error::new(ErrorKind::Schema, "empty the read model")
                        .with("projection", &key)
                        .because(failure.message())
                })?;
                unit.clear_failed(&key).await?;
                let next = ProjectionState {
                    filter_fingerprint: definition.filter.fingerprint(),
                    sql_fingerprint: definition.sql_fingerprint.clone(),
                    epoch: state.epoch + 1,
                    updated_at_micros: wall,
                    ..state.rebuilt(start)
                };
                unit.commit(&state, &next).await?;
                Ok(next)
            })
            .await
    }
}

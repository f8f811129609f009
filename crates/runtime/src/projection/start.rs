//! The start of an owner: the state row, the schema, the checks, the new epoch (E-6, E-7, E-12).
//!
//! The log is read between two transactions, never inside one: a store with a single connection must do.

use std::future::Future;
use std::sync::Arc;

use highwater_core::model::{Filter, Position, ProjectionKey, ProjectionState};
use highwater_core::ports::{EventLog, Locked, ReadModelStore, Seen, UnitOfWork};
use highwater_core::settings::StartFrom;
use highwater_core::{Error, ErrorKind, Failure};

use super::definition::{ProjectionDefinition, StartOptions};
use super::read_model_tables::{Setup, own_tables};
use crate::environment::Environment;

/// Opens the projection's state under a new epoch.
///
/// # Errors
/// Kinds that never heal by waiting (`Invalid`, `Schema`, `CheckpointMismatch`) fault the runner; others are
/// tried again.
pub(super) fn start<S: ReadModelStore>(
    store: &S,
    log: &dyn EventLog,
    definition: &Arc<ProjectionDefinition<S::Tx>>,
    environment: &Environment,
    options: StartOptions,
) -> impl Future<Output = Result<ProjectionState, Error>> + Send {
    async move {
        let limit = definition.settings.batch_deadline;
        let key = definition.key();
        let seen = store
            .transact(limit, move |mut unit| async move {
                let locked = unit.lock(&key).await?;
                unit.rollback().await?;
                match locked {
                    Locked::Acquired(acquired) => Ok(Some(acquired.state)),
                    Locked::Missing => Ok(None),
                    Locked::Busy => Err(busy(&key)),
                }
            })
            .await?;
        if let Some(state) = &seen
            && !options.trust_checkpoint
        {
            check_log(log, state, definition, environment).await?;
        }
        let start = start_position(log, definition.settings.start_from).await?;
        let definition = definition.clone();
        let wall = environment.clock.wall_micros();
        store.transact(limit, move |unit| open(unit, definition, seen, start, options, wall)).await
    }
}

/// Behind which position a projection without a state begins.
pub(super) async fn start_position(
    log: &dyn EventLog,
    start_from: StartFrom,
) -> Result<Option<Position>, Error> {
    Ok(match start_from {
        StartFrom::Beginning => None,
        StartFrom::End => log.head().await?,
        StartFrom::Position(position) => Some(position),
    })
}

async fn open<U: UnitOfWork>(
    mut unit: U,
    definition: Arc<ProjectionDefinition<U::Tx>>,
    seen: Option<ProjectionState>,
    start: Option<Position>,
    options: StartOptions,
    wall_micros: i64,
) -> Result<ProjectionState, Error> {
    let key = definition.key();
    let state = match (unit.lock(&key).await?, seen) {
        (Locked::Busy, _) => return Err(busy(&key)),
        (Locked::Missing, None) => begin(&mut unit, &definition, start, wall_micros).await?,
        (Locked::Acquired(acquired), Some(seen)) if acquired.state == seen => {
            check_partitions(&acquired.state, &definition)?;
            own_tables(&mut unit, &definition, Setup::Done).await?;
            acquired.state
        }
        _moved => {
            return Err(moved(&key));
        }
    };
    definition
        .projection
        .check(unit.tx())
        .await
        .map_err(|failure| refused("check the projection", &key, failure))?;
    let mut next = state.claimed();
    let filter = definition.filter.fingerprint();
    let changed =
        match (state.filter_fingerprint == filter, state.sql_fingerprint == definition.sql_fingerprint) {
            (true, true) => None,
            (false, true) => Some("filter"),
            (true, false) => Some("SQL"),
            (false, false) => Some("filter and SQL"),
        };
    if let Some(what) = changed {
        if !options.accept_changes {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "start a projection whose {what} changed at the same version: raise its version or rebuild it \
                     to apply the change to all events, or accept the change to go on from here with it"
                ),
            )
            .with("projection", &key));
        }
        next.filter_fingerprint = filter;
        next.sql_fingerprint.clone_from(&definition.sql_fingerprint);
    }
    if options.trust_checkpoint {
        next.last = None;
    }
    next.updated_at_micros = wall_micros;
    unit.commit(&state, &next).await?;
    Ok(next)
}

/// The first start of a version: the rows of all partitions and the read model come about in one transaction, of
/// the first partition's owner. So there is one set-up, whoever owns the others; all begin behind the same
/// position; and whoever waits for a position sees every partition that has to reach it.
async fn begin<U: UnitOfWork>(
    unit: &mut U,
    definition: &ProjectionDefinition<U::Tx>,
    start: Option<Position>,
    wall_micros: i64,
) -> Result<ProjectionState, Error> {
    let key = definition.key();
    let states = unit.states(&key.name).await?;
    if let Some(newer) = states.iter().map(|state| state.key.version).filter(|&it| it > key.version).max() {
        return Err(Error::new(
            ErrorKind::Invalid,
            "start a projection at an older version than has run: raise its version, or give it another name",
        )
        .with("projection", &key)
        .with("has run", format_args!("v{newer}")));
    }
    if let Some(sibling) = states.iter().find(|state| state.key.version == key.version) {
        check_partitions(sibling, definition)?;
        // All come about at once: between the two looks that we took.
        if states.iter().any(|state| state.key == key) {
            return Err(moved(&key));
        }
        return Err(Error::new(
            ErrorKind::Invalid,
            "start a partition whose state is gone while others have theirs: rebuild the projection",
        )
        .with("projection", &key));
    }
    if key.partition > 0 {
        return Err(Error::new(
            ErrorKind::Contention,
            "wait for the first partition, whose owner sets the read model up",
        )
        .with("projection", &key));
    }
    let fingerprint = definition.filter.fingerprint();
    let sql = &definition.sql_fingerprint;
    let fresh = |partition| ProjectionState {
        updated_at_micros: wall_micros,
        ..ProjectionState::new(
            ProjectionKey { partition, ..key.clone() },
            start,
            fingerprint.clone(),
            sql.clone(),
        )
    };
    for partition in 0..partitions_of(definition) {
        unit.create_state(&fresh(partition)).await?;
    }
    own_tables(unit, definition, Setup::First).await?;
    Ok(fresh(0))
}

/// A stream must not change its partition under a stored position: events would be passed over, or applied twice.
/// So this cannot be accepted, unlike another filter.
fn check_partitions<Tx>(state: &ProjectionState, definition: &ProjectionDefinition<Tx>) -> Result<(), Error> {
    let (was, is) = (Filter::partitions_of(&state.filter_fingerprint), partitions_of(definition));
    if was == is {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "start a projection whose number of partitions changed at the same version: raise its version or rebuild \
             it, or set `partitions` back to {was}"
        ),
    )
    .with("projection", definition.key())
    .with("partitions", is))
}

fn partitions_of<Tx>(definition: &ProjectionDefinition<Tx>) -> u32 {
    definition.filter.partition.map_or(1, |partition| partition.of)
}

/// Whether the log is the one that the state was read from (E-7).
pub(super) async fn check_log<Tx>(
    log: &dyn EventLog,
    state: &ProjectionState,
    definition: &ProjectionDefinition<Tx>,
    environment: &Environment,
) -> Result<(), Error> {
    let mismatch = |what: String| {
        Error::new(
            ErrorKind::CheckpointMismatch,
            format!(
                "resume from the checkpoint: {what}; this is another log, or it was restored from a backup: name the \
                 right one; or rebuild the projection from this one (`highwater rebuild {name}`); or rewind it, if its \
                 read model may keep what it has (`highwater rewind {name} --to head`); or trust the checkpoint, if \
                 you know that the log goes on from there (`highwater run --trust {name}`)",
                name = definition.name
            ),
        )
        .with("projection", definition.key())
    };
    let Some(scanned) = state.scanned else { return Ok(()) };
    let head = log.head().await?;
    let empty_start = state.last.is_none();
    if head.is_none_or(|head| head < scanned) && !(empty_start && head.is_none()) {
        let head = head.map_or_else(|| "is empty".to_owned(), |head| format!("ends at {head}"));
        return Err(mismatch(format!("it stands at {scanned} and the log {head}")));
    }
    let Some(last) = &state.last else { return Ok(()) };
    match log.event_at(last.position).await? {
        Some(event) if last.is(&event) => Ok(()),
        Some(event) => Err(mismatch(format!(
            "event {} at {} was the last one processed, and {} stands there now",
            last.id,
            last.position,
            event.id()
        ))),
        None => {
            let absent = Seen::CheckpointEventAbsent { position: last.position };
            environment.observer.seen(&definition.name, &absent);
            Ok(())
        }
    }
}

fn moved(key: &ProjectionKey) -> Error {
    Error::new(ErrorKind::Contention, "start a projection: its state moved meanwhile").with("projection", key)
}

fn busy(key: &ProjectionKey) -> Error {
    Error::new(ErrorKind::Contention, "lock the projection's state").with("projection", key)
}

/// A failure of the projection's own set-up is as fatal as its cause says.
pub(super) fn refused(what: &'static str, key: &ProjectionKey, failure: Failure) -> Error {
    let mut next = Some(failure.source());
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<Error>()
            && error.retryable() != highwater_core::Retry::Never
            && error.kind() != ErrorKind::Other
        {
            return Error::new(error.kind(), what).with("projection", key).because(failure.message());
        }
        next = cause.source();
    }
    Error::new(ErrorKind::Schema, what).with("projection", key).because(failure.message())
}

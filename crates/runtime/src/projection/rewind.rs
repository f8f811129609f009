//! `rewind`: a projection is set back to an earlier position, and its read model kept (E-7).
//!
//! For a log that was restored from a backup which is older than the checkpoint, or for a read model that was
//! itself restored: then only the position is wrong, and a rebuild would throw away what is right. What stands
//! behind the position is applied again. So it is never done unasked, and never forward: events that nobody has
//! applied would be passed over without a record.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::model::{
    FailedEvent, Filter, LastEvent, Partition, Position, ProjectionKey, ProjectionState,
};
use highwater_core::ports::{
    Claim, EventLog, FailedQuery, Limit, Locked, ProjectionControl, ReadModelStore, UnitOfWork,
};
use highwater_core::{Error, ErrorKind};

use super::definition::ProjectionDefinition;
use crate::environment::Environment;

const REWIND: &str = "rewind a projection";
/// It moves one row and deletes some; what takes time is waiting for others that write.
const LIMIT: Duration = Duration::from_secs(60);
const PAGE: usize = 1_000;
/// How much of the log is read at a time, backwards, in the log's own numbers; then eight times as much, and so on.
const FIRST_STRIDE: u64 = 64;

/// What is asked of [`rewind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewindTo {
    /// The last position that is to count as applied; `None` = none, the next run begins at the start of the log.
    pub position: Option<Position>,
    /// Only find out what it would come to, and whether it would be refused.
    pub dry_run: bool,
}

/// What a rewind comes to, over all partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewound {
    /// Where the projection stood.
    pub from: Option<Position>,
    /// Where it stands now.
    pub to: Option<Position>,
    /// How many events of the log the next run applies that were applied before; `None` where it cannot count.
    pub events_again: Option<u64>,
    /// How many failed events were forgotten: those behind the position, which will be met again.
    pub failed_forgotten: u64,
}

/// Sets a projection's state back to a position of the log. The read model keeps what it has, so events behind the
/// position are applied to it a second time: do so only where that does no harm, or when the read model was restored
/// to that position, too. Failed events behind the position are forgotten, those up to it stay. A partition that
/// stands before the position is left where it is. A crash or a dropped future leaves each partition either as it
/// was or rewound.
///
/// # Errors
/// `Busy` while an instance owns it; `NotFound` if it never ran at this version; `Invalid` for a position that the
/// projection, or the log, has not reached; `Contention` if others write; or why log or store cannot be asked.
pub fn rewind<S: ReadModelStore>(
    store: &S,
    log: &dyn EventLog,
    control: &dyn ProjectionControl,
    definition: &Arc<ProjectionDefinition<S::Tx>>,
    environment: &Environment,
    to: RewindTo,
) -> impl Future<Output = Result<Rewound, Error>> + Send {
    async move {
        let mut leases = Vec::new();
        let known = states_of(control, definition).await?;
        for state in &known {
            match store.claim(&state.key.part()).await? {
                Claim::Owned(lease) => leases.push(lease),
                Claim::Busy => {
                    return Err(Error::new(
                        ErrorKind::Busy,
                        "rewind a projection that is running: stop its owner first",
                    )
                    .with("projection", &definition.name));
                }
            }
        }
        // Whoever owned it until now may have moved it meanwhile; from here on nobody does.
        let states = states_of(control, definition).await?;
        let from = states.iter().filter_map(|state| state.scanned).max();
        check_position(log, definition, to.position, from).await?;
        let mut rewound = Rewound { from, to: to.position, events_again: Some(0), failed_forgotten: 0 };
        for state in states.into_iter().filter(|state| state.scanned >= to.position) {
            let filter = filter_of(definition, &state);
            let failed = failed_behind(control, &state.key, to.position).await?;
            let again = log.count_between(to.position, state.scanned, &filter).await?;
            rewound.events_again = rewound.events_again.zip(again).map(|(sum, more)| sum + more);
            rewound.failed_forgotten += u64::try_from(failed.len()).unwrap_or(u64::MAX);
            if to.dry_run {
                continue;
            }
            let last = match to.position {
                Some(through) => last_event(log, through, &filter).await?,
                None => None,
            };
            let next = ProjectionState {
                updated_at_micros: environment.clock.wall_micros(),
                ..state.rewound(to.position, last)
            };
            store.transact(LIMIT, move |unit| commit(unit, state, next, failed)).await?;
        }
        drop(leases);
        Ok(rewound)
    }
}

async fn states_of<Tx>(
    control: &dyn ProjectionControl,
    definition: &ProjectionDefinition<Tx>,
) -> Result<Vec<ProjectionState>, Error> {
    let mut states = control.states().await?;
    states.retain(|state| state.key.name == definition.name && state.key.version == definition.version);
    if states.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "rewind a projection that never ran at this version")
            .with("projection", &definition.name)
            .with("version", definition.version));
    }
    Ok(states)
}

async fn check_position<Tx>(
    log: &dyn EventLog,
    definition: &ProjectionDefinition<Tx>,
    to: Option<Position>,
    from: Option<Position>,
) -> Result<(), Error> {
    let refused = |why: String| {
        Error::new(ErrorKind::Invalid, REWIND).with("projection", &definition.name).because(why)
    };
    let shown =
        |at: Option<Position>| at.map_or_else(|| "before the first event".to_owned(), |at| at.to_string());
    if to > from {
        return Err(refused(format!(
            "it stands at {}, and {} is further on: the events between would be passed over without a record; to \
             begin further on, give it a higher version and `start_from`",
            shown(from),
            shown(to)
        )));
    }
    let head = log.head().await?;
    if to > head {
        return Err(refused(format!("the log ends at {}, which is before {}", shown(head), shown(to))));
    }
    Ok(())
}

/// What the partition of this state is for.
fn filter_of<Tx>(definition: &ProjectionDefinition<Tx>, state: &ProjectionState) -> Filter {
    let of = Filter::partitions_of(&state.filter_fingerprint);
    let partition = Partition { index: state.key.partition, of };
    Filter { partition: Some(partition).filter(|it| !it.is_all()), ..definition.filter.clone() }
}

async fn failed_behind(
    control: &dyn ProjectionControl,
    key: &ProjectionKey,
    to: Option<Position>,
) -> Result<Vec<FailedEvent>, Error> {
    let mut query = FailedQuery {
        projection: Some(key.name.clone()),
        version: Some(key.version),
        after: to,
        ..FailedQuery::default()
    };
    let mut found = Vec::new();
    loop {
        let page = control.failed_events(&query, PAGE).await?;
        let next = page.last().filter(|_| page.len() == PAGE).map(|last| last.position);
        found.extend(page.into_iter().filter(|row| row.key == *key));
        match next {
            Some(next) => query.after = Some(next),
            None => return Ok(found),
        }
    }
}

/// The last event at or before `through` that the filter lets through. A log is read forward only, so it is read in
/// strides, each behind the one before it and eight times as long: what is read at most is little more than the log.
async fn last_event(
    log: &dyn EventLog,
    through: Position,
    filter: &Filter,
) -> Result<Option<LastEvent>, Error> {
    let (mut stride, mut end) = (FIRST_STRIDE, through);
    loop {
        let after = end.commit().checked_sub(stride).map(|commit| Position::new(commit, 0));
        let found = last_between(log, after, end, filter).await?;
        match after {
            None => return Ok(found),
            Some(_) if found.is_some() => return Ok(found),
            Some(after) => end = after,
        }
        stride = stride.saturating_mul(8);
    }
}

async fn last_between(
    log: &dyn EventLog,
    after: Option<Position>,
    through: Position,
    filter: &Filter,
) -> Result<Option<LastEvent>, Error> {
    let mut reader = log.open(after, filter).await?;
    let mut last = None;
    loop {
        let batch = reader.next(Limit { events: PAGE, bytes: 8 << 20 }).await?;
        let inside = batch.events.iter().take_while(|event| event.position() <= through);
        last = inside.last().map(LastEvent::from).or(last);
        if batch.caught_up || batch.scanned >= Some(through) {
            return Ok(last);
        }
    }
}

async fn commit<U: UnitOfWork>(
    mut unit: U,
    seen: ProjectionState,
    next: ProjectionState,
    failed: Vec<FailedEvent>,
) -> Result<(), Error> {
    let moved = || {
        Error::new(ErrorKind::Contention, "rewind a projection whose state others hold or have moved")
            .with("projection", &seen.key)
    };
    let state = match unit.lock(&seen.key).await? {
        Locked::Acquired(acquired) => acquired.state,
        Locked::Missing | Locked::Busy => return Err(moved()),
    };
    if (state.epoch, state.generation, state.scanned) != (seen.epoch, seen.generation, seen.scanned) {
        return Err(moved());
    }
    for row in &failed {
        unit.resolve_failed(&seen.key, row.position).await?;
    }
    // A pause that came since stays.
    let next = ProjectionState { paused: state.paused, ..next };
    unit.commit(&state, &next).await
}

//! How far a projection is behind the log, and how many of its events are set aside: from committed data,
//! whichever process runs it. What `status` prints, and what the metrics and the health endpoints say.

use serde::Serialize;

use highwater_core::Error;
use highwater_core::model::{FailedState, Filter, Position, ProjectionKey};
use highwater_core::ports::{EventLog, FailedQuery, Limit, ProjectionControl};

/// How far behind the log's head.
#[derive(Debug, Serialize, Default, Clone, Copy)]
pub(crate) struct Lag {
    pub(crate) lag_positions: Option<u64>,
    pub(crate) lag_events: Option<u64>,
    pub(crate) lag_seconds: Option<u64>,
}

/// Failed events by state.
#[derive(Debug, Serialize, Default, Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) retrying: u64,
    pub(crate) parked: u64,
    pub(crate) recorded: u64,
    pub(crate) held: u64,
}

/// The log's end.
pub(crate) struct Head {
    pub(crate) position: Option<Position>,
    time_micros: Option<i64>,
}

impl Head {
    pub(crate) async fn of(log: &dyn EventLog) -> Result<Self, Error> {
        let position = log.head().await?;
        let event = match position {
            Some(position) => log.event_at(position).await?,
            None => None,
        };
        Ok(Self { position, time_micros: event.map(|event| event.time_micros()) })
    }
}

/// The lag of a projection that has looked at everything up to `scanned`.
pub(crate) async fn lag(
    log: &dyn EventLog,
    head: &Head,
    scanned: Option<Position>,
    last_time: Option<i64>,
    filter: Option<&Filter>,
) -> Result<Lag, Error> {
    let Some(end) = head.position.filter(|end| scanned.is_none_or(|scanned| scanned < *end)) else {
        return Ok(Lag { lag_positions: Some(0), lag_events: Some(0), lag_seconds: Some(0) });
    };
    let lag_events = match filter {
        Some(filter) => log.count_between(scanned, Some(end), filter).await?,
        None => None,
    };
    let looked_at = match scanned {
        Some(scanned) => log.event_at(scanned).await?.map(|event| event.time_micros()).or(last_time),
        None => None,
    };
    // Nothing was looked at, or what was is gone: then the oldest event that waits tells the time.
    let since = match looked_at {
        Some(time) => Some(time),
        None => first_time(log, scanned).await?,
    };
    let lag_seconds = head
        .time_micros
        .zip(since)
        .map(|(end, since)| u64::try_from(end.saturating_sub(since)).unwrap_or(0) / 1_000_000);
    let lag_positions = end.commit().checked_sub(scanned.map_or(0, Position::commit));
    Ok(Lag { lag_positions, lag_events, lag_seconds })
}

async fn first_time(log: &dyn EventLog, after: Option<Position>) -> Result<Option<i64>, Error> {
    let mut reader = log.open(after, &Filter::all()).await?;
    loop {
        let batch = reader.next(Limit { events: 1, bytes: usize::MAX }).await?;
        if let Some(first) = batch.events.first() {
            return Ok(Some(first.time_micros()));
        }
        if batch.caught_up {
            return Ok(None);
        }
    }
}

/// How many failed events there are, by state.
pub(crate) async fn failed(control: &dyn ProjectionControl, key: &ProjectionKey) -> Result<Failed, Error> {
    const PAGE: usize = 1_000;
    let mut failed = Failed::default();
    let mut query = FailedQuery {
        projection: Some(key.name.clone()),
        version: Some(key.version),
        ..FailedQuery::default()
    };
    loop {
        let page = control.failed_events(&query, PAGE).await?;
        for event in page.iter().filter(|event| event.key == *key) {
            *match event.state {
                FailedState::Retrying => &mut failed.retrying,
                FailedState::Parked => &mut failed.parked,
                FailedState::Recorded => &mut failed.recorded,
                FailedState::Held => &mut failed.held,
            } += 1;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => query.after = Some(last.position),
            _ => return Ok(failed),
        }
    }
}

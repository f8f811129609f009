//! `highwater status`: where each projection and each handler stands, from committed data, whichever process runs it.
//!
//! JSON: `{"head", "held_back": {"position", "age_seconds", "holder"}, "projections": [{"name", "version", "partition", "phase", "fault", "owner", "position",
//! "last_event", "lag_positions", "lag_events", "lag_seconds", "retrying", "parked", "recorded", "held",
//! "generation", "epoch", "updated_at", "in_config"}], "handlers": [{"name", "phase", "owner", "position",
//! "lag_positions", "lag_events", "lag_seconds", "dead_letters", "generation", "epoch", "updated_at"}]}`.
//!
//! * `phase`: `not-started` (in the config, never run) · `paused` · `faulted` · `retrying-event` ·
//!   `catching-up` · `live` · `stopped` (nobody owns it).
//! * `held_back`: an appender that has not ended and keeps readers from what stands behind `position` (null where
//!   nothing does); `age_seconds` is null where the log is not told.
//! * `position`: everything up to here is settled. `head`: the log's last event.
//! * Lag is measured against the log's head: `lag_positions` in the log's own numbers (append calls in an SQL
//!   log), `lag_events` in events of the projection that it has not looked at (null where the log cannot
//!   count, or the projection is not in the config), `lag_seconds` between the times of the head event and of
//!   the last event that was looked at. All are 0 for a projection that has caught up, however long ago the
//!   last event was.
//! * Of a handler, `position` is its stored checkpoint, and `phase` is `not-started`, `stopped` (nobody owns it),
//!   `catching-up` or `live`. Whether it is stalled or faulted, and how often it has tried an event, only the process
//!   that runs it knows: `/health/ready` there says so.

use serde::Serialize;

use highwater_core::Error;
use highwater_core::model::{
    FailedState, Filter, Position, ProjectionKey, ProjectionName, ProjectionState, rfc3339,
};
use highwater_core::ports::{EventLog, FailedQuery, ProjectionControl};

use crate::cli::args::Global;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::lag::{Failed, Head, Lag, failed, lag};
use crate::cli::output::{Table, Ui, count};
use crate::cli::session::{Access, Session};

use super::handler_status;

#[derive(Serialize)]
struct Status {
    head: Option<Position>,
    held_back: Option<Held>,
    projections: Vec<Row>,
    handlers: Vec<handler_status::Row>,
}

#[derive(Serialize)]
struct Held {
    position: Position,
    age_seconds: Option<u64>,
    holder: String,
}

#[derive(Serialize)]
struct Row {
    name: String,
    version: u32,
    partition: u32,
    phase: &'static str,
    fault: Option<String>,
    owner: Option<String>,
    position: Option<Position>,
    last_event: Option<Position>,
    #[serde(flatten)]
    lag: Lag,
    #[serde(flatten)]
    failed: Failed,
    generation: u64,
    epoch: u64,
    updated_at: Option<String>,
    in_config: bool,
}

pub(super) async fn run(global: &Global, ui: &Ui) -> Result<Exit, CliError> {
    let session = Session::open(global, Access::Read).await?;
    let status = status(&session).await?;
    ui.result(&status, text)?;
    Ok(Exit::Ok)
}

async fn status(session: &Session) -> Result<Status, CliError> {
    let (log, control) = (&*session.backends.log, &*session.backends.control);
    let head = Head::of(log).await?;
    let held_back = log.held_back().await?.map(|held| Held {
        position: held.position,
        age_seconds: held.age.map(|age| age.as_secs()),
        holder: held.holder,
    });
    let states = control.states().await?;
    let mut projections = Vec::new();
    for configured in &session.config.projections {
        let spec = &configured.spec;
        let key = ProjectionKey { name: spec.name.clone(), version: spec.version, partition: 0 };
        let is_it =
            |state: &&ProjectionState| state.key.name == spec.name && state.key.version == spec.version;
        if !states.iter().any(|state| is_it(&state)) {
            projections.push(not_started(log, &head, &key, &spec.filter).await?);
        }
        for state in states.iter().filter(is_it) {
            projections.push(row(log, control, &head, state, Some(&spec.filter)).await?);
        }
    }
    for state in &states {
        let configured = session.config.projection(&state.key.name);
        if configured.is_none_or(|configured| configured.spec.version != state.key.version) {
            projections.push(row(log, control, &head, state, None).await?);
        }
    }
    let handlers = handler_status::rows(session, &head).await?;
    Ok(Status { head: head.position, held_back, projections, handlers })
}

async fn row(
    log: &dyn EventLog,
    control: &dyn ProjectionControl,
    head: &Head,
    state: &ProjectionState,
    filter: Option<&Filter>,
) -> Result<Row, Error> {
    let owner = control.owner(&state.key.part()).await?.map(|owner| owner.name);
    let failed = failed(control, &state.key).await?;
    let lag = lag(log, head, state.scanned, state.last.as_ref().map(|last| last.time_micros), filter).await?;
    let phase = if state.paused {
        "paused"
    } else if state.fault.is_some() {
        "faulted"
    } else if owner.is_none() {
        "stopped"
    } else if failed.retrying > 0 {
        "retrying-event"
    } else if head.position > state.scanned {
        "catching-up"
    } else {
        "live"
    };
    Ok(Row {
        name: state.key.name.to_string(),
        version: state.key.version,
        partition: state.key.partition,
        phase,
        fault: state.fault.clone(),
        owner,
        position: state.scanned,
        last_event: state.last.as_ref().map(|last| last.position),
        lag,
        failed,
        generation: state.generation,
        epoch: state.epoch,
        updated_at: Some(rfc3339(state.updated_at_micros)),
        in_config: filter.is_some(),
    })
}

async fn not_started(
    log: &dyn EventLog,
    head: &Head,
    key: &ProjectionKey,
    filter: &Filter,
) -> Result<Row, Error> {
    Ok(Row {
        name: key.name.to_string(),
        version: key.version,
        partition: key.partition,
        phase: "not-started",
        fault: None,
        owner: None,
        position: None,
        last_event: None,
        lag: lag(log, head, None, None, Some(filter)).await?,
        failed: Failed::default(),
        generation: 0,
        epoch: 0,
        updated_at: None,
        in_config: true,
    })
}

/// Whether any of these projections has events that are set aside in this version.
pub(super) async fn any_set_aside(
    control: &dyn ProjectionControl,
    projections: &[(ProjectionName, u32)],
) -> Result<bool, Error> {
    for (name, version) in projections {
        let query = FailedQuery {
            projection: Some(name.clone()),
            version: Some(*version),
            states: vec![FailedState::Parked, FailedState::Held, FailedState::Recorded],
            ..FailedQuery::default()
        };
        if !control.failed_events(&query, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn text(status: &Status) -> String {
    let known = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), count);
    let place = |position: Option<Position>| position.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let mut table = Table::new(&[
        "projection",
        "#version",
        "phase",
        "#position",
        "#lag events",
        "#lag s",
        "#retrying",
        "#parked",
        "#recorded",
        "#held",
        "#gen",
        "#epoch",
        "owner",
    ]);
    for row in &status.projections {
        let name = if row.in_config { row.name.clone() } else { format!("{} (not in the config)", row.name) };
        table.row([
            name,
            row.version.to_string(),
            row.phase.to_owned(),
            place(row.position),
            known(row.lag.lag_events),
            known(row.lag.lag_seconds),
            count(row.failed.retrying),
            count(row.failed.parked),
            count(row.failed.recorded),
            count(row.failed.held),
            row.generation.to_string(),
            row.epoch.to_string(),
            row.owner.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let mut text = format!("log head: {}\n", place(status.head));
    match status.projections.as_slice() {
        [] if !status.handlers.is_empty() => {}
        _ => {
            text.push_str(&table.text("no projections: add a [[projection]] to the config"));
            text.push_str(if status.handlers.is_empty() { "" } else { "\n" });
        }
    }
    text.push_str(&handler_status::text(&status.handlers));
    if let Some(held) = &status.held_back {
        let age = held.age_seconds.map(|age| format!(" for {} s", count(age))).unwrap_or_default();
        text.push_str(&format!(
            "\nevents behind {} are held back{age} by an appender that has not ended, and lag does not count them: {}",
            held.position,
            crate::cli::output::plain(&held.holder)
        ));
    }
    for row in &status.projections {
        if let Some(fault) = &row.fault {
            text.push_str(&format!("\n{}: {}", row.name, crate::cli::output::plain(fault)));
        }
    }
    text
}

//! `highwater failed-events`: events that are not applied, and why.
//!
//! JSON of `list`: an array of `{"projection", "version", "generation", "position", "id", "stream",
//! "sequence", "type", "state", "class", "code", "message", "attempts", "first_failed", "last_failed",
//! "next_attempt", "replay_requested"}`; of `show`: one of these; of `retry`: `{"marked"}`.

use std::collections::BTreeSet;

use serde::Serialize;
use uuid::Uuid;

use highwater_core::model::{FailedEvent, FailedState, Position, ProjectionName, rfc3339};
use highwater_core::ports::FailedQuery;

use crate::cli::args::{FailedEvents, Global, Listed, Selected, Versions};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Table, Ui, count, plain};
use crate::cli::patience::patiently;
use crate::cli::session::{Access, Session};

/// A failed event for output.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) projection: String,
    version: u32,
    generation: u64,
    pub(super) position: Position,
    id: Uuid,
    pub(super) stream: String,
    pub(super) sequence: u64,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) state: &'static str,
    class: &'static str,
    code: Option<String>,
    pub(super) message: String,
    attempts: u32,
    first_failed: String,
    last_failed: String,
    next_attempt: Option<String>,
    replay_requested: bool,
}

impl From<&FailedEvent> for Row {
    fn from(event: &FailedEvent) -> Self {
        Self {
            projection: event.key.name.to_string(),
            version: event.key.version,
            generation: event.generation,
            position: event.position,
            id: event.id,
            stream: event.stream.to_string(),
            sequence: event.sequence,
            event_type: event.event_type.to_string(),
            state: event.state.as_str(),
            class: event.class.as_str(),
            code: event.code.clone(),
            message: event.message.clone(),
            attempts: event.attempts,
            first_failed: rfc3339(event.first_failed_micros),
            last_failed: rfc3339(event.last_failed_micros),
            next_attempt: event.next_attempt_micros.map(rfc3339),
            replay_requested: event.replay_requested,
        }
    }
}

impl Row {
    /// One fact a line.
    pub(super) fn facts(&self) -> String {
        let mut lines = vec![
            ("projection", format!("{} v{}, generation {}", self.projection, self.version, self.generation)),
            ("event", format!("{} {} ({})", self.position, plain(&self.event_type), self.id)),
            ("stream", format!("{} {}", plain(&self.stream), self.sequence)),
            ("state", self.state.to_owned()),
            ("attempts", format!("{}, from {} to {}", self.attempts, self.first_failed, self.last_failed)),
            (
                "class",
                self.code
                    .as_ref()
                    .map_or_else(|| self.class.to_owned(), |code| format!("{} (code {code})", self.class)),
            ),
            ("message", plain(&self.message)),
        ];
        if let Some(next) = &self.next_attempt {
            lines.push(("next try", next.clone()));
        }
        if self.replay_requested {
            lines.push(("replay", "requested".to_owned()));
        }
        lines.into_iter().map(|(key, value)| format!("{key:11} {value}\n")).collect()
    }
}

#[derive(Serialize)]
struct Marked {
    marked: u64,
}

pub(super) async fn run(global: &Global, args: FailedEvents, ui: &Ui) -> Result<Exit, CliError> {
    match args {
        FailedEvents::List { listed, state } => {
            let session = Session::open_without_checkpoints(global, Access::Read).await?;
            list(&session, &listed, state, "no failed events", ui).await
        }
        FailedEvents::Show { name, position, version } => {
            let session = Session::open_without_checkpoints(global, Access::Read).await?;
            let row = find(&session, &name, position, Versions::one(version)).await?;
            ui.result(&Row::from(&row), Row::facts)?;
            Ok(Exit::Ok)
        }
        FailedEvents::Retry(selected) => {
            let session = Session::open_without_checkpoints(global, Access::Write).await?;
            retry(&session, selected, Vec::new(), ui).await
        }
    }
}

/// Prints failed events in these states.
pub(super) async fn list(
    session: &Session,
    listed: &Listed,
    states: Vec<FailedState>,
    empty: &str,
    ui: &Ui,
) -> Result<Exit, CliError> {
    let most = listed.limit.get();
    let mut events = Vec::new();
    for (name, version) in meant(session, listed).await? {
        let query = FailedQuery {
            projection: Some(name),
            version,
            states: states.clone(),
            position: None,
            after: listed.after,
        };
        let left = most - events.len();
        events.extend(session.backends.control.failed_events(&query, left).await?);
        if events.len() >= most {
            break;
        }
    }
    let rows: Vec<Row> = events.iter().map(Row::from).collect();
    ui.result(&rows, |rows| {
        let mut table = Table::new(&[
            "projection",
            "#position",
            "stream",
            "#seq",
            "type",
            "state",
            "#attempts",
            "message",
        ]);
        for row in rows {
            table.row([
                row.projection.clone(),
                row.position.to_string(),
                short(&row.stream),
                row.sequence.to_string(),
                short(&row.event_type),
                row.state.to_owned(),
                row.attempts.to_string(),
                short(&row.message),
            ]);
        }
        table.text(empty)
    })?;
    if events.len() >= most {
        ui.say("there may be more: raise --limit, or go on with --projection NAME --after POSITION")?;
    }
    Ok(Exit::Ok)
}

/// The projections of a list, each with its version, by name: that of the config; of those that are not there any
/// more the newest; of all, where that is asked for.
async fn meant(session: &Session, listed: &Listed) -> Result<Vec<(ProjectionName, Option<u32>)>, CliError> {
    let names: BTreeSet<ProjectionName> = match &listed.projection {
        Some(name) => BTreeSet::from([name.clone()]),
        None => {
            let configured = session.config.projections.iter().map(|projection| projection.spec.name.clone());
            let states = session.backends.control.states().await?;
            configured.chain(states.into_iter().map(|state| state.key.name)).collect()
        }
    };
    let mut meant = Vec::new();
    for name in names {
        let version = match (&listed.projection, listed.versions.version) {
            // It is that of no projection in particular, and may be missing in some.
            (None, Some(version)) => Some(version),
            _ => version_of(session, &name, listed.versions).await?,
        };
        meant.push((name, version));
    }
    Ok(meant)
}

/// Which version of a projection is meant; `None` = all.
async fn version_of(
    session: &Session,
    name: &ProjectionName,
    versions: Versions,
) -> Result<Option<u32>, CliError> {
    let mut stored: Vec<u32> =
        session.states_of(name).await?.into_iter().map(|state| state.key.version).collect();
    stored.dedup();
    let configured = session.config.projection(name).map(|projection| projection.spec.version);
    match versions {
        Versions { all_versions: true, .. } => Ok(None),
        Versions { version: Some(version), .. } => {
            if stored.contains(&version) || configured == Some(version) {
                return Ok(Some(version));
            }
            let known: Vec<String> = stored.iter().map(u32::to_string).collect();
            let error = CliError::unknown(format!("projection `{name}` has no version {version}"));
            Err(error.hint(format!("there are {}", known.join(", "))))
        }
        Versions { version: None, .. } => Ok(configured.or(stored.last().copied())),
    }
}

/// A failed event by projection and position.
pub(super) async fn find(
    session: &Session,
    name: &ProjectionName,
    position: Position,
    versions: Versions,
) -> Result<FailedEvent, CliError> {
    let version = version_of(session, name, versions).await?;
    let query = FailedQuery {
        projection: Some(name.clone()),
        version,
        position: Some(position),
        ..FailedQuery::default()
    };
    let found = session.backends.control.failed_events(&query, 1).await?;
    found.into_iter().next().ok_or_else(|| {
        let of = version.map(|version| format!(" v{version}")).unwrap_or_default();
        CliError::unknown(format!("projection `{name}`{of} has no failed event at {position}"))
    })
}

/// Asks for another try.
pub(super) async fn retry(
    session: &Session,
    selected: Selected,
    states: Vec<FailedState>,
    ui: &Ui,
) -> Result<Exit, CliError> {
    let query = selection(session, selected, states).await?;
    let marked = patiently(|| session.backends.control.request_replay(&query)).await?;
    ui.result(&Marked { marked }, |done| match done.marked {
        0 => "nothing to try again".to_owned(),
        1 => "1 event will be tried again by the projection's owner".to_owned(),
        many => format!("{} events will be tried again by the projection's owner", count(many)),
    })?;
    Ok(Exit::Ok)
}

/// The query for one event, which must exist, or for all of a projection.
pub(super) async fn selection(
    session: &Session,
    selected: Selected,
    states: Vec<FailedState>,
) -> Result<FailedQuery, CliError> {
    let Selected { name, position, all: _, versions } = selected;
    let version = version_of(session, &name, versions).await?;
    if let Some(position) = position {
        let event = find(session, &name, position, versions).await?;
        if !states.is_empty() && !states.contains(&event.state) {
            return Err(CliError::unknown(format!(
                "the failed event of `{name}` at {position} is {}, so it has no dead letter",
                event.state
            )));
        }
    }
    Ok(FailedQuery { projection: Some(name), version, states, position, after: None })
}

/// Enough of a text to know it again in a table.
fn short(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST - 1).chain(['…']).collect()
}

//! `highwater config check` and `highwater config show`.
//!
//! JSON of `check`: `{"projections": [{"name", "sample_differences"}], "handlers": [name], "sample_events"}`; of `show`: an array
//! of `{"key", "value", "origin"}`.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use highwater::compose::{Address, Migrate, open_with_checkpoints};
use highwater_core::model::{EventParts, Expected, Position, RecordedEvent, category_of};

use crate::cli::args::{ConfigCommand, Global};
use crate::cli::config::{BackendUrl, Config};
use crate::cli::error::{CliError, violations};
use crate::cli::exit::Exit;
use crate::cli::ndjson::{Chunks, Source, Stop};
use crate::cli::output::{Table, Ui, count, plain};
use crate::cli::session::{Opened, read_config};

#[derive(Serialize)]
struct Checked {
    projections: Vec<CheckedProjection>,
    handlers: Vec<String>,
    sample_events: Option<usize>,
}

#[derive(Serialize)]
struct CheckedProjection {
    name: String,
    sample_differences: Option<Vec<String>>,
}

pub(super) async fn run(global: &Global, args: ConfigCommand, ui: &Ui) -> Result<Exit, CliError> {
    let config = read_config(global)?;
    match args {
        ConfigCommand::Show => {
            ui.result(&config.shown, |shown| {
                let mut table = Table::new(&["key", "value", "origin"]);
                for row in shown {
                    table.row([row.key.clone(), row.value.clone(), row.origin.clone()]);
                }
                table.text("")
            })?;
            Ok(Exit::Ok)
        }
        ConfigCommand::Check { sample } => check(&config, sample.as_deref(), ui).await,
    }
}

/// Prepares all SQL, in transactions that are rolled back, and tries it on the sample.
async fn check(config: &Config, sample: Option<&Path>, ui: &Ui) -> Result<Exit, CliError> {
    let scratch = scratch_for(config)?;
    let backends = open_for_check(config, scratch.as_ref()).await?;
    let mut problems = Vec::new();
    for projection in &config.projections {
        if let Err(found) = backends.check(&projection.spec).await {
            problems.extend(found);
        }
    }
    if !problems.is_empty() {
        return Err(violations("the projections cannot run", problems));
    }
    let events = sample.map(read_sample).transpose()?;
    let mut projections = Vec::new();
    for projection in &config.projections {
        let sample_differences = match &events {
            Some(events) => Some(backends.check_sample(&projection.spec, events.clone()).await?),
            None => None,
        };
        projections.push(CheckedProjection { name: projection.spec.name.to_string(), sample_differences });
    }
    let differs = projections
        .iter()
        .any(|projection| projection.sample_differences.as_ref().is_some_and(|found| !found.is_empty()));
    let handlers = config.handlers.iter().map(|handler| handler.spec.name.to_string()).collect();
    let checked = Checked { projections, handlers, sample_events: events.map(|events| events.len()) };
    ui.result(&checked, text)?;
    Ok(if differs { Exit::Failed } else { Exit::Ok })
}

/// Where there is no database yet, one in a temporary folder stands in for it: a check creates nothing.
fn scratch_for(config: &Config) -> Result<Option<Scratch>, CliError> {
    let missing = [&config.log, &config.store]
        .into_iter()
        .chain(&config.checkpoints.url)
        .any(|url| url.sqlite_file().is_some_and(|file| !file.exists()));
    missing.then(Scratch::new).transpose()
}

async fn open_for_check(config: &Config, scratch: Option<&Scratch>) -> Result<Opened, CliError> {
    let Some(scratch) = scratch else {
        let (log, store) = (config.log.address(), config.store.address());
        let opened = open_with_checkpoints(log, store, config.checkpoints_address(), Migrate::Manual).await?;
        return Ok(Opened::new(opened));
    };
    let in_place_of = |url: &BackendUrl, file: &str| match url.sqlite_file() {
        Some(_) => Address::new(scratch.url(file)),
        None => url.address(),
    };
    let store = if config.log == config.store { "log.db" } else { "store.db" };
    let (log, store) = (in_place_of(&config.log, "log.db"), in_place_of(&config.store, store));
    let checkpoints = match config.checkpoints.url.as_ref() {
        Some(url) if url.sqlite_file().is_some() => Some(in_place_of(url, "checkpoints.db")),
        _ => config.checkpoints_address(),
    };
    Ok(Opened::new(open_with_checkpoints(log, store, checkpoints, Migrate::Auto).await?))
}

/// A temporary folder, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, CliError> {
        let folder = std::env::temp_dir().join(format!("highwater-check-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)
            .map_err(|error| CliError::failed(format!("create {}", folder.display())).because(&error))?;
        Ok(Self(folder))
    }

    fn url(&self, file: &str) -> String {
        format!("sqlite:{}", self.0.join(file).display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "cannot remove a temporary folder");
        }
    }
}

/// The events of a file, each at the position of its line.
fn read_sample(path: &Path) -> Result<Vec<RecordedEvent>, CliError> {
    let name = path.display();
    let source =
        Source::open(path).map_err(|error| CliError::failed(format!("open {name}")).because(&error))?;
    let gzip = source.is_gzip();
    let mut events: Vec<RecordedEvent> = Vec::new();
    let mut sequences: HashMap<Arc<str>, u64> = HashMap::new();
    for chunk in Chunks::new(source.into_reader(), NonZeroUsize::MAX, false) {
        let chunk = chunk.map_err(|stop| match stop {
            Stop::Bad(line) => CliError::failed(format!("read {name}, {line}")),
            Stop::Read(error) => CliError::failed(format!("read {name}: {}", Source::explain(gzip, &error))),
        })?;
        for (append, line) in chunk.appends.into_iter().zip(chunk.lines) {
            let category = append.category.unwrap_or_else(|| category_of(&append.stream).into());
            for event in append.events {
                let next = sequences.entry(append.stream.clone()).or_default();
                let sequence = match append.expected {
                    Expected::Next(sequence) => sequence,
                    Expected::Any => *next,
                };
                *next = sequence.saturating_add(1);
                events.push(RecordedEvent::new(EventParts {
                    position: Position::new(line, 0),
                    id: event.id,
                    stream: append.stream.clone(),
                    category: category.clone(),
                    sequence,
                    event_type: event.event_type,
                    time_micros: event.time_micros.unwrap_or_default(),
                    content_type: event.content_type,
                    data: event.data,
                    metadata: event.metadata,
                }));
            }
        }
    }
    Ok(events)
}

fn text(checked: &Checked) -> String {
    let mut text = String::new();
    for projection in &checked.projections {
        match projection.sample_differences.as_deref() {
            None => text.push_str(&format!("{}: valid\n", projection.name)),
            Some([]) => text.push_str(&format!(
                "{}: valid, and the same read model however the sample is cut into batches\n",
                projection.name
            )),
            Some(differences) => {
                text.push_str(&format!(
                    "{}: the read model depends on how the sample is cut into batches\n",
                    projection.name
                ));
                for difference in differences {
                    text.push_str(&format!("  {}\n", plain(difference)));
                }
            }
        }
    }
    for handler in &checked.handlers {
        text.push_str(&format!("{handler}: valid\n"));
    }
    if checked.projections.is_empty() && checked.handlers.is_empty() {
        text.push_str("the config is valid; it has no projections and no handlers\n");
    }
    if let Some(events) = checked.sample_events {
        text.push_str(&format!("sample: {} events\n", count(u64::try_from(events).unwrap_or(u64::MAX))));
    }
    text
}

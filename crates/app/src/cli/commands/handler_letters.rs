//! Dead letters of handlers: what `dead-letters` does where a name is a handler's.
//!
//! JSON of `list`: an array of `{"handler", "generation", "position", "id", "stream", "sequence", "type", "class",
//! "message", "attempts"}`; of `show`: `{"letter": {…}, "event": {…}}`, the event as a line of an export; of `retry`:
//! `{"handled", "failed": [{"position", "message"}]}`; of `discard`: `{"discarded", "dry_run"}`.
//!
//! A retry gives the event to the handler's sink here and now, and removes the letter once the sink has taken it.
//! Later events of its stream have gone out long before, so it comes out of order, as any dead letter does.

use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use highwater::compose::OpenSink;
use highwater_core::model::{Position, ProjectionName, RecordedEvent};
use highwater_core::ports::{DeadLetters, DynHandler, HandlerLetter};
use highwater_core::{Error, ErrorKind};

use crate::cli::args::{Consent, Selected};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::ndjson::write_line;
use crate::cli::output::{Table, Ui, confirm, count, plain};
use crate::cli::patience::patiently;
use crate::cli::session::Session;

const PAGE: usize = 500;

/// A letter for output.
#[derive(Serialize)]
pub(super) struct Row {
    handler: String,
    generation: u64,
    position: Position,
    id: Uuid,
    stream: String,
    sequence: u64,
    #[serde(rename = "type")]
    event_type: String,
    class: &'static str,
    message: String,
    attempts: u32,
}

impl From<&HandlerLetter> for Row {
    fn from(letter: &HandlerLetter) -> Self {
        let event = &letter.event;
        Self {
            handler: letter.group.clone(),
            generation: letter.generation,
            position: event.position(),
            id: event.id(),
            stream: event.stream().to_owned(),
            sequence: event.sequence(),
            event_type: event.event_type().to_owned(),
            class: letter.class.as_str(),
            message: letter.message.clone(),
            attempts: letter.attempts,
        }
    }
}

#[derive(Serialize)]
struct Letter<'l> {
    letter: Row,
    event: &'l RawValue,
}

#[derive(Serialize)]
struct Retried {
    handled: u64,
    failed: Vec<NotHandled>,
}

#[derive(Serialize)]
struct NotHandled {
    position: Position,
    message: String,
}

#[derive(Serialize)]
struct Discarded {
    discarded: u64,
    dry_run: bool,
}

/// Whether a name is a handler's: of the config, or of one that was in it and has left letters.
pub(super) async fn is_handler(session: &Session, name: &ProjectionName) -> Result<bool, CliError> {
    if session.config.handler(name).is_some() {
        return Ok(true);
    }
    if session.config.projection(name).is_some() {
        return Ok(false);
    }
    Ok(any_letter(session, std::slice::from_ref(name)).await?)
}

/// Whether any of these handlers has dead letters.
pub(super) async fn any_letter(session: &Session, handlers: &[ProjectionName]) -> Result<bool, Error> {
    let Some(letters) = &session.backends.dead_letters else { return Ok(false) };
    for name in handlers {
        if !letters.list(name.as_str(), None, 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How many dead letters a handler has.
pub(super) async fn count_letters(session: &Session, name: &str) -> Result<u64, Error> {
    let Some(letters) = &session.backends.dead_letters else { return Ok(0) };
    let (mut found, mut after) = (0, None);
    loop {
        let page = letters.list(name, after, PAGE).await?;
        found += u64::try_from(page.len()).unwrap_or(u64::MAX);
        match page.last() {
            Some(last) => after = Some(last.event.position()),
            None => return Ok(found),
        }
    }
}

/// Prints the letters of a handler.
pub(super) async fn list(
    session: &Session,
    name: &ProjectionName,
    after: Option<Position>,
    limit: NonZeroUsize,
    ui: &Ui,
) -> Result<Exit, CliError> {
    if !is_handler(session, name).await? {
        session.runs(name)?;
        return Err(CliError::unknown(format!("`{name}` is a projection: name it with --projection")));
    }
    let mut found = Vec::new();
    let mut after = after;
    while found.len() < limit.get() {
        let page = letters_of(session)?.list(name.as_str(), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.event.position());
        found.extend(page);
    }
    let more = found.len() > limit.get();
    found.truncate(limit.get());
    let rows: Vec<Row> = found.iter().map(Row::from).collect();
    ui.result(&rows, |rows| {
        let mut table =
            Table::new(&["handler", "#position", "stream", "#seq", "type", "class", "#attempts", "message"]);
        for row in rows {
            table.row([
                row.handler.clone(),
                row.position.to_string(),
                plain(&row.stream),
                row.sequence.to_string(),
                plain(&row.event_type),
                row.class.to_owned(),
                row.attempts.to_string(),
                plain(&row.message),
            ]);
        }
        table.text("no dead letters")
    })?;
    if more {
        ui.say("there are more: raise --limit, or go on with --after POSITION")?;
    }
    Ok(Exit::Ok)
}

/// Prints one letter with its payload.
pub(super) async fn show(
    session: &Session,
    name: &ProjectionName,
    position: Position,
    raw: bool,
    ui: &Ui,
) -> Result<Exit, CliError> {
    let found = at(session, name, position).await?;
    let letter = found.last().ok_or_else(|| missing(name, position))?;
    if raw {
        ui.write(letter.event.data())?;
        return Ok(Exit::Ok);
    }
    let mut line = Vec::new();
    write_line(&mut line, &letter.event);
    let event: &RawValue = serde_json::from_slice(&line)?;
    ui.result(&Letter { letter: Row::from(letter), event }, |shown| facts(&shown.letter, &letter.event))?;
    Ok(Exit::Ok)
}

fn facts(row: &Row, event: &RecordedEvent) -> String {
    let text = |bytes: &[u8]| plain(&String::from_utf8_lossy(bytes));
    [
        ("handler", format!("{}, generation {}", row.handler, row.generation)),
        ("event", format!("{} {} ({})", row.position, plain(&row.event_type), row.id)),
        ("stream", format!("{} {}", plain(&row.stream), row.sequence)),
        ("attempts", row.attempts.to_string()),
        ("class", row.class.to_owned()),
        ("message", plain(&row.message)),
        ("time", event.time_rfc3339()),
        ("data", text(event.data())),
        ("metadata", text(event.metadata())),
    ]
    .into_iter()
    .map(|(key, value)| format!("{key:11} {value}\n"))
    .collect()
}

/// Gives letters to the handler's sink once more.
pub(super) async fn retry(session: &Session, selected: &Selected, ui: &Ui) -> Result<Exit, CliError> {
    let name = &selected.name;
    let configured = session.config.handler(name).ok_or_else(|| {
        CliError::unknown(format!("the config has no handler `{name}`, so nothing can take its events"))
    })?;
    let OpenSink { handler, close } = configured.spec.sink.open()?;
    let done = retry_all(session, selected, &*handler).await;
    if let Some(close) = close {
        close().await;
    }
    let done = done?;
    let all = done.failed.is_empty();
    // What was taken may have gone to standard output, as events.
    ui.result_aside(&done, |done| {
        let mut text = format!("{} handled", events(done.handled));
        for failed in &done.failed {
            text.push_str(&format!("\n{} failed again: {}", failed.position, plain(&failed.message)));
        }
        text
    })?;
    Ok(if all { Exit::Ok } else { Exit::Failed })
}

async fn retry_all(
    session: &Session,
    selected: &Selected,
    handler: &dyn DynHandler,
) -> Result<Retried, CliError> {
    let name = &selected.name;
    let letters = letters_of(session)?;
    let mut done = Retried { handled: 0, failed: Vec::new() };
    for letter in chosen(session, selected).await? {
        let position = letter.event.position();
        match handler.handle_slice(std::slice::from_ref(&letter.event)).await {
            Ok(()) => {
                patiently(|| letters.remove(name.as_str(), letter.generation, position)).await?;
                done.handled += 1;
            }
            Err(failure) => done.failed.push(NotHandled { position, message: failure.message() }),
        }
    }
    Ok(done)
}

/// Gives letters up.
pub(super) async fn discard(
    session: &Session,
    selected: &Selected,
    consent: Consent,
    ui: &Ui,
) -> Result<Exit, CliError> {
    let name = &selected.name;
    let found = chosen(session, selected).await?;
    let number = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let mut discarded = number;
    if !found.is_empty() && !consent.dry_run {
        let what = format!("give up {} of {name}, deleting what was kept of them", events(number));
        confirm(ui, &what, consent.yes)?;
        let letters = letters_of(session)?;
        discarded = 0;
        for letter in &found {
            let (generation, position) = (letter.generation, letter.event.position());
            discarded += u64::from(patiently(|| letters.remove(name.as_str(), generation, position)).await?);
        }
    }
    ui.result(&Discarded { discarded, dry_run: consent.dry_run }, |done| {
        let would = if done.dry_run { "would be " } else { "" };
        format!("{} {would}discarded", events(done.discarded))
    })?;
    Ok(Exit::Ok)
}

/// The letters at a position, which must exist, or all of a handler. Bounded by what a handler may leave before it is
/// stopped (`max_dead_letters`).
async fn chosen(session: &Session, selected: &Selected) -> Result<Vec<HandlerLetter>, CliError> {
    let name = &selected.name;
    if let Some(position) = selected.position {
        let found = at(session, name, position).await?;
        return if found.is_empty() { Err(missing(name, position)) } else { Ok(found) };
    }
    let letters = letters_of(session)?;
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = letters.list(name.as_str(), after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.event.position());
        found.extend(page);
    }
}

/// The letters at a position: one a generation.
async fn at(
    session: &Session,
    name: &ProjectionName,
    position: Position,
) -> Result<Vec<HandlerLetter>, CliError> {
    let mut found = letters_of(session)?.list(name.as_str(), position.previous(), PAGE).await?;
    found.retain(|letter| letter.event.position() == position);
    Ok(found)
}

fn letters_of(session: &Session) -> Result<&Arc<dyn DeadLetters>, CliError> {
    session.backends.dead_letters.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "look at dead letters of handlers in a store that keeps none")
            .into()
    })
}

fn missing(name: &ProjectionName, position: Position) -> CliError {
    CliError::unknown(format!("handler `{name}` has no dead letter at {position}"))
}

fn events(number: u64) -> String {
    if number == 1 { "1 event".to_owned() } else { format!("{} events", count(number)) }
}

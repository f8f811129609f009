//! `highwater dead-letters`: parked and held events with their payloads, and what handlers gave up.
//!
//! Where a name is a handler's, `handler_letters` does it. For projections:
//!
//! JSON of `list`: as `failed-events list`; of `show`: `{"failed": {…}, "event": {…}}`, the event as a line
//! of an export; of `retry`: `{"marked"}`; of `discard`: `{"discarded", "dry_run"}`.

use serde::Serialize;
use serde_json::value::RawValue;

use highwater_core::model::FailedState;
use highwater_core::ports::FailedQuery;

use crate::cli::args::{Consent, DeadLetters, Global, Selected, Versions};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::ndjson::write_line;
use crate::cli::output::{Ui, confirm, count, plain};
use crate::cli::patience::patiently;
use crate::cli::session::{Access, Session};

use super::failed_events::{Row, find, list, retry, selection};
use super::handler_letters::{self, is_handler};

const KEPT: [FailedState; 2] = [FailedState::Parked, FailedState::Held];

#[derive(Serialize)]
struct Letter<'l> {
    failed: Row,
    event: &'l RawValue,
}

#[derive(Serialize)]
struct Discarded {
    discarded: u64,
    dry_run: bool,
}

pub(super) async fn run(global: &Global, args: DeadLetters, ui: &Ui) -> Result<Exit, CliError> {
    match args {
        DeadLetters::List { listed, handler } => {
            let session = Session::open_without_checkpoints(global, Access::Read).await?;
            if let Some(name) = handler {
                return handler_letters::list(&session, &name, listed.after, listed.limit, ui).await;
            }
            list(&session, &listed, KEPT.to_vec(), "no dead letters", ui).await
        }
        DeadLetters::Show { name, position, version, raw } => {
            let session = Session::open_without_checkpoints(global, Access::Read).await?;
            if is_handler(&session, &name).await? {
                return handler_letters::show(&session, &name, position, raw, ui).await;
            }
            let row = find(&session, &name, position, Versions::one(version)).await?;
            let letter = session.backends.control.dead_letter(&row.key, position).await?;
            let letter = letter.ok_or_else(|| {
                CliError::unknown(format!("the failed event of `{name}` at {position} has no dead letter"))
                    .hint("its payload is in the log: `highwater export --after` finds it there")
            })?;
            if raw {
                ui.write(letter.event.data())?;
                return Ok(Exit::Ok);
            }
            let mut line = Vec::new();
            write_line(&mut line, &letter.event);
            let event: &RawValue = serde_json::from_slice(&line)?;
            ui.result(&Letter { failed: Row::from(&letter.failed), event }, |shown| {
                let part = |what: &str, bytes: &[u8]| {
                    format!("{what:11} {}\n", plain(&String::from_utf8_lossy(bytes)))
                };
                let time = format!("{:11} {}\n", "time", letter.event.time_rfc3339());
                let metadata = part("metadata", letter.event.metadata());
                format!("{}{time}{}{metadata}", shown.failed.facts(), part("data", letter.event.data()))
            })?;
            Ok(Exit::Ok)
        }
        DeadLetters::Retry(selected) => {
            let session = Session::open_without_checkpoints(global, Access::Write).await?;
            if is_handler(&session, &selected.name).await? {
                return handler_letters::retry(&session, &selected, ui).await;
            }
            retry(&session, selected, KEPT.to_vec(), ui).await
        }
        DeadLetters::Discard { selected, consent } => {
            let access = if consent.dry_run { Access::Read } else { Access::Write };
            let session = Session::open_without_checkpoints(global, access).await?;
            if is_handler(&session, &selected.name).await? {
                return handler_letters::discard(&session, &selected, consent, ui).await;
            }
            discard(&session, selected, consent, ui).await
        }
    }
}

async fn discard(session: &Session, selected: Selected, consent: Consent, ui: &Ui) -> Result<Exit, CliError> {
    let name = selected.name.clone();
    let query = selection(session, selected, KEPT.to_vec()).await?;
    let found = counted(session, query.clone()).await?;
    if found > 0 && !consent.dry_run {
        let what = format!("give up {} of {name}, deleting what was kept of them", events(found));
        confirm(ui, &what, consent.yes)?;
    }
    let discarded =
        if consent.dry_run { found } else { patiently(|| session.backends.control.discard(&query)).await? };
    ui.result(&Discarded { discarded, dry_run: consent.dry_run }, |done| {
        let would = if done.dry_run { "would be " } else { "" };
        format!("{} {would}discarded", events(done.discarded))
    })?;
    Ok(Exit::Ok)
}

async fn counted(session: &Session, mut query: FailedQuery) -> Result<u64, CliError> {
    const PAGE: usize = 1_000;
    let mut found: u64 = 0;
    loop {
        let page = session.backends.control.failed_events(&query, PAGE).await?;
        found += u64::try_from(page.len()).unwrap_or(u64::MAX);
        match page.last() {
            Some(last) if page.len() == PAGE => query.after = Some(last.position),
            _ => return Ok(found),
        }
    }
}

fn events(number: u64) -> String {
    if number == 1 { "1 event".to_owned() } else { format!("{} events", count(number)) }
}

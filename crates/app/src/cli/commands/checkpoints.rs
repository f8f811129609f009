//! `highwater checkpoints`: the positions of runners that are not transactional.
//!
//! JSON of `list`: an array of `{"key", "kind", "position", "updated_at"}`, the kind `checkpoint`, or
//! `projection` for a position that is kept with a read model and cannot be changed here; of `get`: one of
//! these; of `set` and `reset`: `{"key", "outcome", "position"}`, the outcome `applied`, `unchanged` or
//! `stale`, the position what is stored now; of `delete` and `clear`: `{"deleted", "dry_run"}`; of `migrate`: see
//! `migrate_older`.

use serde::Serialize;

use highwater_core::model::{Advance, Checkpoint, Position, rfc3339};

use crate::cli::args::{Checkpoints, Consent, Global};
use crate::cli::error::{CliError, is_not_found};
use crate::cli::exit::Exit;
use crate::cli::output::{Table, Ui, confirm, count, plain};
use crate::cli::patience::patiently;
use crate::cli::session::{Access, Session};

use super::migrate_older;

const PAGE: usize = 500;

#[derive(Serialize)]
struct Row {
    key: String,
    kind: &'static str,
    position: Option<Position>,
    updated_at: String,
}

#[derive(Serialize)]
struct Moved {
    key: String,
    outcome: &'static str,
    position: Position,
}

#[derive(Serialize)]
struct Deleted {
    deleted: u64,
    dry_run: bool,
}

pub(super) async fn run(global: &Global, args: Checkpoints, ui: &Ui) -> Result<Exit, CliError> {
    let only_looks = match &args {
        Checkpoints::List { .. } | Checkpoints::Get { .. } => true,
        Checkpoints::Set { .. } => false,
        Checkpoints::Reset { consent, .. }
        | Checkpoints::Delete { consent, .. }
        | Checkpoints::Clear { consent, .. } => consent.dry_run,
        Checkpoints::Migrate(migrate) => migrate.consent.dry_run,
    };
    if let Checkpoints::Clear { prefix, .. } = &args {
        check_prefix(prefix)?;
    }
    let session = Session::open(global, if only_looks { Access::Read } else { Access::Write }).await?;
    match args {
        Checkpoints::List { prefix } => list(&session, &prefix, ui).await,
        Checkpoints::Get { key } => get(&session, key, ui).await,
        Checkpoints::Set { key, position } => {
            let advance = patiently(|| session.backends.checkpoints.set_if_newer(&key, position)).await?;
            moved(key, position, advance, ui)
        }
        Checkpoints::Reset { key, position, expected, consent } => {
            reset(&session, key, position, expected, consent, ui).await
        }
        Checkpoints::Delete { key, consent } => delete(&session, key, consent, ui).await,
        Checkpoints::Migrate(migrate) => migrate_older::run(&session.config, migrate, ui).await,
        Checkpoints::Clear { prefix, consent } => clear(&session, &prefix, consent, ui).await,
    }
}

async fn list(session: &Session, prefix: &str, ui: &Ui) -> Result<Exit, CliError> {
    let mut rows = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = session.backends.checkpoints.scan(prefix, after.as_deref(), PAGE).await?;
        rows.extend(page.checkpoints.into_iter().map(|(key, checkpoint)| row(key, &checkpoint)));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let states = session.backends.control.states().await?;
    rows.extend(states.into_iter().filter(|state| state.key.name.as_str().starts_with(prefix)).map(
        |state| Row {
            key: state.key.to_string(),
            kind: "projection",
            position: state.scanned,
            updated_at: rfc3339(state.updated_at_micros),
        },
    ));
    ui.result(&rows, |rows| {
        let mut table = Table::new(&["key", "kind", "#position", "updated at"]);
        for row in rows {
            let position = row.position.map_or_else(|| "-".to_owned(), |position| position.to_string());
            table.row([row.key.clone(), row.kind.to_owned(), position, row.updated_at.clone()]);
        }
        table.text("no checkpoints")
    })?;
    Ok(Exit::Ok)
}

async fn get(session: &Session, key: String, ui: &Ui) -> Result<Exit, CliError> {
    let checkpoint = session.backends.checkpoints.get(&key).await?.ok_or_else(|| unknown(&key))?;
    ui.result(&row(key, &checkpoint), |row| {
        let position = row.position.map_or_else(|| "-".to_owned(), |position| position.to_string());
        format!("{position} (updated at {})", row.updated_at)
    })?;
    Ok(Exit::Ok)
}

async fn reset(
    session: &Session,
    key: String,
    to: Position,
    expected: Position,
    consent: Consent,
    ui: &Ui,
) -> Result<Exit, CliError> {
    let store = &session.backends.checkpoints;
    if consent.dry_run {
        let current = store.get(&key).await?.ok_or_else(|| unknown(&key))?.position;
        let advance = match current {
            current if current != expected => Advance::Stale { current },
            current if current == to => Advance::Unchanged,
            _ => Advance::Applied,
        };
        ui.say("nothing was changed; this is what would be the outcome:")?;
        return moved(key, to, advance, ui);
    }
    confirm(ui, &format!("move {} from {expected} to {to}", plain(&key)), consent.yes)?;
    let advance = patiently(|| store.reset(&key, to, expected))
        .await
        .map_err(|error| if is_not_found(&error) { unknown(&key) } else { CliError::from(error) })?;
    moved(key, to, advance, ui)
}

/// One that the store has lost is not there and yet remembered: it is forgotten, so that its handler may begin anew.
async fn delete(session: &Session, key: String, consent: Consent, ui: &Ui) -> Result<Exit, CliError> {
    let store = &session.backends.checkpoints;
    let is_there = store.get(&key).await?.is_some();
    if consent.dry_run {
        return if is_there { deleted(1, true, ui) } else { Err(unknown(&key)) };
    }
    let what = if is_there { "delete the checkpoint" } else { "forget the checkpoint, which is not there," };
    confirm(ui, &format!("{what} {}", plain(&key)), consent.yes)?;
    let was_known = patiently(|| store.delete(&key)).await?;
    if !is_there && !was_known {
        return Err(unknown(&key));
    }
    deleted(u64::from(was_known), false, ui)
}

async fn clear(session: &Session, prefix: &str, consent: Consent, ui: &Ui) -> Result<Exit, CliError> {
    let store = &session.backends.checkpoints;
    let found = store.clear(prefix, true).await?;
    if consent.dry_run || found == 0 {
        return deleted(found, consent.dry_run, ui);
    }
    let what = format!("delete {} that begin with {}", checkpoints(found), plain(prefix));
    confirm(ui, &what, consent.yes)?;
    deleted(patiently(|| store.clear(prefix, false)).await?, false, ui)
}

/// D-8: a prefix is literal, so one that looks like a pattern is probably a mistake.
fn check_prefix(prefix: &str) -> Result<(), CliError> {
    if prefix.is_empty() {
        return Err(CliError::usage("an empty prefix would mean all checkpoints: name what to delete"));
    }
    if let Some(meant) = prefix.strip_suffix('*') {
        return Err(CliError::usage(format!(
            "`{}` ends in *, but a prefix is taken literally",
            plain(prefix)
        ))
        .hint(format!("to delete all keys that begin with {meant:?}, leave the * out")));
    }
    Ok(())
}

fn row(key: String, checkpoint: &Checkpoint) -> Row {
    Row {
        key,
        kind: "checkpoint",
        position: Some(checkpoint.position),
        updated_at: rfc3339(checkpoint.updated_at_micros),
    }
}

fn unknown(key: &str) -> CliError {
    CliError::unknown(format!("there is no checkpoint `{}`", plain(key)))
        .hint("where a projection stands is kept with its read model: see `highwater status` and `highwater rewind`")
}

fn moved(key: String, to: Position, advance: Advance, ui: &Ui) -> Result<Exit, CliError> {
    let (outcome, position, exit) = match advance {
        Advance::Applied => ("applied", to, Exit::Ok),
        Advance::Unchanged => ("unchanged", to, Exit::Ok),
        Advance::Stale { current } => ("stale", current, Exit::Failed),
    };
    ui.result(&Moved { key, outcome, position }, |moved| {
        let key = plain(&moved.key);
        match moved.outcome {
            "stale" => format!("{key} stands at {position}: nothing was changed"),
            "unchanged" => format!("{key} is at {position} already"),
            _ => format!("{key} is at {position}"),
        }
    })?;
    Ok(exit)
}

fn deleted(deleted: u64, dry_run: bool, ui: &Ui) -> Result<Exit, CliError> {
    ui.result(&Deleted { deleted, dry_run }, |done| {
        let would = if done.dry_run { "would be " } else { "" };
        format!("{} {would}deleted", checkpoints(done.deleted))
    })?;
    Ok(Exit::Ok)
}

fn checkpoints(number: u64) -> String {
    if number == 1 { "1 checkpoint".to_owned() } else { format!("{} checkpoints", count(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_8_a_prefix_is_neither_empty_nor_a_pattern() {
        assert!(check_prefix("prod:").is_ok());
        assert!(check_prefix("a*b").is_ok());
        assert_eq!(check_prefix("").unwrap_err().exit(), Exit::Usage);
        assert!(check_prefix("prod:*").unwrap_err().to_string().contains("\"prod:\""));
    }
}

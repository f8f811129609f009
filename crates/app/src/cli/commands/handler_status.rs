//! Handlers in `highwater status`: where each stands, from what is stored, whichever process runs it.

use serde::Serialize;

use highwater_core::Error;
use highwater_core::model::{Position, rfc3339};

use crate::cli::config::HandlerConfig;
use crate::cli::lag::{Head, Lag, lag};
use crate::cli::output::{Table, count};
use crate::cli::session::Session;

use super::handler_letters::count_letters;

#[derive(Serialize)]
pub(super) struct Row {
    name: String,
    phase: &'static str,
    owner: Option<String>,
    position: Option<Position>,
    #[serde(flatten)]
    lag: Lag,
    dead_letters: u64,
    generation: u64,
    epoch: u64,
    updated_at: Option<String>,
}

/// The handlers of the config.
pub(super) async fn rows(session: &Session, head: &Head) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for handler in &session.config.handlers {
        rows.push(row(session, head, handler).await?);
    }
    Ok(rows)
}

async fn row(session: &Session, head: &Head, handler: &HandlerConfig) -> Result<Row, Error> {
    let spec = &handler.spec;
    let name = spec.name.as_str();
    let checkpoint = session.backends.checkpoints.get(name).await?;
    let claim = session.backends.checkpoints.owner(name).await?;
    let position = checkpoint.map(|checkpoint| checkpoint.position);
    let owner = claim.as_ref().filter(|claim| !claim.owner.is_empty() && !claim.remaining.is_zero());
    let phase = match (owner, &claim) {
        (Some(_), _) if head.position > position => "catching-up",
        (Some(_), _) => "live",
        (None, None) if position.is_none() => "not-started",
        (None, _) => "stopped",
    };
    Ok(Row {
        name: name.to_owned(),
        phase,
        owner: owner.map(|claim| claim.owner.clone()),
        position,
        lag: lag(&*session.backends.log, head, position, None, Some(&spec.filter)).await?,
        dead_letters: count_letters(session, name).await?,
        generation: claim.as_ref().map_or(0, |claim| claim.generation),
        epoch: claim.as_ref().map_or(0, |claim| claim.epoch),
        updated_at: checkpoint.map(|checkpoint| rfc3339(checkpoint.updated_at_micros)),
    })
}

/// A table of them; empty where there are none.
pub(super) fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let known = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), count);
    let mut table = Table::new(&[
        "handler",
        "phase",
        "#checkpoint",
        "#lag events",
        "#lag s",
        "#dead letters",
        "#gen",
        "#epoch",
        "owner",
    ]);
    for row in rows {
        table.row([
            row.name.clone(),
            row.phase.to_owned(),
            row.position.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            known(row.lag.lag_events),
            known(row.lag.lag_seconds),
            count(row.dead_letters),
            row.generation.to_string(),
            row.epoch.to_string(),
            row.owner.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.text("")
}

//! `highwater checkpoints migrate`: checkpoints that an older program has kept in Redis as strings, `commit@prepare` or
//! `commit:prepare`, become checkpoints here. Only moves forward, and may be run again; the strings stay.
//!
//! JSON: `{"moved", "unchanged", "newer", "refused": [{"name", "reason"}], "dry_run"}`: how many checkpoints are now as
//! far as their strings, were so before, or were further and stay so; and the strings that are no checkpoint. Codes: 0
//! nothing was refused, 1 something was, 2 the checkpoints are not in Redis.

use serde::Serialize;

use highwater::compose::Address;

use crate::cli::args::{MigrateOlder, OlderForm};
use crate::cli::config::{BackendUrl, Config};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Ui, confirm, count, plain};

#[derive(Serialize)]
struct Done {
    moved: u64,
    unchanged: u64,
    newer: u64,
    refused: Vec<Refused>,
    dry_run: bool,
}

#[derive(Serialize)]
struct Refused {
    name: String,
    reason: String,
}

pub(super) async fn run(config: &Config, args: MigrateOlder, ui: &Ui) -> Result<Exit, CliError> {
    let MigrateOlder { prefix, from, consent } = args;
    let redis = redis(config)?;
    let prefix = prefix.or_else(|| config.checkpoints.prefix.clone()).filter(|prefix| !prefix.is_empty());
    let prefix = prefix.ok_or_else(|| {
        let error = CliError::usage("name what the names of the older strings begin with");
        error.hint("without a prefix every string in the server would be meant: `checkpoints migrate PREFIX`")
    })?;
    let forms = if from.is_empty() { vec![OlderForm::At, OlderForm::Colon] } else { from };
    let planned = migrate(&redis, &prefix, &forms, true).await?;
    if consent.dry_run || planned.moved == 0 {
        return done(Done { dry_run: consent.dry_run, ..planned }, ui);
    }
    let what = format!("take over {} from strings that begin with {}", many(planned.moved), plain(&prefix));
    confirm(ui, &what, consent.yes)?;
    done(migrate(&redis, &prefix, &forms, false).await?, ui)
}

fn done(done: Done, ui: &Ui) -> Result<Exit, CliError> {
    ui.result(&done, |done| {
        let would = if done.dry_run { "would be " } else { "" };
        let mut text = format!(
            "{} {would}moved, {} unchanged, {} newer than the string",
            many(done.moved),
            count(done.unchanged),
            count(done.newer)
        );
        for refused in &done.refused {
            text.push_str(&format!("\nleft out: {}: {}", plain(&refused.name), plain(&refused.reason)));
        }
        text
    })?;
    Ok(if done.refused.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// The address of the checkpoints, if they are where older strings can be.
fn redis(config: &Config) -> Result<Address, CliError> {
    let address = config.checkpoints_address();
    if let Some(address) =
        address.filter(|_| config.checkpoints.url.as_ref().is_some_and(BackendUrl::is_redis))
    {
        return Ok(address);
    }
    let place = config.checkpoints.url.as_ref().unwrap_or(&config.store);
    let error = CliError::usage(format!("the checkpoints are in {place}: there is nothing to migrate from"));
    Err(error.hint("older checkpoints are strings in Redis: name that server as `checkpoints.url`"))
}

#[cfg(feature = "redis")]
async fn migrate(
    redis: &Address,
    prefix: &str,
    forms: &[OlderForm],
    dry_run: bool,
) -> Result<Done, CliError> {
    use highwater::compose::migrate_older_checkpoints;
    use highwater::redis::{Migrated, OlderForm as Form};

    let forms: Vec<_> = forms
        .iter()
        .map(|form| match form {
            OlderForm::At => Form::At,
            OlderForm::Colon => Form::Colon,
        })
        .collect();
    let migrated = migrate_older_checkpoints(redis, prefix, &forms, dry_run).await?;
    let Migrated { moved, unchanged, newer, refused } = migrated;
    let refused = refused.into_iter().map(|it| Refused { name: it.name, reason: it.reason }).collect();
    Ok(Done { moved, unchanged, newer, refused, dry_run })
}

#[cfg(not(feature = "redis"))]
async fn migrate(_: &Address, _: &str, _: &[OlderForm], _: bool) -> Result<Done, CliError> {
    Err(CliError::usage("this program was built without Redis: build it with the feature `redis`"))
}

fn many(number: u64) -> String {
    if number == 1 { "1 checkpoint".to_owned() } else { format!("{} checkpoints", count(number)) }
}

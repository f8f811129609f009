//! `[checkpoints]`: where handlers keep theirs, and how they are written.

use std::path::Path;
use std::time::Duration;

use highwater::compose::HandlerSpecs;
use highwater_core::settings::PersistenceSettings;

use super::durations::show_duration;
use super::node::{Origin, Value};
use super::problems::Problems;
use super::server;
use super::settings::{Keyed, Layered, duration};
use super::shown::Shown;
use super::table::Table;
use super::url::{self, BackendUrl};

const OWN_KEYS: [&str; 6] = ["schema", "prefix", "url", "url_file", "preset", "lease"];

/// Where handlers keep their checkpoints, and how they are written.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointsConfig {
    /// Where; `None` = in the store.
    pub(crate) url: Option<BackendUrl>,
    /// What all our names in Redis begin with.
    pub(crate) prefix: Option<String>,
    /// The worker that writes them.
    pub(crate) persistence: PersistenceSettings,
    /// How long a claim holds without being renewed.
    pub(crate) lease: Duration,
    /// Its effective values.
    pub(super) shown: Vec<Shown>,
}

/// Reads the table; `store` is where the checkpoints are if it names no other place.
pub(super) fn read(
    top: &Table<'_>,
    store: Option<&BackendUrl>,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> CheckpointsConfig {
    let mut lease = (HandlerSpecs::default().lease, Origin::Default);
    let mut layered = Layered::<PersistenceSettings>::default();
    let (mut place, mut names) = (None, None);
    let mut of_place = Vec::new();
    if let Some(table) = top.table("checkpoints", problems) {
        let settings = PersistenceSettings::KEYS.iter().map(|key| key.name);
        table.finish(OWN_KEYS.into_iter().chain(server::KEYS).chain(settings), problems);
        if table.get("url").is_some() || table.get("url_file").is_some() {
            place = url::read(&table, folder, variable, problems);
            of_place = place.iter().flat_map(|(url, _)| url.rows(&table, problems.file())).collect();
        } else {
            let keys = ["schema"].into_iter().chain(server::KEYS);
            for (key, node) in keys.filter_map(|key| Some((key, table.get(key)?))) {
                problems.add(&node.origin, format!("`checkpoints.{key}` needs a `url` beside it"));
            }
        }
        names = prefix(&table, place.as_ref().map(|(url, _)| url), problems);
        preset(&table, &mut layered, problems);
        layered.lay(&table, problems);
        layered.validate("checkpoints", problems);
        if let Some(node) = table.get("lease") {
            match duration(&node.value) {
                Ok(time) if !time.is_zero() => lease = (time, node.origin.clone()),
                Ok(_) => problems.add(&node.origin, "`checkpoints.lease` is 0: nobody could own one"),
                Err(what) => problems.add(&node.origin, format!("`checkpoints.lease` {what}")),
            }
        }
    }
    let file = problems.file();
    let row =
        |key: &str, value: String, origin: String| Shown { key: format!("checkpoints.{key}"), value, origin };
    let mut shown = vec![match (&place, store) {
        (Some((url, origin)), _) => row("url", url.to_string(), origin.place(file)),
        (None, store) => {
            let url = store.map_or_else(String::new, ToString::to_string);
            row("url", url, "default (the store's)".to_owned())
        }
    }];
    shown.extend(of_place);
    if let Some((prefix, origin)) = &names {
        shown.push(row("prefix", prefix.clone(), origin.place(file)));
    }
    shown.push(row("lease", show_duration(lease.0), lease.1.place(file)));
    for (key, origin) in PersistenceSettings::KEYS.iter().zip(&layered.origins) {
        shown.push(row(key.name, (key.show)(&layered.settings), origin.place(file)));
    }
    CheckpointsConfig {
        url: place.map(|(url, _)| url),
        prefix: names.map(|(prefix, _)| prefix),
        persistence: layered.settings,
        lease: lease.0,
        shown,
    }
}

/// Only a server without schemas takes one.
fn prefix(table: &Table<'_>, url: Option<&BackendUrl>, problems: &mut Problems) -> Option<(String, Origin)> {
    let origin = table.get("prefix")?.origin.clone();
    let prefix = table.string("prefix", problems)?.to_owned();
    if url.is_some_and(BackendUrl::is_redis) {
        return Some((prefix, origin));
    }
    problems.add(&origin, "`checkpoints.prefix` is for Redis: remove it");
    None
}

/// A preset is laid under the other keys.
fn preset(table: &Table<'_>, layered: &mut Layered<PersistenceSettings>, problems: &mut Problems) {
    let Some(node) = table.get("preset") else { return };
    let known = PersistenceSettings::PRESETS.join(", ");
    let (Value::String(name, _) | Value::Text(name)) = &node.value else {
        let what = format!("`checkpoints.preset` must be one of {known} in quotes, not {}", node.value);
        return problems.add(&node.origin, what);
    };
    let Some(settings) = PersistenceSettings::preset(name) else {
        let what = format!("`checkpoints.preset` is {name:?}, which there is not: write one of {known}");
        return problems.add(&node.origin, what);
    };
    for (key, origin) in PersistenceSettings::KEYS.iter().zip(&mut layered.origins) {
        if (key.show)(&settings) != (key.show)(&layered.settings) {
            *origin = node.origin.clone();
        }
    }
    layered.settings = settings;
}

//! One `[[projection]]`.

use std::path::Path;

use highwater::ProjectionSpec;
use highwater::sqlite::sql_projection::SqlText;
use highwater_core::model::{Filter, Pattern, ProjectionName};

use super::node::{Node, Origin, Value};
use super::problems::Problems;
use super::settings::{Layered, SETTINGS, names};
use super::shown::Shown;
use super::sql;
use super::table::Table;

const OWN_KEYS: [&str; 9] =
    ["name", "version", "types", "streams", "schema", "apply", "on", "tables", "verify"];

/// A projection of the config.
#[derive(Debug, Clone)]
pub(crate) struct ProjectionConfig {
    /// What is started.
    pub(crate) spec: ProjectionSpec,
    /// Columns that `verify` leaves out.
    pub(crate) ignore: Vec<String>,
    /// Where its name stands.
    pub(crate) origin: Origin,
    /// Its effective values.
    pub(crate) shown: Vec<Shown>,
}

/// Reads the `index`-th projection over the settings of `[defaults]`.
pub(crate) fn read(
    index: usize,
    node: &Node,
    defaults: &Layered,
    folder: &Path,
    problems: &mut Problems,
) -> Option<ProjectionConfig> {
    let path = path("projection", index, node);
    let table = Table::of(&path, node, problems)?;
    table.finish(OWN_KEYS.iter().copied().chain(names()), problems);

    let name = name(&table, "[[projection]]", problems);
    let origin = table.get("name").map_or_else(|| table.origin().clone(), |node| node.origin.clone());
    let version = version(&table, problems);
    let mut read_sql =
        |key: &str| table.get(key).and_then(|node| sql::read(&table.name(key), node, folder, problems));
    let schema = read_sql("schema");
    let apply = read_sql("apply");
    let on = on(&table, folder, problems);
    let types = table.strings("types", problems);
    let streams = table.strings("streams", problems);
    let tables = table.strings("tables", problems);
    let ignore = ignore(&table, problems);
    if table.get("apply").is_none() && table.get("on").is_none() {
        let what = format!("`{path}` does nothing: give it `apply`, or `on` with an entry for an event type");
        problems.add(&origin, what);
    }
    let filter = filter(&table, types.as_deref(), streams.as_deref(), apply.is_some(), &on, problems);
    let mut layered = defaults.clone();
    layered.lay(&table, problems);
    layered.validate(&path, problems);

    let spec = ProjectionSpec {
        name: name?,
        version: version?,
        filter,
        schema,
        apply,
        on,
        tables: tables.map(owned),
        settings: layered.settings.clone(),
    };
    let shown = shown(&table, &spec, &layered, problems.file());
    Some(ProjectionConfig { spec, ignore, origin, shown })
}

/// How the `index`-th table of a kind is called in messages: by its name, if it has one.
pub(super) fn path(kind: &str, index: usize, node: &Node) -> String {
    let plain_name = match &node.value {
        Value::Table(keys) => keys.get("name").and_then(|node| match &node.value {
            Value::String(name, _) => Some(name.as_str()),
            _ => None,
        }),
        _ => None,
    };
    format!("{kind}.{}", plain_name.map_or_else(|| (index + 1).to_string(), str::to_owned))
}

/// The name of what a table describes; `what` is how such a table begins.
pub(super) fn name(table: &Table<'_>, what: &str, problems: &mut Problems) -> Option<ProjectionName> {
    if table.get("name").is_none() {
        problems.add(table.origin(), format!("a {what} needs a `name`"));
        return None;
    }
    let text = table.string("name", problems)?;
    ProjectionName::new(text)
        .map_err(|error| {
            problems.add(&table.get("name").map_or(Origin::Default, |n| n.origin.clone()), error.to_string())
        })
        .ok()
}

fn version(table: &Table<'_>, problems: &mut Problems) -> Option<u32> {
    let Some(node) = table.get("version") else { return Some(1) };
    let version = match node.value {
        Value::Integer(number) => u32::try_from(number).ok().filter(|version| *version >= 1),
        _ => None,
    };
    if version.is_none() {
        let name = table.name("version");
        problems.add(&node.origin, format!("`{name}` must be a whole number from 1, not {}", node.value));
    }
    version
}

fn on(table: &Table<'_>, folder: &Path, problems: &mut Problems) -> Vec<(String, SqlText)> {
    let Some(on) = table.table("on", problems) else { return Vec::new() };
    let mut entries = Vec::new();
    for (event_type, node) in on.entries() {
        let name = on.name(event_type);
        if matches!(node.value, Value::Table(_)) {
            let what = format!("`{name}` is a table: put an event type that contains a dot in quotes");
            problems.add(&node.origin, what);
        } else if let Some(sql) = sql::read(&name, node, folder, problems) {
            entries.push((event_type.to_owned(), sql));
        }
    }
    if on.entries().next().is_none() {
        problems.add(on.origin(), format!("`{}` has no entry", table.name("on")));
    }
    entries
}

fn ignore(table: &Table<'_>, problems: &mut Problems) -> Vec<String> {
    let Some(verify) = table.table("verify", problems) else { return Vec::new() };
    verify.finish(["ignore"], problems);
    verify.strings("ignore", problems).map(owned).unwrap_or_default()
}

/// F-4: without `types` and `apply` the filter is the keys of `on`; an `on` key outside `types` is a mistake.
fn filter(
    table: &Table<'_>,
    types: Option<&[&str]>,
    streams: Option<&[&str]>,
    has_apply: bool,
    on: &[(String, SqlText)],
    problems: &mut Problems,
) -> Filter {
    let parsed = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text)).collect::<Vec<_>>();
    let streams = streams.map(parsed).unwrap_or_default();
    let types = match types {
        Some(types) => {
            let types = parsed(types);
            for (event_type, _) in on {
                if !types.iter().any(|pattern| pattern.matches(event_type)) {
                    let origin = table
                        .table("on", &mut Problems::new(""))
                        .and_then(|on| on.get(event_type).map(|node| node.origin.clone()));
                    problems.add(
                        &origin.unwrap_or(Origin::Default),
                        format!(
                            "`{}` is never reached: `types` does not let {event_type:?} through",
                            table.name(&format!("on.{event_type}"))
                        ),
                    );
                }
            }
            types
        }
        None if has_apply => Vec::new(),
        None => on.iter().map(|(event_type, _)| Pattern::Exact(event_type.as_str().into())).collect(),
    };
    Filter { types, streams, ..Filter::all() }
}

/// Patterns as they may be written.
pub(super) fn list(patterns: &[Pattern]) -> String {
    let texts: Vec<String> = patterns
        .iter()
        .map(|pattern| match pattern {
            Pattern::Exact(name) => format!("{name:?}"),
            Pattern::Prefix(prefix) => format!("{:?}", format!("{prefix}*")),
        })
        .collect();
    if texts.is_empty() { "all".to_owned() } else { texts.join(", ") }
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

fn shown(table: &Table<'_>, spec: &ProjectionSpec, layered: &Layered, file: &str) -> Vec<Shown> {
    let origin_of = |key: &str| table.get(key).map_or(Origin::Default, |node| node.origin.clone());
    let row = |key: &str, value: String, origin: &Origin| Shown {
        key: table.name(key),
        value,
        origin: origin.place(file),
    };
    let mut rows = vec![
        row("version", spec.version.to_string(), &origin_of("version")),
        row(
            "types",
            list(&spec.filter.types),
            &if table.get("types").is_none() && !spec.filter.types.is_empty() {
                origin_of("on")
            } else {
                origin_of("types")
            },
        ),
        row("streams", list(&spec.filter.streams), &origin_of("streams")),
    ];
    for (key, sql) in [("schema", &spec.schema), ("apply", &spec.apply)] {
        if let Some(sql) = sql {
            rows.push(row(key, sql::shown(sql, file), &origin_of(key)));
        }
    }
    if let Some(on) = table.table("on", &mut Problems::new(file)) {
        for (event_type, sql) in &spec.on {
            if let Some(node) = on.get(event_type) {
                rows.push(row(&format!("on.{event_type}"), sql::shown(sql, file), &node.origin));
            }
        }
    }
    for key in ["tables", "verify"] {
        if table.get(key).is_some() {
            let value = match key {
                "tables" => spec.tables.clone().unwrap_or_default().join(", "),
                _ => format!("ignore {}", ignore(table, &mut Problems::new(file)).join(", ")),
            };
            rows.push(row(key, value, &origin_of(key)));
        }
    }
    for (key, origin) in SETTINGS.iter().zip(&layered.origins) {
        rows.push(row(key.name, (key.show)(&layered.settings), origin));
    }
    rows
}

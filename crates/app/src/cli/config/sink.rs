//! What takes the events of a handler: `http`, `exec` or `stdout`.

use std::path::{Path, PathBuf};

use highwater::compose::SinkSpec;
use highwater::sinks::{ExecSettings, HttpBatch, HttpSettings};
use highwater_core::settings::Violation;

use super::durations::{show_duration, show_size};
use super::node::{Node, Value};
use super::problems::Problems;
use super::settings::{boolean, duration, number, size};
use super::table::Table;
use super::url::expanded;

/// The keys of a handler that name a sink.
pub(super) const SINKS: [&str; 3] = ["http", "exec", "stdout"];
const HTTP: [&str; 9] = [
    "url",
    "headers",
    "timeout",
    "connect_timeout",
    "source",
    "idempotency_header",
    "metadata",
    "batch",
    "proxy_from_environment",
];
const EXEC: [&str; 5] = ["command", "env", "working_dir", "timeout", "grace"];

/// What a sink is read with.
pub(super) struct Reading<'r> {
    pub(super) folder: &'r Path,
    pub(super) variable: &'r dyn Fn(&str) -> Option<String>,
}

/// Reads the one sink of a handler.
pub(super) fn read(handler: &Table<'_>, with: &Reading<'_>, problems: &mut Problems) -> Option<SinkSpec> {
    let given: Vec<&str> = SINKS.into_iter().filter(|sink| handler.get(sink).is_some()).collect();
    let [sink] = given[..] else {
        let what = match given.as_slice() {
            [] => "nothing takes its events: give it `http`, `exec` or `stdout`".to_owned(),
            several => format!("it has {}: give it one of them", several.join(" and ")),
        };
        let whose = handler.name("");
        problems.add(handler.origin(), format!("`{}`: {what}", whose.trim_end_matches('.')));
        return None;
    };
    match sink {
        "http" => http(&handler.table("http", problems)?, with, problems).map(SinkSpec::Http),
        "exec" => exec(&handler.table("exec", problems)?, with, problems).map(SinkSpec::Exec),
        _ => stdout(handler, problems),
    }
}

fn stdout(handler: &Table<'_>, problems: &mut Problems) -> Option<SinkSpec> {
    let node = handler.get("stdout")?;
    if node.value == Value::Boolean(true) {
        return Some(SinkSpec::Stdout);
    }
    let name = handler.name("stdout");
    problems.add(&node.origin, format!("`{name}` must be true, not {}: leave it out instead", node.value));
    None
}

fn http(table: &Table<'_>, with: &Reading<'_>, problems: &mut Problems) -> Option<HttpSettings> {
    table.finish(HTTP, problems);
    if table.get("url").is_none() {
        problems.add(table.origin(), format!("`{}` is missing: where events are posted", table.name("url")));
        return None;
    }
    let mut settings = HttpSettings::new(text(table, "url", with, problems)?);
    settings.headers = texts(table, "headers", with, problems);
    set(table, "timeout", duration, &mut settings.timeout, problems);
    // Half of the time that a request has, unless somebody knows better.
    settings.connect_timeout = settings.connect_timeout.min(settings.timeout);
    set(table, "connect_timeout", duration, &mut settings.connect_timeout, problems);
    for (key, place) in
        [("source", &mut settings.source), ("idempotency_header", &mut settings.idempotency_header)]
    {
        if let Some(text) = table.string(key, problems) {
            text.clone_into(place);
        }
    }
    set(table, "metadata", boolean, &mut settings.metadata, problems);
    set(table, "proxy_from_environment", boolean, &mut settings.proxy_from_environment, problems);
    if table.get("batch").is_some() {
        let batch = table.table("batch", problems)?;
        batch.finish(["max_events", "max_bytes"], problems);
        let mut sizes = HttpBatch::default();
        set(&batch, "max_events", number, &mut sizes.max_events, problems);
        set(&batch, "max_bytes", size, &mut sizes.max_bytes, problems);
        settings.batch = Some(sizes);
    }
    valid(table, settings.validate(), problems).then_some(settings)
}

fn exec(table: &Table<'_>, with: &Reading<'_>, problems: &mut Problems) -> Option<ExecSettings> {
    table.finish(EXEC, problems);
    if table.get("command").is_none() {
        let what = "is missing: the program and its arguments, such as [\"./index\", \"--fast\"]";
        problems.add(table.origin(), format!("`{}` {what}", table.name("command")));
        return None;
    }
    let mut command: Vec<String> =
        table.strings("command", problems)?.into_iter().map(str::to_owned).collect();
    if let Some(program) = command.first_mut()
        && program.contains('/')
    {
        *program = resolved(with.folder, program);
    }
    let mut settings = ExecSettings::new(command);
    settings.env = texts(table, "env", with, problems);
    if let Some(folder) = table.string("working_dir", problems) {
        settings.working_dir = Some(PathBuf::from(resolved(with.folder, folder)));
    }
    set(table, "timeout", duration, &mut settings.timeout, problems);
    set(table, "grace", duration, &mut settings.grace, problems);
    valid(table, settings.validate(), problems).then_some(settings)
}

/// A path beside the config file; as it is where it has no place yet.
fn resolved(folder: &Path, path: &str) -> String {
    let joined = folder.join(path);
    let whole = std::path::absolute(&joined).unwrap_or(joined);
    whole.to_str().map_or_else(|| path.to_owned(), str::to_owned)
}

fn set<T>(
    table: &Table<'_>,
    key: &str,
    read: impl Fn(&Value) -> Result<T, String>,
    place: &mut T,
    problems: &mut Problems,
) {
    let Some(Node { value, origin }) = table.get(key) else { return };
    match read(value) {
        Ok(value) => *place = value,
        Err(what) => problems.add(origin, format!("`{}` {what}", table.name(key))),
    }
}

/// A text in which `${NAME}` stands for a variable of the environment.
fn text(table: &Table<'_>, key: &str, with: &Reading<'_>, problems: &mut Problems) -> Option<String> {
    let text = table.string(key, problems)?;
    match expanded(text, with.variable) {
        Ok(text) => Some(text),
        Err(what) => {
            let origin = &table.get(key)?.origin;
            problems.add(origin, format!("`{}` {what}", table.name(key)));
            None
        }
    }
}

/// All texts of the table under a key.
fn texts(table: &Table<'_>, key: &str, with: &Reading<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let Some(inner) = table.table(key, problems) else { return Vec::new() };
    let names = inner.entries().map(|(name, _)| name);
    names.filter_map(|name| Some((name.to_owned(), text(&inner, name, with, problems)?))).collect()
}

/// Notes what the sink's own validator says, at the place of the value.
fn valid(table: &Table<'_>, checked: Result<(), Vec<Violation>>, problems: &mut Problems) -> bool {
    let Err(violations) = checked else { return true };
    for violation in violations {
        let key = violation.setting.split('.').next().unwrap_or_default();
        let origin = table.get(key).map_or_else(|| table.origin(), |node| &node.origin);
        problems.add(origin, format!("{}: {violation}", table.name("").trim_end_matches('.')));
    }
    false
}

/// The values of a sink as they may be shown: without secrets.
pub(super) fn shown(sink: &SinkSpec) -> Vec<(&'static str, String)> {
    let names = |pairs: &[(String, String)]| {
        let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    match sink {
        SinkSpec::Http(http) => vec![
            ("http.url", host(&http.url)),
            ("http.headers", names(&http.headers)),
            ("http.timeout", show_duration(http.timeout)),
            ("http.connect_timeout", show_duration(http.connect_timeout)),
            ("http.source", http.source.clone()),
            ("http.idempotency_header", http.idempotency_header.clone()),
            ("http.metadata", http.metadata.to_string()),
            (
                "http.batch",
                http.batch.map_or_else(
                    || "none".to_owned(),
                    |batch| format!("{} events, {}", batch.max_events, show_size(batch.max_bytes)),
                ),
            ),
            ("http.proxy_from_environment", http.proxy_from_environment.to_string()),
        ],
        SinkSpec::Exec(exec) => vec![
            ("exec.command", exec.command.first().cloned().unwrap_or_default()),
            ("exec.env", names(&exec.env)),
            (
                "exec.working_dir",
                exec.working_dir
                    .as_ref()
                    .map_or_else(|| "this process's".to_owned(), |folder| folder.display().to_string()),
            ),
            ("exec.timeout", show_duration(exec.timeout)),
            ("exec.grace", show_duration(exec.grace)),
        ],
        SinkSpec::Stdout => vec![("stdout", "true".to_owned())],
    }
}

/// Scheme, host and port: the rest of a webhook's address is often a secret.
fn host(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "***".to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let more = rest.len() > authority.len();
    format!("{scheme}://{host}{}", if more { "/***" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_webhook_are_never_shown() {
        let settings = HttpSettings {
            headers: vec![("Authorization".to_owned(), "s3cr3t".to_owned())],
            ..HttpSettings::new("https://me:s3cr3t@hooks.example:8443/s3cr3t?token=s3cr3t")
        };
        let text = format!("{:?}", shown(&SinkSpec::Http(settings)));
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("https://hooks.example:8443/***") && text.contains("Authorization"), "{text}");
        assert_eq!(host("http://127.0.0.1:80"), "http://127.0.0.1:80");
    }
}

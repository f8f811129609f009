//! Handlers of the binary: each event at least once, in the order of its stream, whatever is killed or away.

mod control;
mod kill;
mod letters;
mod nasty;
mod older;
mod outages;
mod own_redis;
mod owners;
mod receiver;
mod redis;
mod sinks;
mod waits;

use highwater_tests::{Folder, Sample};
use serde_json::Value;

/// Handlers that do not wait long for anything, so that tests do not.
const HASTY: &str = r#"
[checkpoints]
lease = "300ms"

[handler_defaults]
poll_interval = "50ms"
retry_delay = "10ms"
retry_cap = "100ms"
breaker_open_time = "100ms"
"#;

/// A folder with so many flights in its log, and these handlers.
fn flights(count: usize, handlers: &str) -> (Folder, Vec<Value>) {
    let folder = Folder::with(&format!("{HASTY}{handlers}"));
    let lines = Sample::Flights.here().first_lines(count);
    folder.write("flights.ndjson", &lines);
    folder.ok(&["import", "flights.ndjson"]);
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = lines.map(|line| serde_json::from_slice(line).expect("a line of the sample is JSON"));
    (folder, events.collect())
}

/// The ids of events, in their order.
fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().expect("an event has an id")).collect()
}

/// A handler's row in `status --json`.
fn stands(folder: &Folder, name: &str) -> Value {
    let all = folder.json(&["status"]);
    let row = all["handlers"].as_array().into_iter().flatten().find(|row| row["name"] == name);
    let mut row = row.unwrap_or_else(|| panic!("no {name} in {all}")).clone();
    row["head"] = all["head"].clone();
    row
}

/// The row of the only handler in the report of a run.
fn report(done: &Value) -> &Value {
    let handlers = done["handlers"].as_array().unwrap_or_else(|| panic!("no handlers in {done}"));
    assert_eq!(handlers.len(), 1, "{done}");
    &handlers[0]
}

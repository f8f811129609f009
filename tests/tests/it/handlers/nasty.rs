//! Hostile names and payloads through the binary, with checkpoints in Redis.

use std::collections::BTreeSet;

use highwater_tests::{Folder, Sample, hex_sha256};
use serde_json::Value;

use super::own_redis::OwnRedis;
use super::{HASTY, stands};

fn in_redis(redis: &OwnRedis, handlers: &str) -> String {
    format!("{}{handlers}", HASTY.replace("lease", &format!("url = \"{}\"\nlease", redis.url())))
}

#[test]
fn x_10_nasty_events_are_each_handled_or_a_dead_letter_exactly_once() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let Some(redis) = OwnRedis::start() else { return };
    let name = "0.a_b-c.Z";
    let handler = format!("[[handler]]\nname = \"{name}\"\nstart_from = \"beginning\"\nstdout = true\n");
    let folder = Folder::with(&in_redis(&redis, &handler));
    folder.ok(&["import", nasty.arg()]);
    let output = folder.ok(&["run", "--until-caught-up", "--json"]);
    let events = usize::try_from(nasty.number("events")).expect("a count");
    let letters = folder.json(&["dead-letters", "list", "--handler", name, "--limit", "10000"]);
    let letters = letters.as_array().expect("a list");
    let lines: Vec<&[u8]> =
        output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len() + letters.len(), events, "handled and given up");

    // An id stands first in its line, and the payload behind it need not be what a parser of ours takes.
    let id = |line: &[u8]| String::from_utf8_lossy(&line[7..43]).into_owned();
    let handled: Vec<String> = lines.iter().map(|line| id(line)).collect();
    let given_up = letters.iter().map(|letter| letter["id"].as_str().expect("an id").to_owned());
    let distinct: BTreeSet<String> = handled.iter().cloned().chain(given_up).collect();
    assert_eq!(distinct.len(), events, "each once");
    if letters.is_empty() {
        let all: String = handled.iter().map(|id| format!("{id}\n")).collect();
        assert_eq!(hex_sha256(all.as_bytes()), nasty.text("ids_sha256"), "in order");
        assert!(output.stdout == nasty.bytes(), "byte for byte");
    }
    let row = stands(&folder, name);
    assert_eq!((&row["position"], &row["phase"]), (&row["head"], &Value::from("stopped")), "{row}");
    folder.ok(&["wait", name, "head"]);
    let again = folder.ok(&["run", "--until-caught-up", "--json"]);
    assert!(again.stdout.is_empty(), "it goes on behind its checkpoint");
}

#[test]
fn x_10_nasty_keys_are_checkpoints_like_others() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let Some(redis) = OwnRedis::start() else { return };
    let folder = Folder::with(&in_redis(&redis, ""));
    folder.ok(&["migrate"]);
    let mut names = stream_names(&nasty.bytes());
    // An argument of a program cannot hold a zero, and a key has an end.
    names.retain(|name| !name.contains('\0') && !name.is_empty() && name.len() <= 1_024);
    let names: BTreeSet<String> = names.into_iter().step_by(10).collect();
    assert!(names.len() > 50, "only {} names", names.len());
    for (name, commit) in names.iter().zip(1_u64..) {
        folder.ok(&["checkpoints", "set", "--", name, &format!("{commit}:{}", u64::MAX)]);
    }
    let listed = folder.json(&["checkpoints", "list"]);
    let listed: Vec<_> =
        listed.as_array().into_iter().flatten().map(|row| row["key"].as_str().expect("a key")).collect();
    assert_eq!(listed, names.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, commit) in names.iter().zip(1_u64..) {
        let found = folder.ok(&["checkpoints", "get", "--json", "--", name]).json();
        assert_eq!(found["position"], format!("{commit}:{}", u64::MAX), "{name:?}");
    }
    for name in &names {
        folder.ok(&["checkpoints", "delete", "--yes", "--", name]);
    }
    assert_eq!(folder.json(&["checkpoints", "list"]), Value::Array(vec![]));
}

#[test]
fn x_12_a_nasty_name_for_a_handler_is_refused_with_its_line() {
    let Some(nasty) = Sample::Nasty.find() else { return };
    let names = stream_names(&nasty.bytes());
    let bad: Vec<&String> = names.iter().filter(|name| !is_plain(name)).collect();
    assert!(bad.len() > 300, "only {} names", bad.len());
    let handler = |name: &&String| {
        let quoted =
            serde_json::to_string(name).expect("a text has a form in JSON").replace('\u{7f}', "\\u007f");
        format!("[[handler]]\nname = {quoted}\nstdout = true\n")
    };
    let folder = Folder::with(&bad.iter().map(handler).collect::<String>());
    let refused = folder.exits(2, &["run"]);
    let told = refused.stderr.matches("is not a projection name").count();
    assert_eq!(told, bad.len(), "each is told:\n{}", refused.stderr);
    let drives = |c: char| c.is_control() && c != '\n';
    assert!(!refused.stderr.contains(drives), "no name drives the terminal: {:?}", refused.stderr);
}

fn stream_names(lines: &[u8]) -> Vec<String> {
    let name = |line: &[u8]| -> Option<String> {
        // `{"id":"…","stream":"…"`: the rest need not be what a parser of ours takes.
        let mut values = serde_json::Deserializer::from_slice(line.get(54..)?).into_iter::<String>();
        values.next()?.ok()
    };
    let names: BTreeSet<String> = lines.split(|byte| *byte == b'\n').filter_map(name).collect();
    names.into_iter().collect()
}

fn is_plain(name: &str) -> bool {
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    fits && name.len() <= 100 && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

//! What is seen of a run: a bar on a terminal, JSON lines anywhere else.

use std::process::{Command, Stdio};

use highwater_tests::projections::{RECORDER, slow};
use highwater_tests::{BY_HUNDREDS, Folder, LIMIT, Sample, binary};

use super::{poisoned, terminate};

/// Runs a command on a terminal of its own, 120 columns wide, and says all that it wrote there; `None`, said aloud,
/// where there is no `script` that makes one.
fn on_a_terminal(folder: &Folder, args: &str) -> Option<String> {
    let line = format!("stty cols 120 rows 40; exec '{}' {args}", binary().display());
    let mut command = folder.command(&["--version"]);
    let folder_of_it = command.get_current_dir().expect("it has one").to_path_buf();
    command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(folder_of_it).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env("TERM", "xterm-256color");
    match command.output() {
        Ok(output) if output.status.success() => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) if cfg!(target_os = "linux") => {
            panic!("{:?}: {}", output.status, String::from_utf8_lossy(&output.stdout))
        }
        other => {
            println!("skipped: no `script` makes a terminal here: {other:?}");
            None
        }
    }
}

/// The text as it stood on the terminal, line by line, each drawing of a bar being a line of its own.
fn drawn(screen: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut characters = screen.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // A sequence ends with a letter.
                while characters.next().is_some_and(|part| !part.is_ascii_alphabetic()) {}
            }
            '\r' | '\n' => lines.push(String::new()),
            _ => lines.last_mut().expect("there is one").push(character),
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

#[test]
fn g_a_terminal_shows_a_bar_with_name_rate_and_time_left() {
    let folder = Folder::with(&format!("{BY_HUNDREDS}{}", slow(RECORDER, 100_000)));
    folder.ok(&["import", Sample::Flights.here().arg()]);
    let Some(screen) = on_a_terminal(&folder, "run --until-caught-up") else { return };
    let lines = drawn(&screen);
    let bars: Vec<&String> = lines.iter().filter(|line| line.contains("/12,107")).collect();
    assert!(!bars.is_empty(), "no bar counts the events:\n{}", lines.join("\n"));
    assert!(
        bars.iter().all(|bar| bar.starts_with("recorder ")),
        "each bar has its projection's name: {bars:?}"
    );
    let words = |bar: &str| bar.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let moving = bars.iter().map(|bar| words(bar)).find(|words| {
        let digits = |text: &str| text.replace(',', "").parse::<u64>().ok();
        let rate = words.iter().find_map(|word| word.strip_suffix("/s").and_then(digits));
        let left = words.last().and_then(|word| word.strip_suffix('s')).and_then(digits);
        rate.is_some_and(|rate| rate > 0) && left.is_some()
    });
    assert!(moving.is_some(), "no bar has a rate and the time left:\n{}", lines.join("\n"));
    assert!(!screen.contains("{\"timestamp\""), "a terminal shows no JSON");
    let report = lines.iter().find(|line| line.contains("caught-up"));
    assert!(report.is_some_and(|line| line.contains("12,107")), "the report follows:\n{}", lines.join("\n"));
}

#[test]
fn g_anything_else_gets_json_lines_whose_fields_are_documented() {
    let page = include_str!("../../../../docs/logs.md");
    let documented: Vec<(&str, &str)> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let (message, rest) = line.trim_start_matches("| `").split_once("` |").expect("a row");
            (message.trim_end_matches('…'), rest)
        })
        .collect();
    let folder = poisoned("retry-in-order");
    let imported = folder.ok(&["import", folder.file("events.ndjson").to_str().expect("UTF-8")]).stderr;
    let mut running = folder.spawn(&["run", "-v"]);
    running.logs("it is caught up", LIMIT, |line| line["message"] == "caught up");
    folder.ok(&["pause", "book"]);
    running.logs("it is paused", LIMIT, |line| line["message"] == "paused by an operator");
    folder.ok(&["resume", "book"]);
    running.logs("it goes on", LIMIT, |line| line["message"] == "resumed");
    let written = running.stderr();
    terminate(running);

    let mut seen = Vec::new();
    for line in imported.lines().chain(written.lines()) {
        let json: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}: {line}"));
        let fields = json.as_object().unwrap_or_else(|| panic!("no object: {line}"));
        for common in ["timestamp", "level", "target", "message"] {
            assert!(fields[common].is_string(), "no {common}: {line}");
        }
        let message = json["message"].as_str().unwrap_or_default();
        let rows: Vec<_> = documented.iter().filter(|(text, _)| message.starts_with(text)).collect();
        let about_a_projection = fields.contains_key("projection");
        if rows.is_empty() {
            assert!(!about_a_projection && json["level"] == "DEBUG", "not documented: {line}");
            continue;
        }
        for field in fields
            .keys()
            .filter(|field| !["timestamp", "level", "target", "message"].contains(&field.as_str()))
        {
            let named = rows.iter().any(|(_, row)| row.contains(field.as_str()));
            assert!(named || field == "projection", "{field} is not documented: {line}");
        }
        seen.extend(rows.into_iter().map(|(text, _)| *text));
    }
    for expected in ["imported", "started", "batch committed", "progress", "event failed: ", "caught up"] {
        assert!(seen.contains(&expected), "never said: {expected}\n{written}");
    }
}

//! The documentation, held against the sources: what it names must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the tests are that `docs/guarantees.md` gives under a short name.
const PLACES: [(&str, &[&str]); 9] = [
    ("core", &["crates/core/src", "crates/core/tests/it"]),
    ("runtime", &["crates/runtime/src", "crates/runtime/tests/it"]),
    ("testkit", &["crates/testkit/src", "crates/testkit/tests/it"]),
    ("sqlite", &["crates/adapters-sqlite/src", "crates/adapters-sqlite/tests/it"]),
    ("postgres", &["crates/adapters-postgres/src", "crates/adapters-postgres/tests/it"]),
    ("redis", &["crates/adapters-redis/src", "crates/adapters-redis/tests/it"]),
    ("sinks", &["crates/adapters-sinks/src", "crates/adapters-sinks/tests/it"]),
    ("app", &["crates/app/src"]),
    ("end to end", &["tests/tests/it"]),
];
const CONTRACT: &str = "contract";
const SUITES: &str = "crates/testkit/src/contract";
/// The suites of the ports, by the macro that expands them.
const PORTS: [(&str, &str); 9] = [
    ("EventLog", "event_log_contract!"),
    ("AppendEvents", "append_events_contract!"),
    ("CheckpointStore", "checkpoint_store_contract!"),
    ("OwnedCheckpoints", "owned_checkpoints_contract!"),
    ("DeadLetters", "dead_letters_contract!"),
    ("Subscriptions", "persistent_subscription_contract!"),
    ("PersistTarget", "persist_target_contract!"),
    ("ReadModelStore", "read_model_store_contract!"),
    ("ProjectionControl", "projection_control_contract!"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace has this crate in a folder")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder whose names end so; none where there is no such folder.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The module of a file: `log/order.rs` is `log::order`, and `log/mod.rs` is `log`.
fn module(folder: &Path, file: &Path) -> String {
    let inner = file.strip_prefix(folder).expect("it is in the folder").with_extension("");
    let names = inner.iter().map(|name| name.to_str().expect("UTF-8"));
    names.filter(|name| !["mod", "lib", "main"].contains(name)).collect::<Vec<_>>().join("::")
}

/// The name of the function that a line declares.
fn declared(line: &str) -> Option<&str> {
    let at = line.strip_prefix("fn ").or_else(|| line.split_once(" fn ").map(|(_, behind)| behind))?;
    if line.starts_with("//") {
        return None;
    }
    let end = at.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(at.len());
    Some(&at[..end])
}

/// The functions of a source that the test runner runs.
fn tests_in(source: &str) -> BTreeSet<String> {
    let (mut found, mut is_test, mut is_ignored) = (BTreeSet::new(), false, false);
    for line in source.lines().map(str::trim) {
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        is_ignored |= line.starts_with("#[ignore");
        if let Some(name) = declared(line) {
            if is_test && !is_ignored {
                found.insert(name.to_owned());
            }
            (is_test, is_ignored) = (false, false);
        }
    }
    found
}

/// All tests of a place, as the document names them: unit tests without their `tests` module.
fn tests_at(place: &str) -> BTreeSet<String> {
    if place == CONTRACT {
        return laws();
    }
    let (_, folders) = PLACES.iter().find(|(name, _)| *name == place).expect("it is one of the places");
    let mut found = BTreeSet::new();
    for folder in folders.iter().map(|folder| root().join(folder)) {
        for file in files(&folder, ".rs") {
            let module = module(&folder, &file);
            found.extend(tests_in(&read(&file)).into_iter().map(|name| format!("{module}::{name}")));
        }
    }
    found
}

/// `event_log law_1_nothing_is_passed_over` and so on.
fn laws() -> BTreeSet<String> {
    let folder = root().join(SUITES);
    let of_file = |file: PathBuf| {
        let suite = module(&folder, &file);
        let source = read(&file);
        let names = source.lines().filter_map(|line| declared(line.trim()));
        names
            .filter(|name| name.starts_with("law_"))
            .map(|name| format!("{suite} {name}"))
            .collect::<Vec<_>>()
    };
    files(&folder, ".rs").into_iter().flat_map(of_file).collect()
}

/// A row of the document's tables.
struct Row {
    key: String,
    /// Places with the tests that are named for them; the empty place where none is.
    named: Vec<(String, String)>,
    is_later: bool,
}

fn rows() -> Vec<Row> {
    let text = read(&root().join("docs/guarantees.md"));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    text.lines().map(cells).filter(|cells| cells.len() == 5).map(|cells| row(&cells[1], &cells[3])).collect()
}

fn row(key: &str, tests: &str) -> Row {
    let mut named = Vec::new();
    for segment in tests.split(" · ") {
        let place = segment.strip_prefix("**").and_then(|rest| rest.split_once("** "));
        let place = place.map_or("", |(place, _)| place);
        let code = segment.split('`').skip(1).step_by(2);
        let names = code.filter(|code| code.contains("::") || code.contains(" law_"));
        named.extend(names.map(|name| (place.to_owned(), name.to_owned())));
    }
    Row { key: key.to_owned(), named, is_later: tests.contains("**later**") }
}

#[test]
fn every_test_that_a_guarantee_names_exists() {
    let places: Vec<_> = PLACES.iter().map(|(name, _)| *name).chain([CONTRACT]).collect();
    let known: Vec<_> = places.iter().map(|place| (*place, tests_at(place))).collect();
    for (place, tests) in &known {
        assert!(tests.len() > 5, "{place}: only {} tests were found", tests.len());
    }
    let rows = rows();
    let count = rows.iter().map(|row| row.named.len()).sum::<usize>();
    assert!(count > 500, "only {count} names were found in the document");
    let mut wrong = Vec::new();
    for Row { key, named, .. } in &rows {
        for (place, name) in named {
            let exists = known.iter().any(|(known, tests)| known == place && tests.contains(name));
            if !exists {
                let elsewhere =
                    known.iter().filter(|(_, tests)| tests.contains(name)).map(|(place, _)| *place);
                wrong.push(format!("{key}: {place} {name} {:?}", elsewhere.collect::<Vec<_>>()));
            }
        }
    }
    assert!(wrong.is_empty(), "no such tests, or in another place:\n{}", wrong.join("\n"));
}

#[test]
fn every_guarantee_has_a_test_or_is_said_to_come_later() {
    let rows = rows();
    let guarantees = [("E", 27), ("F", 6), ("X", 12)];
    for (letter, last) in guarantees {
        for number in 1..=last {
            let name = format!("{letter}-{number}");
            let of_it: Vec<_> =
                rows.iter().filter(|row| row.key.split(' ').next() == Some(name.as_str())).collect();
            assert!(!of_it.is_empty(), "{name} has no row");
            for row in of_it {
                assert!(row.is_later || !row.named.is_empty(), "{} names no test", row.key);
            }
        }
    }
}

#[test]
fn x_8_every_adapter_runs_the_suites_of_its_ports() {
    let mut checked = 0;
    let crates = fs::read_dir(root().join("crates")).expect("the workspace has crates");
    for entry in crates.map(|entry| entry.expect("the folder can be listed").path()) {
        let name = entry.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        if !name.starts_with("adapters-") {
            continue;
        }
        let all = |folder: &str| {
            files(&entry.join(folder), ".rs").iter().map(|file| read(file)).collect::<String>()
        };
        let (source, tests) = (all("src"), all("tests"));
        for (port, suite) in PORTS {
            if source.contains(&format!("impl {port} for ")) {
                assert!(tests.contains(suite), "{name} has a {port} and does not expand {suite}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 12, "only {checked} ports of adapters were found");
}

#[test]
fn g_the_runbook_lists_every_metric() {
    let names = |text: &str, quote: char| -> BTreeSet<String> {
        let quoted = text.split(quote).skip(1).step_by(2);
        quoted.filter(|name| name.starts_with("highwater_")).map(str::to_owned).collect()
    };
    let source = read(&root().join("crates/runtime/src/telemetry/metric.rs"));
    let constants = source.lines().filter(|line| line.starts_with("pub const")).collect::<String>();
    let runbook = read(&root().join("docs/runbook.md"));
    let tables = runbook.lines().filter(|line| line.starts_with("| `highwater_")).collect::<String>();
    let known = names(&constants, '"');
    assert!(known.len() > 10, "only {known:?}");
    assert_eq!(names(&tables, '`'), known);
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| -> String {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_of_the_documentation_lead_somewhere() {
    let mut documents: Vec<_> =
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)).to_vec();
    for folder in ["docs", "examples"] {
        documents.extend(files(&root().join(folder), ".md"));
    }
    let (mut wrong, mut count) = (Vec::new(), 0);
    for document in &documents {
        let text = read(document);
        let folder = document.parent().expect("a file is in a folder");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in targets.filter(|link| !link.contains("://")) {
            count += 1;
            let (path, anchor) = link.split_once('#').map_or((link, None), |(path, at)| (path, Some(at)));
            let target = if path.is_empty() { document.clone() } else { folder.join(path) };
            let leads =
                target.exists() && anchor.is_none_or(|anchor| anchors(&read(&target)).contains(anchor));
            if !leads {
                wrong.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(count > 20, "only {count} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! The commands around the projections: config, append, checkpoints, init.

use highwater_tests::projections::RECORDER;
use highwater_tests::{Folder, Sample};

#[test]
fn config_show_says_where_values_come_from_and_hides_secrets() {
    let folder = Folder::with(RECORDER);
    let shown = folder.json(&["config", "show", "--set", "defaults.batch=321"]);
    let row = |key: &str| {
        let rows = shown.as_array().unwrap_or_else(|| panic!("no list: {shown}"));
        let row = rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no {key} in {shown}"));
        let text = |part: &str| row[part].as_str().unwrap_or_default().to_owned();
        (text("value"), text("origin"))
    };
    assert_eq!(row("projection.recorder.batch").0, "321");
    assert!(row("projection.recorder.batch").1.contains("--set"), "{shown}");
    assert!(row("log.url").1.contains("highwater.toml:2"), "{shown}");
    assert_eq!(row("projection.recorder.max_batch").1, "default");

    folder.write("secret.toml", "[log]\nurl = \"esdb://me:s3cr3t@host?token=s3cr3t\"\n[store]\nurl = \"postgres://me:s3cr3t@127.0.0.1:1/db?password=s3cr3t\"\n");
    for args in
        [vec!["config", "show"], vec!["config", "show", "--json"], vec!["config", "check"], vec!["status"]]
    {
        let output = folder.run(&[vec!["--config", "secret.toml"], args.clone()].concat());
        let said = output.text() + &output.stderr;
        assert!(!said.contains("s3cr3t"), "{args:?} prints a password:\n{said}");
    }
    let output = folder.exits(2, &["--config", "secret.toml", "status"]);
    output.says(&["no adapter", "esdb", "postgres, sqlite"]);
}

#[test]
fn addresses_come_from_variables_files_and_the_environment() {
    let folder = Folder::empty();
    folder.write("highwater.toml", format!("[log]\nurl = \"${{EVENTS_URL}}\"\n{RECORDER}"));
    folder.exits(2, &["migrate"]).says(&["highwater.toml:2", "EVENTS_URL"]);
    let run = |name: &str, value: &str, file: &str| {
        let mut command = folder.command(&["migrate"]);
        command.env(name, value);
        let output = folder.finish(command);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert!(folder.file(file).exists(), "{file} is not there");
    };
    run("EVENTS_URL", "sqlite:one.db", "one.db");
    run("HIGHWATER_LOG__URL", "sqlite:two.db", "two.db");
    folder.write("url.txt", "sqlite:three.db\n");
    folder.write("highwater.toml", format!("[log]\nurl_file = \"url.txt\"\n{RECORDER}"));
    folder.ok(&["migrate"]);
    assert!(folder.file("three.db").exists());
    folder.ok(&["migrate", "--set", "log.url=sqlite:four.db"]);
    assert!(folder.file("four.db").exists());
}

#[test]
fn config_check_finds_an_apply_that_depends_on_how_the_log_is_cut() {
    let folder = Folder::with(RECORDER);
    let sample = folder.write("sample.ndjson", Sample::Flights.here().first_lines(200));
    let sample = sample.to_str().expect("UTF-8");
    folder.ok(&["config", "check"]);
    folder.ok(&["config", "check", "--sample", sample]);
    folder.configure(
        r#"
[[projection]]
name = "largest"
schema = "CREATE TABLE batches (events INTEGER NOT NULL)"
apply = "INSERT INTO batches SELECT count(*) FROM events"
"#,
    );
    folder.ok(&["config", "check"]);
    let output = folder.run(&["config", "check", "--sample", sample]);
    assert_eq!(output.code, Some(1), "F-1: {}\n{}", output.text(), output.stderr);
    assert!((output.text() + &output.stderr).contains("largest"));
    assert!(!folder.file("events.db").exists(), "a check creates nothing");
}

#[test]
fn append_with_an_expected_sequence() {
    let folder = Folder::with(RECORDER);
    let append = |expected: &'static str| {
        [
            "append",
            "--stream",
            "order-1",
            "--type",
            "Placed",
            "--data",
            "{\"total\": 12}",
            "--expected",
            expected,
        ]
    };
    let first = folder.json(&append("none"));
    assert_eq!((first["sequence"].as_u64(), first["duplicate"].as_bool()), (Some(0), Some(false)));
    assert_eq!(folder.json(&append("1"))["sequence"], 1);
    folder.exits(1, &append("1")).says(&["order-1", "expected", "1", "2"]);
    folder.exits(1, &append("none")).says(&["order-1"]);
    assert_eq!(folder.json(&append("any"))["sequence"], 2);

    let id = "7d9f2c1e-0000-4000-8000-000000000001";
    let with_id = |data: &'static str| ["append", "-s", "order-2", "-t", "Placed", "-d", data, "--id", id];
    assert_eq!(folder.json(&with_id("1"))["duplicate"], false);
    let again = folder.json(&with_id("1"));
    assert_eq!((again["duplicate"].as_bool(), again["sequence"].as_u64()), (Some(true), Some(0)));
    folder.exits(1, &with_id("2")).says(&[id]);
    folder
        .exits(2, &["append", "-s", "order-2", "-t", "Placed", "-d", "{total: 1}"])
        .says(&["--data", "JSON"]);
    let exported = folder.ok(&["export"]).text();
    assert_eq!(exported.lines().count(), 4);
    assert!(exported.contains("\"data\":{\"total\": 12}"), "X-9: as it was written, blank and all");
}

#[test]
fn checkpoints_go_forward_and_back_only_when_that_is_meant() {
    let folder = Folder::with(RECORDER);
    folder.ok(&["migrate"]);
    let outcome = |args: &[&str]| {
        let output = folder.run(&[args, &["--json"]].concat());
        let json = output.json();
        (
            output.code,
            json["outcome"].as_str().map(str::to_owned),
            json["position"].as_str().map(str::to_owned),
        )
    };
    let is = |code, outcome: &str, position: &str| {
        (Some(code), Some(outcome.to_owned()), Some(position.to_owned()))
    };
    let most = "18446744073709551615:9007199254740993";
    assert_eq!(outcome(&["checkpoints", "set", "prod:a", "12:0"]), is(0, "applied", "12:0"));
    assert_eq!(outcome(&["checkpoints", "set", "prod:a", "12:0"]), is(0, "unchanged", "12:0"));
    assert_eq!(outcome(&["checkpoints", "set", "prod:a", "11:9"]), is(1, "stale", "12:0"));
    assert_eq!(outcome(&["checkpoints", "set", "prod:a", most]), is(0, "applied", most));
    assert_eq!(folder.json(&["checkpoints", "get", "prod:a"])["position"], most);
    assert_eq!(
        outcome(&["checkpoints", "reset", "prod:a", "1:0", "--expected", "2:0", "--yes"]),
        is(1, "stale", most)
    );
    assert_eq!(
        outcome(&["checkpoints", "reset", "prod:a", "1:0", "--expected", most, "--yes"]),
        is(0, "applied", "1:0")
    );
    folder.exits(3, &["checkpoints", "get", "prod:b"]).says(&["prod:b"]);
    folder.exits(2, &["checkpoints", "set", "prod:a", "01:0"]).says(&["01:0"]);
    for key in ["prod-eu:a", "prod:b", "dev:a"] {
        folder.ok(&["checkpoints", "set", key, "5:0"]);
    }
    folder.exits(2, &["checkpoints", "clear", "prod:*", "--yes"]).says(&["prod:"]);
    folder.exits(2, &["checkpoints", "clear", "", "--yes"]);
    folder.exits(2, &["checkpoints", "clear", "prod:"]).says(&["--yes"]);
    assert_eq!(folder.json(&["checkpoints", "clear", "prod:", "--dry-run"])["deleted"], 2);
    assert_eq!(folder.json(&["checkpoints", "clear", "prod:", "--yes"])["deleted"], 2);
    let left = folder.json(&["checkpoints", "list"]);
    let keys: Vec<_> = left.as_array().into_iter().flatten().filter_map(|row| row["key"].as_str()).collect();
    assert_eq!(keys, ["dev:a", "prod-eu:a"]);
    assert_eq!(folder.json(&["checkpoints", "delete", "dev:a", "--yes"])["deleted"], 1);
    folder.exits(3, &["checkpoints", "delete", "dev:a", "--yes"]).says(&["dev:a"]);
}

#[test]
fn init_writes_a_config_that_runs_and_overwrites_nothing() {
    let folder = Folder::empty();
    folder.ok(&["init", "shop"]);
    let config = folder.file("shop/highwater.toml");
    let config = config.to_str().expect("UTF-8");
    folder.ok(&["--config", config, "config", "check"]);
    folder.ok(&["--config", config, "migrate"]);
    folder.ok(&["--config", config, "append", "-s", "order-1", "-t", "OrderPlaced", "-d", "{\"total\":12}"]);
    folder.ok(&["--config", config, "run", "--until-caught-up", "--fail-on-parked"]);
    let written = std::fs::read(config).expect("init wrote it");
    let output = folder.run(&["init", "shop"]);
    assert_ne!(output.code, Some(0), "init again must say that there is something already");
    output.says(&["highwater.toml"]);
    assert_eq!(std::fs::read(config).expect("it is still there"), written);
}

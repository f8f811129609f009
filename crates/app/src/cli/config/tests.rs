//! A whole config: its layers, and everything that can be wrong with it.

use std::path::PathBuf;
use std::time::Duration;

use highwater::compose::{Address, Ownership, SinkSpec};
use highwater_core::model::Filter;

use super::load::{Config, ConfigSource, DEFAULT_FILE, load};
use super::problems::ConfigError;

const GOOD: &str = r#"
[log]
url = "sqlite:flights.db"

[defaults]
batch = 400
drain = "5s"

[[projection]]
name    = "airport_delays"
version = 2
types   = ["FlightDeparted", "FlightD*"]
streams = ["case-*"]
schema  = "CREATE TABLE a (b)"
apply   = """
INSERT INTO a
SELECT 1 FROM events"""
on_failure = "park-stream"
batch = 300
verify.ignore = ["updated_at"]
[projection.on]
FlightDiverted = "INSERT INTO a VALUES (1)"

[[projection]]
name = "landings"
on = { FlightLanded = "INSERT INTO a VALUES (1)" }
"#;

struct Try {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
    flags: Vec<String>,
}

impl Try {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new(), flags: Vec::new() }
    }

    fn load(&self, text: &str) -> Result<Config, ConfigError> {
        let file = self.folder.path().join(DEFAULT_FILE);
        std::fs::write(&file, text).unwrap();
        load(&ConfigSource { file: Some(file), flags: self.flags.clone(), variables: self.variables.clone() })
    }

    fn problems(&self, text: &str) -> Vec<String> {
        let prefix = format!("{}/", self.folder.path().display());
        let error = self.load(text).expect_err("must be refused");
        error.problems.into_iter().map(|problem| problem.replace(&prefix, "")).collect()
    }
}

fn origin<'c>(config: &'c Config, key: &str) -> (&'c str, String) {
    let shown = config.shown.iter().find(|shown| shown.key == key).unwrap_or_else(|| panic!("no {key}"));
    (&shown.value, shown.origin.rsplit('/').next().unwrap_or_default().to_owned())
}

#[test]
fn a_good_config_is_read_with_its_origins() {
    let config = Try::new().load(GOOD).unwrap();
    assert_eq!(config.log, config.store, "the store is the log's database");
    assert_eq!(config.projections.len(), 2);
    let delays = &config.projections[0];
    assert_eq!(delays.spec.version, 2);
    assert_eq!(delays.spec.settings.batch, 300);
    assert_eq!(delays.spec.settings.drain.as_secs(), 5);
    assert_eq!(delays.ignore, ["updated_at"]);
    let apply = delays.spec.apply.as_ref().unwrap();
    assert_eq!((apply.first_line, apply.text.as_str()), (16, "INSERT INTO a\nSELECT 1 FROM events"));
    assert_eq!(config.projections[1].spec.settings.batch, 400);
    assert_eq!(config.projections[1].spec.filter, Filter::types(["FlightLanded"]), "F-4");
    assert_eq!(origin(&config, "projection.airport_delays.batch"), ("300", "highwater.toml:19".to_owned()));
    assert_eq!(origin(&config, "projection.landings.batch"), ("400", "highwater.toml:6".to_owned()));
    assert_eq!(origin(&config, "projection.landings.read_ahead").1, "default");
    assert_eq!(origin(&config, "store.url").1, "default (the log's)");
}

#[test]
fn layers_default_file_environment_projection_flags() {
    let mut attempt = Try::new();
    attempt.variables = vec![("HIGHWATER_DEFAULTS__BATCH".to_owned(), "450".to_owned())];
    let config = attempt.load(GOOD).unwrap();
    assert_eq!(config.projections[0].spec.settings.batch, 300, "the projection's own");
    assert_eq!(config.projections[1].spec.settings.batch, 450);
    attempt.flags = vec!["defaults.batch=470".to_owned(), "log.url=sqlite:other.db".to_owned()];
    let config = attempt.load(GOOD).unwrap();
    assert_eq!(config.projections[0].spec.settings.batch, 470, "a flag wins over everything");
    assert_eq!(config.log.secret(), "sqlite:other.db", "relative to where the flag was typed");
    assert_eq!(origin(&config, "log.url").1, "--set log.url");
}

#[test]
fn x_12_everything_that_is_wrong_is_listed_with_its_line() {
    let problems = Try::new().problems(
        r#"[log]
ulr = "x"
[defaults]
batch = "many"
statement_timeout = "90s"
[[projection]]
name = "a b"
type = ["A"]
apply = "SELECT 1"
[[projection]]
name = "p"
version = 0
types = []
schema = "missing.sql"
apply = 7
[[projection]]
name = "p"
[[projection]]
apply = "SELECT 1"
[[projection]]
name = "q"
types = ["A*"]
on.B = "SELECT 1"
on.A.b = "SELECT 1"
max_failures = 0
[projections]
"#,
    );
    let has = |line: usize, text: &str| {
        let prefix = format!("highwater.toml:{line}: ");
        assert!(
            problems.iter().any(|problem| problem.starts_with(&prefix) && problem.contains(text)),
            "nothing at line {line} says {text:?}: {problems:#?}"
        );
    };
    has(2, "did you mean `url`?");
    has(1, "`log` needs `url`");
    has(4, "whole number");
    has(5, "batch_deadline");
    has(7, "is not a projection name");
    has(8, "did you mean `types`?");
    has(12, "from 1");
    has(13, "empty list");
    has(14, "missing.sql");
    has(15, "SQL in quotes");
    has(17, "does nothing");
    has(18, "needs a `name`");
    has(23, "is never reached");
    has(24, "in quotes");
    has(25, "`max_failures` is 0");
    has(26, "did you mean `projection`?");
}

#[test]
fn names_are_unique_and_the_log_is_needed() {
    let twice =
        "[log]\nurl='sqlite:a'\n[[projection]]\nname='p'\napply='x'\n[[projection]]\nname='p'\napply='x'\n";
    let problems = Try::new().problems(twice);
    assert_eq!(problems, ["highwater.toml:7: there is a projection `p` already, at highwater.toml:4"]);
    assert!(Try::new().problems("")[0].contains("`log.url` is missing"));
    assert!(
        Try::new().problems("[log]\nurl='sqlite:a'\n[projection]\nname='p'")[0].contains("[[projection]]")
    );
    let problems = Try::new().problems("[log]\nurl='kurrentdb://h'");
    assert!(problems[0].contains("`store.url` is missing"), "{problems:?}");
}

#[test]
fn addresses_from_variables_and_files() {
    let mut attempt = Try::new();
    attempt.variables = vec![("DATABASE_URL".to_owned(), "postgres://u:secret@h/db".to_owned())];
    let config = attempt.load("[log]\nurl = \"${DATABASE_URL}\"").unwrap();
    assert_eq!(config.store.secret(), "postgres://u:secret@h/db");
    assert!(config.shown.iter().all(|shown| !shown.value.contains("secret")));
    std::fs::write(attempt.folder.path().join("url"), "sqlite:a.db\n").unwrap();
    let config = attempt.load("[log]\nurl_file = \"url\"").unwrap();
    assert!(config.log.secret().ends_with("/a.db"));
    assert!(attempt.problems("[log]\nurl_file='url'\nurl='x:y'")[0].contains("not both"));
    attempt.flags = vec!["log.url=sqlite:b.db".to_owned()];
    assert_eq!(attempt.load("[log]\nurl_file = \"url\"").unwrap().log.secret(), "sqlite:b.db");
    assert!(Try::new().problems("[log]\nurl='${NO}'")[0].contains("NO, which is not set"));
}

#[test]
fn without_a_file_the_address_is_enough() {
    let source =
        ConfigSource { file: Some(PathBuf::from("/nowhere/highwater.toml")), ..ConfigSource::default() };
    assert!(load(&source).unwrap_err().problems[0].contains("cannot be read"));
}

const HANDLERS: &str = r#"
[log]
url = "sqlite:flights.db"

[checkpoints]
url = "sqlite:checkpoints.db"
preset = "high-latency"
max_pending = 700

[handler_defaults]
lanes = 2
retry_delay = "3s"

[[handler]]
name = "out"
types = ["Flight*"]
http = { url = "https://me:${PW}@hooks.example/s3cr3t", headers = { Authorization = "Bearer ${PW}" }, batch = { max_events = 50 } }
lanes = 8

[[handler]]
name = "index"
exec = { command = ["./index", "--fast"], timeout = "2s" }

[[handler]]
name = "lines"
stdout = true
"#;

#[test]
fn a_good_config_of_handlers_is_read_with_its_origins() {
    let mut this = Try::new();
    this.variables.push(("PW".to_owned(), "s3cr3t".to_owned()));
    this.flags.push("handler_defaults.retry_delay=4s".to_owned());
    let config = this.load(HANDLERS).unwrap();
    let [out, index, lines] = &config.handlers[..] else { panic!("{:?}", config.handlers) };
    assert_eq!((out.spec.settings.lanes, index.spec.settings.lanes), (8, 2));
    assert_eq!(out.spec.settings.batch, 50, "a batch of the sink is filled by the runner's");
    assert!(config.handlers.iter().all(|handler| handler.spec.settings.retry_delay.as_secs() == 4));
    let SinkSpec::Http(http) = &out.spec.sink else { panic!("{:?}", out.spec.sink) };
    assert_eq!(http.url, "https://me:s3cr3t@hooks.example/s3cr3t");
    assert_eq!(http.headers, [("Authorization".to_owned(), "Bearer s3cr3t".to_owned())]);
    let SinkSpec::Exec(exec) = &index.spec.sink else { panic!("{:?}", index.spec.sink) };
    assert_eq!(exec.command[0], this.folder.path().join("index").display().to_string());
    assert_eq!(lines.spec.sink, SinkSpec::Stdout);

    assert_eq!(
        (config.checkpoints.persistence.max_pending, config.checkpoints.persistence.max_batch_size),
        (700, 50)
    );
    assert!(config.checkpoints.url.is_some() && config.checkpoints_address().is_some());
    assert_eq!(origin(&config, "checkpoints.max_batch_size"), ("50", "highwater.toml:7".to_owned()));
    assert_eq!(origin(&config, "checkpoints.lease").1, "default");
    assert_eq!(origin(&config, "handler.out.lanes"), ("8", "highwater.toml:18".to_owned()));
    assert_eq!(origin(&config, "handler.index.lanes"), ("2", "highwater.toml:11".to_owned()));
    assert_eq!(origin(&config, "handler.out.retry_delay").1, "--set handler_defaults.retry_delay");
    assert_eq!(
        origin(&config, "handler.out.http.url"),
        ("https://hooks.example/***", "highwater.toml:17".to_owned())
    );
    let shown = format!("{:?}", config.shown);
    assert!(!shown.contains("s3cr3t") && shown.contains("Authorization"), "{shown}");
}

#[test]
fn x_12_everything_that_is_wrong_with_handlers_is_listed_with_its_line() {
    let wrong = r#"
[log]
url = "sqlite:flights.db"
[checkpoints]
preset = "fast"
lease = "0s"
[handler_defaults]
lane = 2
[[projection]]
name = "taken"
apply = "SELECT 1"
[[handler]]
name = "taken"
stdout = true
[[handler]]
name = "none"
[[handler]]
name = "two"
stdout = true
http = { url = "http://x.example" }
[[handler]]
name = "bad"
lanes = 5000
max_retry = 3
http = { url = "ftp://x.example", timout = "3s", batch = { max_events = 0 } }
[[handler]]
name = "slow"
exec = { command = ["true"], timeout = "30s" }
[[handler]]
name = "variable"
http = { url = "${MISSING}" }
"#;
    let problems = Try::new().problems(wrong);
    for (line, part) in [
        (5, "\"fast\""),
        (6, "`checkpoints.lease` is 0"),
        (8, "did you mean `lanes`"),
        (13, "there is a projection `taken` already, at highwater.toml:10"),
        (15, "give it `http`, `exec` or `stdout`"),
        (17, "it has http and stdout"),
        (23, "1 to 1024 lanes"),
        (24, "did you mean `max_retries`"),
        (25, "did you mean `timeout`"),
        (25, "only http and https"),
        (25, "`batch.max_events` is 0"),
        (28, "must be shorter than `handler_timeout`"),
        (31, "MISSING"),
    ] {
        let place = format!("highwater.toml:{line}: ");
        assert!(
            problems.iter().any(|problem| problem.starts_with(&place) && problem.contains(part)),
            "{line}: {part}: {problems:#?}"
        );
    }
}

#[test]
fn checkpoints_in_a_database_of_their_own_say_how_it_is_reached() {
    let base = "[log]\nurl = \"sqlite:flights.db\"\n[checkpoints]\n";
    let keys = "max_connections = 2\nownership = \"lease\"\n";
    let config = Try::new().load(&format!("{base}url = \"postgres://h/db\"\n{keys}")).unwrap();
    assert_eq!(origin(&config, "checkpoints.max_connections"), ("2", "highwater.toml:5".to_owned()));
    assert_eq!(origin(&config, "checkpoints.lease_term"), ("10s", "default".to_owned()));
    let expected = Address::new("postgres://h/db").max_connections(Some(2));
    let by_lease = Ownership::Lease { term: Duration::from_secs(10) };
    assert!(config.checkpoints_address() == Some(expected.ownership(by_lease)));

    let problems = Try::new().problems(&format!("{base}{keys}"));
    for (line, key) in [(4, "max_connections"), (5, "ownership")] {
        let expected = format!("highwater.toml:{line}: `checkpoints.{key}` needs a `url` beside it");
        assert!(problems.iter().any(|problem| problem.starts_with(&expected)), "{problems:#?}");
    }
}

#[test]
fn a_server_is_told_how_many_connections_and_how_owners_are_told_apart() {
    let log = "[log]\nurl = \"postgres://h/db\"\n";
    let plain = Try::new().load(log).unwrap();
    assert_eq!(origin(&plain, "log.ownership"), ("session", "default".to_owned()));
    assert_eq!(origin(&plain, "log.max_connections"), ("8", "default".to_owned()));
    assert!(plain.shown.iter().all(|shown| !shown.key.starts_with("store.m")), "it is the log's");
    let mut attempt = Try::new();
    attempt.variables = vec![("HIGHWATER_LOG__MAX_CONNECTIONS".to_owned(), "3".to_owned())];
    attempt.flags = vec!["log.lease_term=4s".to_owned()];
    let keys = "max_connections = 2\nownership = \"lease\"\nschema = \"hw\"\n";
    let store = "[store]\nurl = \"postgres://h/other\"\nmax_connections = 5\n";
    let config = attempt.load(&format!("{log}{keys}{store}")).unwrap();
    assert_eq!(origin(&config, "log.ownership"), ("lease", "highwater.toml:4".to_owned()));
    assert_eq!(origin(&config, "log.schema"), ("hw", "highwater.toml:5".to_owned()));
    let variable = "HIGHWATER_LOG__MAX_CONNECTIONS".to_owned();
    assert_eq!(origin(&config, "log.max_connections"), ("3", variable));
    assert_eq!(origin(&config, "log.lease_term"), ("4s", "--set log.lease_term".to_owned()));
    assert_eq!(origin(&config, "store.max_connections"), ("5", "highwater.toml:8".to_owned()));
    assert_eq!(origin(&config, "store.ownership"), ("session", "default".to_owned()));
    let by_lease = Ownership::Lease { term: Duration::from_secs(4) };
    let expected = Address::new("postgres://h/db").schema(Some("hw".to_owned()));
    assert!(config.log.address() == expected.ownership(by_lease).max_connections(Some(3)));
}

#[test]
fn x_12_what_a_server_cannot_be_told_is_named_with_its_line() {
    let problems = Try::new().problems(
        r#"[log]
url = "postgres://h/db"
max_connections = 0
ownership = "leases"
[store]
url = "postgres://h/db"
ownership = "lease"
lease_term = "1s"
max_conections = 3
"#,
    );
    let has = |line: usize, text: &str| {
        let prefix = format!("highwater.toml:{line}: ");
        let found = problems.iter().any(|problem| problem.starts_with(&prefix) && problem.contains(text));
        assert!(found, "nothing at line {line} says {text:?}: {problems:#?}");
    };
    has(3, "from 1 to");
    has(4, "\"lease\" behind a connection pooler");
    has(8, "from 2s to 10m");
    has(9, "did you mean `max_connections`?");
    assert_eq!(problems.len(), 4, "{problems:#?}");
    let alone = Try::new().problems("[log]\nurl='postgres://h/db'\nlease_term='10s'\nmax_connections='many'");
    assert!(alone[0].contains("counts only beside `log.ownership = \"lease\"`"), "{alone:?}");
    assert!(alone[1].contains("whole number"), "{alone:?}");
    let file = Try::new().problems("[log]\nurl='sqlite:a'\nownership='lease'\nmax_connections=3");
    assert!(file.len() == 2 && file.iter().all(|problem| problem.contains("is for PostgreSQL")), "{file:?}");
}

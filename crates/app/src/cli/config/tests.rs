//! A whole config: its layers, and everything that can be wrong with it.

use std::path::PathBuf;

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

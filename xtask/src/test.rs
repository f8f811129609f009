//! `cargo xtask test`: the whole suite on a machine that has only Rust and a C compiler.
//!
//! The order is chosen so that the closing lines of the test runner come last: the binary that the end-to-end
//! tests start, the examples in the documentation, then everything else. All three use the same selection of
//! packages and features, so that nothing is compiled twice.

use std::{
    env,
    ffi::OsString,
    path::{self, Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{cargo, services::Services};

/// Tells tests of other crates where the `highwater` binary is; cargo tells only the binary's own.
const BINARY: &str = "HIGHWATER_BIN";
/// The folder of sample event streams; tests that need it are skipped, visibly, where it is unset.
const TEST_DATA: &str = "HIGHWATER_TEST_DATA";
/// One selection for every call: another one would change the unified features and compile the crates anew.
const EVERYTHING: [&str; 2] = ["--workspace", "--all-features"];

/// Runs the suite with the servers that it needs; `args` go to the test runner, and with any the documentation's examples are left out.
///
/// # Errors
/// The first call of cargo that fails, or a data folder that is not there.
pub(crate) fn run(services: &Services, args: &[OsString]) -> anyhow::Result<()> {
    let mut variables = vec![(BINARY, build_binary()?)];
    if let Some(folder) = env::var_os(TEST_DATA) {
        variables.push((TEST_DATA, data_folder(Path::new(&folder))?));
    }
    if args.is_empty() {
        let mut examples = cargo::cargo(["test"]);
        examples.args(EVERYTHING).arg("--doc").envs(variables.clone());
        cargo::run(services.tell(&mut examples))?;
    } else {
        eprintln!("test: the documentation's examples are left out, because the runner got arguments");
    }
    let mut runner = if cargo::has_subcommand("nextest")? {
        let mut nextest = cargo::cargo(["nextest", "run"]);
        nextest.args(EVERYTHING);
        nextest
    } else {
        let mut test = cargo::cargo(["test"]);
        test.args(EVERYTHING).arg("--all-targets");
        test
    };
    cargo::run(services.tell(runner.args(args).envs(variables)))
}

/// Builds the `highwater` binary and returns its path, as cargo reports it.
fn build_binary() -> anyhow::Result<PathBuf> {
    let mut build = cargo::cargo(["build"]);
    build.args(EVERYTHING).args(["--bin", "highwater", "--message-format=json-render-diagnostics"]);
    executable(&cargo::stdout_of(&mut build)?)
}

/// The path of the `highwater` binary in cargo's build messages, one JSON object a line.
fn executable(messages: &str) -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let mut found = None;
    for line in messages.lines() {
        let message: Message = serde_json::from_str(line)
            .with_context(|| format!("cannot read cargo's build message {line:?}"))?;
        if message.target.is_some_and(|target| target.name == "highwater") {
            found = message.executable.or(found);
        }
    }
    found.context("cargo built no `highwater` binary: does the package still have a binary of that name?")
}

/// The data folder as an absolute path, since tests run in their own packages' folders.
fn data_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    if !folder.is_dir() {
        bail!("{TEST_DATA} names {folder:?}, which is not a folder: correct it or unset it");
    }
    path::absolute(folder).with_context(|| format!("cannot resolve {TEST_DATA} {folder:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_other_build_messages() {
        let messages = [
            r#"{"reason":"compiler-artifact","target":{"name":"highwater"},"executable":null}"#,
            r#"{"reason":"build-script-executed","package_id":"x"}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"other"},"executable":"/t/other"}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"highwater"},"executable":"/t/highwater"}"#,
            r#"{"reason":"build-finished","success":true}"#,
        ]
        .join("\n");
        assert_eq!(executable(&messages).expect("the binary is listed"), Path::new("/t/highwater"));
    }

    #[test]
    fn no_binary_and_no_json_are_errors() {
        let error = executable(r#"{"reason":"build-finished","success":true}"#).unwrap_err();
        assert!(error.to_string().contains("no `highwater` binary"), "{error:#}");
        let error = executable("warning: not json").unwrap_err();
        assert!(error.to_string().contains("warning: not json"), "{error:#}");
    }

    #[test]
    fn the_data_folder_must_exist_and_becomes_absolute() {
        assert!(data_folder(Path::new("src")).expect("this crate's sources").is_absolute());
        let error = data_folder(Path::new("no/such/folder")).unwrap_err();
        assert!(error.to_string().contains("no/such/folder"), "{error:#}");
    }
}

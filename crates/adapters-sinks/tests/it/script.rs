//! Small shell scripts that take events.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use highwater_sinks::{ExecSettings, ExecSink};

/// Reads lines and leaves the id of each in `$id`; `$n` counts them within one process.
pub(crate) const LOOP: &str = r#"
n=0
say() { printf '{"id":"%s",%s}\n' "$id" "$1"; }
next() { IFS= read -r line || return 1; id=${line#\{\"id\":\"}; id=${id%%\"*}; n=$((n+1)); }
"#;

/// A script in a folder of its own, which it finds in `$DIR`; `starts` there has a line for each process.
pub(crate) struct Script {
    dir: TempDir,
    text: String,
}

impl Script {
    /// Behind [`LOOP`], this.
    pub(crate) fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, text: format!("echo $$ >>\"$DIR/starts\"\n{LOOP}\n{text}") }
    }

    /// Answers every event with ok.
    pub(crate) fn ok() -> Self {
        Self::new(r#"while next; do say '"ok":true'; done"#)
    }

    pub(crate) fn settings(&self) -> ExecSettings {
        ExecSettings {
            env: vec![("DIR".into(), self.dir.path().to_str().unwrap().into())],
            // Nothing here is to take long, but the machine may be busy.
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            ..ExecSettings::new(["sh", "-c", &self.text])
        }
    }

    pub(crate) fn sink(&self) -> ExecSink {
        ExecSink::new(self.settings()).unwrap()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// What is in this file; nothing where it is not there.
    pub(crate) fn read(&self, file: &str) -> String {
        match std::fs::read_to_string(self.path(file)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{file}: {error}"),
        }
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> usize {
        self.read("starts").lines().count()
    }
}

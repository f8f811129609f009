//! One process of the binary, from its start to its end.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::poll::poll;

/// What a process left behind.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output, byte for byte.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            panic!("the output is no JSON: {error}\n{}\n{}", self.text(), self.stderr)
        })
    }

    /// Says that standard error names all of `texts`.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.stderr.contains(text), "the message does not name {text:?}:\n{}", self.stderr);
        }
        self
    }
}

/// How much is shown of what a process said when its test fails.
const LAST_LINES: usize = 30;

/// A process that runs. Dropping it kills it; if that is since its test fails, it shows what it said last.
#[derive(Debug)]
pub struct Running {
    child: Child,
    args: String,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
    _outputs: TempDir,
}

impl Running {
    /// Starts a process; what it writes goes to files, so that it never waits for a reader.
    pub(crate) fn start(mut command: Command) -> Self {
        let outputs = tempfile::tempdir().expect("a temporary folder can be made");
        let file = || NamedTempFile::new_in(outputs.path()).expect("a temporary file can be made");
        let (stdout, stderr) = (file(), file());
        let to = |file: &NamedTempFile| Stdio::from(file.reopen().expect("a file that was just made opens"));
        command.stdout(to(&stdout)).stderr(to(&stderr));
        let args = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {args}: {error}"));
        Self { child, args, stdout, stderr, _outputs: outputs }
    }

    /// kill -9; returns when the process is gone.
    pub fn kill(mut self) -> Output {
        self.child.kill().expect("a child that was not waited for can be killed");
        let status = self.child.wait().expect("a child can be waited for");
        self.output(status)
    }

    /// The number by which the system knows it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        assert!(sent.expect("a shell is there").success(), "cannot send {name} to {}", self.args);
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended after `limit`.
    #[must_use]
    pub fn wait(mut self, limit: Duration) -> Output {
        let what = format!("the end of {}", self.args);
        let status = poll(&what, limit, || self.child.try_wait().expect("a child can be asked"));
        self.output(status)
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&read(self.stderr.path().to_path_buf())).into_owned()
    }

    /// What it has logged so far: the lines that are JSON.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        self.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until it has logged a line that `wanted` accepts.
    ///
    /// # Panics
    /// When there is none after `limit`, or the process ends before.
    pub fn logs(&mut self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        poll(&format!("a log line: {what}"), limit, || {
            let ended = !self.is_running();
            let found = self.log().into_iter().find(&wanted);
            assert!(found.is_some() || !ended, "ended without a log line: {what}\n{}", self.stderr());
            found
        })
    }

    fn output(&self, status: ExitStatus) -> Output {
        let stdout = read(self.stdout.path().to_path_buf());
        Output { code: status.code(), stdout, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.stderr();
            let last = said.lines().count().saturating_sub(LAST_LINES);
            eprintln!("the end of what {} said:", self.args);
            said.lines().skip(last).for_each(|line| eprintln!("{line}"));
        }
        // A process that has ended already cannot be killed, which is as well.
        if self.child.kill().is_ok() && self.child.wait().is_err() {
            eprintln!("a process could not be waited for: {}", self.args);
        }
    }
}

fn read(path: PathBuf) -> Vec<u8> {
    fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

//! A folder with a config, in which the binary is run as a user would run it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::binary;
use crate::database::Database;
use crate::running::{Output, Running};

/// How long a command may take that is to end by itself: far more than any takes.
const LIMIT: Duration = Duration::from_secs(120);

/// The log of a folder, unless another one is given.
const SQLITE: &str = "[log]\nurl = \"sqlite:events.db\"\n";

/// A temporary folder, gone when it is dropped.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
    log: String,
}

impl Folder {
    /// An empty folder.
    #[must_use]
    pub fn empty() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self { folder, log: SQLITE.to_owned() }
    }

    /// A folder whose `highwater.toml` has its log in `events.db`, and this behind it.
    #[must_use]
    pub fn with(config: &str) -> Self {
        let this = Self::empty();
        this.configure(config);
        this
    }

    /// A folder whose `highwater.toml` begins with this table `[log]`, and has this behind it.
    #[must_use]
    pub fn with_log(log: &str, config: &str) -> Self {
        let this = Self { log: log.to_owned(), ..Self::empty() };
        this.configure(config);
        this
    }

    /// Writes the config anew, behind the same log.
    pub fn configure(&self, config: &str) {
        self.write("highwater.toml", format!("{}{config}", self.log));
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// The database that [`Folder::with`] names.
    #[must_use]
    pub fn database(&self) -> Database {
        Database::read(&self.file("events.db"))
    }

    /// The same, for tampering with it.
    #[must_use]
    pub fn tamper(&self) -> Database {
        Database::write(&self.file("events.db"))
    }

    /// The binary with these arguments, in this folder, with nothing of our environment that it listens to.
    #[must_use]
    pub fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(binary());
        command.args(args);
        self.prepared(command)
    }

    /// The binary under limits that a shell sets first, such as `ulimit -f 100`.
    #[must_use]
    pub fn limited(&self, limit: &str, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{limit}; exec \"$0\" \"$@\"")).arg(binary()).args(args);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            let ours = name.to_str().is_some_and(|name| name.starts_with("HIGHWATER_") || name == "RUST_LOG");
            if ours {
                command.env_remove(name);
            }
        }
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// Starts the binary.
    #[must_use]
    pub fn spawn<A: AsRef<OsStr>>(&self, args: &[A]) -> Running {
        Running::start(self.command(args))
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn finish(&self, command: Command) -> Output {
        Running::start(command).wait(LIMIT)
    }

    /// Runs the binary to its end.
    #[must_use]
    pub fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Output {
        self.finish(self.command(args))
    }

    /// Runs the binary, which must end with `code`.
    #[track_caller]
    pub fn exits<A: AsRef<OsStr>>(&self, code: i32, args: &[A]) -> Output {
        let output = self.run(args);
        let args: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
        assert_eq!(
            output.code,
            Some(code),
            "highwater {}\n{}\n{}",
            args.join(" "),
            output.text(),
            output.stderr
        );
        output
    }

    /// Runs the binary, which must succeed.
    #[track_caller]
    pub fn ok<A: AsRef<OsStr>>(&self, args: &[A]) -> Output {
        self.exits(0, args)
    }

    /// Runs the binary with `--json`, which must succeed; its result.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.ok(&[args, &["--json"]].concat()).json()
    }
}

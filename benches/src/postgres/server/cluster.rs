//! A cluster of our own, which is gone when we are.
//!
//! A guard that stops the server when it is dropped covers errors and panics, and neither Ctrl-C nor a
//! `kill`. So a *keeper* stands beside the server: a shell that reads from a pipe whose other end only we
//! have. When we are gone, for whatever reason, the pipe ends, and the keeper stops the server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::account::Account;
use super::binaries::Binaries;

/// The keeper: `$1` is the folder of the data, `$2` that of the socket, the rest the command that stops the
/// server.
const KEEPER: &str = r#"
trap '' HUP INT TERM
data=$1
socket=$2
shift 2
read -r _
"$@"
rm -rf "$data" "$socket"
"#;
const LOOKS: u32 = 600;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// The superuser.
pub(super) const USER: &str = "postgres";
pub(super) const PORT: &str = "5432";
/// What differs from the server's own defaults, none of which is about durability: a cache that holds the
/// log, so that the disk's reads are not measured; no checkpoint because of volume in the middle of a run;
/// and the database's name in the log, by which statements are counted.
pub(super) const SETTINGS: [&str; 4] =
    ["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h", "log_line_prefix=%m [%p] %d "];

/// A server of our own. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Cluster {
    server: Child,
    keeper: Child,
    log: PathBuf,
    /// Short, since the path of a socket has at most about a hundred bytes.
    socket: TempDir,
}

impl Cluster {
    /// Makes and starts a cluster in `folder`.
    ///
    /// # Errors
    /// What the server's programs say.
    pub(super) fn start(binaries: &Binaries, folder: &Path) -> anyhow::Result<Self> {
        let account = Account::for_server()?;
        account.own(folder)?;
        let socket =
            tempfile::Builder::new().prefix("hwb").tempdir().context("make a folder for the socket")?;
        account.own(socket.path())?;
        let data = folder.join("data");
        let program = |name: &str| {
            let mut command = Command::new(binaries.program(name));
            account.take_on(command.current_dir(folder).stdin(Stdio::null()));
            command
        };
        let init = program("initdb")
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--username", USER, "--pgdata"])
            .arg(&data)
            .output()
            .context("start initdb")?;
        ensure!(
            init.status.success(),
            "initdb failed ({}): {}; the server's account must be able to enter {}, or name another folder \
             with --dir",
            init.status,
            String::from_utf8_lossy(&init.stderr).trim(),
            folder.display()
        );
        let log = folder.join("log");
        let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&data).arg(socket.path());
        keeper.arg(binaries.program("pg_ctl"));
        keeper.args(["stop", "--silent", "--mode=immediate", "--pgdata"]).arg(&data).current_dir("/");
        keeper.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output.try_clone()?);
        account.take_on(&mut keeper);
        let mut serve = program("postgres");
        serve.arg("-D").arg(&data).args(["-p", PORT, "-c", "listen_addresses=", "-k"]).arg(socket.path());
        serve.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        serve.stdout(output.try_clone()?).stderr(output);
        let keeper = keeper.spawn().context("start a shell that stops the server in any case")?;
        let server = serve.spawn().context("start postgres")?;
        Ok(Self { server, keeper, log, socket })
    }

    /// Waits until `answers` says so.
    ///
    /// # Errors
    /// When the server ends or does not answer in time; with its log.
    pub(super) fn wait(&mut self, answers: impl Fn() -> bool) -> anyhow::Result<()> {
        for _ in 0..LOOKS {
            if let Some(status) = self.ended()? {
                bail!("the server ended ({status}): {}", self.said());
            }
            if answers() {
                return Ok(());
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        bail!("the server does not answer: {}", self.said())
    }

    /// Where its socket is.
    pub(super) fn socket(&self) -> &Path {
        self.socket.path()
    }

    /// Its process, the parent of all others.
    pub(super) fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Its log.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.server.try_wait().context("ask for the server")
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        if let Err(error) = self.keeper.wait().and_then(|_| self.server.wait()) {
            eprintln!("the server may still run: {error}");
        }
    }
}

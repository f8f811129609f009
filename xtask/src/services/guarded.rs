//! A server that is stopped whatever happens to us.
//!
//! A guard that stops it when dropped covers errors and panics, not Ctrl-C, SIGTERM or `kill -9`; and a server that
//! is left behind holds its port, its memory and its folder until somebody notices. So beside each server there is
//! a *keeper*: a shell that reads from a pipe whose other end only we have. When we are gone, for whatever reason,
//! the pipe ends, and the keeper stops the server and removes its folder. It needs no signal handler, and no
//! cooperation from us at all.
//!
//! Server and keeper are in process groups of their own, so that a Ctrl-C in the terminal does not reach them.

use std::{
    cell::RefCell,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::{account::Account, backend::Launch};

/// The keeper: `$1` is the folder, the rest the command that stops the server.
const KEEPER: &str = r#"
trap '' HUP INT TERM
folder=$1
shift
read -r answer
"$@"
stopped=$?
if [ "$answer" = keep ]; then rm -rf "$folder/data"; else rm -rf "$folder"; fi
exit "$stopped"
"#;
/// What tells the keeper to leave the log.
const KEEP: &[u8] = b"keep\n";

/// How often a server is asked whether it is ready, and how long between two times: a minute in all.
const LOOKS: u32 = 1200;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// How many lines of a log an error shows.
const LINES: usize = 20;

/// A server that runs. Dropping it stops the server and removes its folder.
pub(super) struct Guarded {
    about: String,
    folder: PathBuf,
    server: RefCell<Child>,
    keeper: Keeper,
    keep_log: bool,
}

impl Guarded {
    /// Starts a server, and its keeper before it; returns when `ready` says so.
    ///
    /// The server's output goes to the file `log` in `folder`; its data may be in `data`.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready after a minute; with the end of its log.
    pub(super) fn start(
        about: String,
        folder: TempDir,
        account: &Account,
        launch: Launch,
        ready: impl Fn() -> bool,
    ) -> anyhow::Result<Self> {
        let Launch { mut serve, stop } = launch;
        let log = File::create(log_of(folder.path())).context("cannot create a log for the server")?;
        let mut keeper = Keeper::start(&folder, account, &stop, &log)?;
        // From here on the keeper removes the folder.
        let folder = folder.keep();
        apart(&mut serve);
        let output = || log.try_clone().context("cannot hand on the server's log");
        serve.stdin(Stdio::null()).stdout(output()?).stderr(output()?);
        let program = serve.get_program().to_string_lossy().into_owned();
        let server = match serve.spawn() {
            Ok(server) => RefCell::new(server),
            Err(error) => {
                keeper.retire(false)?;
                return Err(error).with_context(|| format!("cannot start `{program}`"));
            }
        };
        let this = Self { about, folder, server, keeper, keep_log: false };
        for _ in 0..LOOKS {
            if let Some(status) = this.ended()? {
                bail!("{} ended at once ({status}):\n{}", this.about, this.end_of_log());
            }
            if ready() {
                return Ok(this);
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        bail!("{} is not ready after {:?}:\n{}", this.about, LOOKS * BETWEEN_LOOKS, this.end_of_log())
    }

    /// What it is and where it came from.
    pub(super) fn about(&self) -> &str {
        &self.about
    }

    /// Its end, if it has ended.
    pub(super) fn ended(&self) -> anyhow::Result<Option<ExitStatus>> {
        self.server.borrow_mut().try_wait().with_context(|| format!("cannot ask for {}", self.about))
    }

    /// Leaves the log when the server is stopped, for a look at what has gone wrong.
    pub(super) fn keep_log(&mut self) {
        self.keep_log = true;
    }

    /// The last lines of its log.
    pub(super) fn end_of_log(&self) -> String {
        match fs::read(log_of(&self.folder)) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                let lines: Vec<&str> = text.lines().collect();
                lines[lines.len().saturating_sub(LINES)..].join("\n")
            }
            Err(error) => format!("(its log cannot be read: {error})"),
        }
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let stopped = self.keeper.retire(self.keep_log)?;
        let server = self.server.get_mut();
        if !stopped {
            // It may have ended by itself, which is as well.
            server.kill().with_context(|| format!("cannot stop {}", self.about))?;
        }
        server.wait().with_context(|| format!("cannot wait for the end of {}", self.about))?;
        if self.keep_log {
            eprintln!("services: the log of {} is {}", self.about, log_of(&self.folder).display());
        } else if let Err(error) = fs::remove_dir_all(&self.folder)
            // The keeper has done it, where it was allowed to.
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", self.folder.display()));
        }
        Ok(())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.keep_log |= thread::panicking();
        if let Err(error) = self.stop() {
            eprintln!("services: {error:#}");
        }
    }
}

/// The shell that stops the server when we are gone.
struct Keeper(Child);

impl Keeper {
    fn start(folder: &TempDir, account: &Account, stop: &[OsString], log: &File) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(folder.path()).args(stop).current_dir("/");
        // Nothing of ours is held open: who reads our output must see its end.
        let output = || log.try_clone().context("cannot hand on the server's log");
        command.stdin(Stdio::piped()).stdout(output()?).stderr(output()?);
        account.take_on(&mut command);
        apart(&mut command);
        command.spawn().map(Self).context("cannot start a shell that stops the server in any case")
    }

    /// Ends the pipe, and waits until the keeper has done its work. Whether the stop command succeeded.
    fn retire(&mut self, keep_log: bool) -> anyhow::Result<bool> {
        if let Some(mut pipe) = self.0.stdin.take()
            && keep_log
        {
            pipe.write_all(KEEP).context("cannot tell the server's keeper to leave the log")?;
        }
        Ok(self.0.wait().context("cannot wait for the server's keeper")?.success())
    }
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// In a process group of its own, out of the reach of the terminal's Ctrl-C.
#[cfg_attr(not(unix), expect(unused_variables, reason = "there are no process groups"))]
fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const SERVE: &str = r#"echo $$ >"$0/pid"; echo up; exec sleep 1000"#;
    const STOP: &str = r#"kill "$(cat "$0/pid")""#;

    /// Shell scripts as a server and its stop command; `$0` is the folder.
    fn start(serve: &str, stop: &str) -> (PathBuf, anyhow::Result<Guarded>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_path_buf();
        fs::create_dir(path.join("data")).expect("a folder in it");
        let stop = ["sh".into(), "-c".into(), stop.into(), path.clone().into()].into();
        let mut command = Command::new("sh");
        command.args(["-c", serve]).arg(&path);
        let ready = || fs::read_to_string(log_of(&path)).is_ok_and(|log| log == "up\n");
        let launch = Launch { serve: command, stop };
        let started = Guarded::start("a server".to_owned(), folder, &Account::Ours, launch, ready);
        (path, started)
    }

    fn running(stop: &str) -> (PathBuf, Guarded, impl Fn() -> bool) {
        let (folder, started) = start(SERVE, stop);
        let server = started.expect("it runs");
        assert!(server.ended().expect("it can be asked").is_none());
        let id = fs::read_to_string(folder.join("pid")).expect("it wrote its id");
        let runs = move || {
            let asked = Command::new("kill").args(["-0", id.trim()]).stderr(Stdio::null()).status();
            asked.expect("`kill` is there").success()
        };
        assert!(runs());
        (folder, server, runs)
    }

    #[test]
    fn a_dropped_server_is_stopped_and_leaves_nothing() {
        // The second one does not obey.
        for stop in [STOP, "exit 1"] {
            let (folder, server, runs) = running(stop);
            drop(server);
            assert!(!runs() && !folder.exists(), "{stop}");
        }
    }

    #[test]
    fn the_end_of_the_pipe_alone_stops_the_server() {
        let (folder, mut server, _) = running(STOP);
        drop(server.keeper.0.stdin.take());
        assert!(server.keeper.0.wait().expect("the keeper ends").success());
        assert!(!folder.exists());
        server.server.get_mut().wait().expect("the server ends");
    }

    #[test]
    fn after_a_failure_the_log_stays() {
        let (folder, mut server, runs) = running(STOP);
        server.keep_log();
        drop(server);
        assert!(!runs() && !folder.join("data").exists());
        assert_eq!(fs::read_to_string(log_of(&folder)).expect("the log"), "up\n");
        fs::remove_dir_all(folder).expect("the folder is ours");
    }

    #[test]
    fn a_server_that_ends_at_once_shows_its_log() {
        let (folder, started) = start("echo the reason >&2; exit 3", "exit 1");
        let error = started.err().expect("it ended").to_string();
        assert!(error.contains("a server ended at once") && error.ends_with("the reason"), "{error}");
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_that_cannot_be_started_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().to_path_buf();
        let launch = Launch { serve: Command::new("no-such-program-anywhere"), stop: vec!["false".into()] };
        let started = Guarded::start("a server".to_owned(), folder, &Account::Ours, launch, || true);
        let error = started.err().expect("there is no such program").to_string();
        assert!(error.contains("no-such-program-anywhere") && !path.exists(), "{error}");
    }
}

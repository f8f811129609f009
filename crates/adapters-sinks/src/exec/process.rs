//! One run of the program, from its start to its end.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use uuid::Uuid;

use highwater_core::{Error, ErrorKind};

use super::answer::{self, Answer};
use super::fault::{End, Fault};
use super::group::Group;
use super::lines::{LONGEST, Lines};
use super::settings::ExecSettings;
use super::stderr::Stderr;

/// How much of a line that is no answer is shown, in characters.
const SHOWN: usize = 100;

/// A running program. Dropped, it is ended in the background: standard input closed, the grace time waited,
/// then killed. No other is started meanwhile: the permit is held to the end.
#[derive(Debug)]
pub(super) struct Process {
    running: Option<Running>,
    answered: bool,
}

#[derive(Debug)]
struct Running {
    group: Group,
    stdin: ChildStdin,
    stdout: Lines<ChildStdout>,
    stderr: Stderr,
    program: Arc<str>,
    grace: Duration,
    _alone: OwnedSemaphorePermit,
}

impl Process {
    /// Starts the program.
    ///
    /// # Errors
    /// `Invalid` when it is not there, `AccessDenied` when it may not be run, else `Unavailable`.
    pub(super) fn start(settings: &ExecSettings, alone: OwnedSemaphorePermit) -> Result<Self, Error> {
        let program: Arc<str> = settings.program().into();
        let mut command = Command::new(&*program);
        command.args(settings.command.iter().skip(1));
        command.envs(settings.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &settings.working_dir {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| not_started(settings, error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Group::new(child);
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            unreachable!("all three streams were asked for as pipes");
        };
        let pid = group.pid();
        tracing::info!(command = %program, pid, "the command is started");
        let running = Running {
            group,
            stdin,
            stdout: Lines::new(stdout),
            stderr: Stderr::forward(stderr, Arc::clone(&program), pid),
            program,
            grace: settings.grace,
            _alone: alone,
        };
        Ok(Self { running: Some(running), answered: false })
    }

    /// Whether it has answered an event.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.running.as_mut().is_none_or(|running| running.group.has_ended())
    }

    /// Hands over one line and waits for the answer.
    ///
    /// # Errors
    /// What came instead. The process is then of no more use.
    ///
    /// # Cancellation
    /// A line may have been handed over in part: the process is then of no more use either.
    pub(super) async fn exchange(&mut self, line: &[u8], id: Uuid) -> Result<Answer, Fault> {
        let Some(Running { stdin, stdout, .. }) = &mut self.running else { return Err(Fault::StdoutClosed) };
        let hand_over = async {
            stdin.write_all(line).await.map_err(Fault::StdinClosed)?;
            stdin.flush().await.map_err(Fault::StdinClosed)
        };
        // Both at once: a program that talks before it has read must not stand against us who write.
        let ((), answer) = tokio::try_join!(hand_over, answer_from(stdout, id))?;
        self.answered = true;
        Ok(answer)
    }

    /// Closes its standard input, waits this long, then kills it; says how it ended and its last words on
    /// standard error.
    pub(super) async fn end(mut self, grace: Duration) -> (End, String) {
        match self.running.take() {
            Some(running) => running.end(grace).await,
            None => (End::Killed, String::new()),
        }
    }
}

impl Running {
    async fn end(self, grace: Duration) -> (End, String) {
        let Self { mut group, stdin, mut stdout, stderr, program, _alone, .. } = self;
        drop(stdin);
        let pid = group.pid();
        let by_itself = timeout(grace, async {
            tokio::select! {
                status = group.wait() => status,
                // What it still says is read, so that it does not die of a closed pipe while it finishes.
                never = drained(&mut stdout) => never,
            }
        });
        let end = match by_itself.await {
            Ok(Ok(status)) => End::Exited(status),
            Ok(Err(error)) => End::Unknown(error),
            Err(_) => {
                group.kill();
                match group.wait().await {
                    Ok(_) => End::Killed,
                    Err(error) => End::Unknown(error),
                }
            }
        };
        tracing::info!(command = %program, pid, end = %end, "the command has ended");
        (end, stderr.last_words().await)
    }
}

/// Reads to the end and then waits for ever: that the output ended does not mean that the program did.
async fn drained(stdout: &mut Lines<ChildStdout>) -> io::Result<std::process::ExitStatus> {
    if let Err(error) = stdout.drain().await {
        tracing::debug!(%error, "cannot read the last output of a command");
    }
    std::future::pending().await
}

async fn answer_from(stdout: &mut Lines<ChildStdout>, id: Uuid) -> Result<Answer, Fault> {
    let line = stdout.next().await.map_err(Fault::Unreadable)?.ok_or(Fault::StdoutClosed)?;
    let parsed = if line.whole {
        answer::parse(&line.bytes, id)
    } else {
        Err(format!("it is longer than {} KiB", LONGEST >> 10))
    };
    parsed.map_err(|why| {
        let shown: String = String::from_utf8_lossy(&line.bytes).chars().take(SHOWN).collect();
        Fault::NoAnswer(format!("{shown:?}: {why}"))
    })
}

fn not_started(settings: &ExecSettings, error: io::Error) -> Error {
    let (kind, hint) = match error.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::Invalid,
            "there is no such program, no interpreter for it, or no such working directory",
        ),
        io::ErrorKind::PermissionDenied => (ErrorKind::AccessDenied, "see that the file may be executed"),
        _ => (ErrorKind::Unavailable, "the system refuses for the moment"),
    };
    Error::new(kind, "start the command")
        .with("command", settings.program())
        .because(io::Error::new(error.kind(), format!("{hint}: {error}")))
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => {
                let grace = running.grace;
                runtime.spawn(running.end(grace));
            }
            // Without a runtime nobody can wait: dropping the group kills it.
            Err(_) => drop(running),
        }
    }
}

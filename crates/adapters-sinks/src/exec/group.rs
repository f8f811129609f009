//! A running program with all that it started: it ends as a whole.

use std::io;
use std::process::ExitStatus;

#[cfg(unix)]
use rustix::io::Errno;
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// A child process that leads a process group of its own, so that a script's helpers end with it, and a
/// Ctrl-C at the terminal reaches this process alone, which then ends the child in order.
///
/// Dropped before its end was seen, the whole group is killed.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    pid: u32,
    ended: bool,
}

impl Group {
    /// Takes over a child that was just started as the leader of its group.
    pub(super) fn new(child: Child) -> Self {
        let pid = child.id().unwrap_or(0); // none only for a child that was waited for
        Self { child, pid, ended: false }
    }

    /// Its process id, for logs also after its end.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended, without waiting.
    pub(super) fn has_ended(&mut self) -> bool {
        // That its state cannot be had means that it is not ours any more.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, then ends what is left of its group.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        // Where a member of the group is left, the system keeps its number; where none is, there is nobody to
        // kill, and nobody else can have got that number within this moment.
        self.kill();
        self.ended = true;
        status
    }

    /// Kills the group.
    pub(super) fn kill(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process_group(leader, Signal::KILL)
            && error != Errno::SRCH
        {
            tracing::warn!(pid = self.pid, %error, "cannot kill the command and what it started");
        }
        #[cfg(not(unix))]
        if !self.ended
            && let Err(error) = self.child.start_kill()
        {
            tracing::debug!(%error, "the command had ended before it was killed");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

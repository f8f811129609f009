//! Whom the server runs as: PostgreSQL refuses to run as root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Accounts that root lets a server run as, the first that exists.
const FOR_SERVERS: [&str; 2] = ["postgres", "nobody"];

/// User and group, where the server is to run as somebody else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account(Option<(u32, u32)>);

impl Account {
    /// Ours, unless we are root.
    ///
    /// # Errors
    /// When we are root, and there is no other account.
    pub(super) fn for_server() -> anyhow::Result<Self> {
        if id(&["-u"])? != Some(0) {
            return Ok(Self(None));
        }
        for name in FOR_SERVERS {
            if let (Some(user), Some(group)) = (id(&["-u", name])?, id(&["-g", name])?) {
                return Ok(Self(Some((user, group))));
            }
        }
        bail!("a server does not run as root, and there is no account {}: add one", FOR_SERVERS.join(" or "))
    }

    /// Makes `command` run as this account, in a process group of its own: a Ctrl-C in the terminal is for
    /// us, and we stop the server.
    pub(super) fn take_on(self, command: &mut Command) {
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command.process_group(0);
    }

    /// Gives `path` to this account.
    ///
    /// # Errors
    /// An I/O error.
    pub(super) fn own(self, path: &Path) -> anyhow::Result<()> {
        if let Some((user, group)) = self.0 {
            chown(path, Some(user), Some(group))
                .with_context(|| format!("give {} to the server's account", path.display()))?;
        }
        Ok(())
    }
}

/// A number that `id` prints; `None` where there is no such account.
fn id(args: &[&str]) -> anyhow::Result<Option<u32>> {
    let output = Command::new("id").args(args).stderr(Stdio::null()).output().context("start `id`")?;
    if !output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map(Some).with_context(|| format!("`id` printed {text:?}, which is no number"))
}

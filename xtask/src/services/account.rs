//! Whom a server runs as: PostgreSQL refuses to run as root.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

/// Accounts that root lets a server run as, the first that exists: the package's own, and one that owns nothing.
const FOR_SERVERS: [&str; 2] = ["postgres", "nobody"];

/// An account of this machine.
#[derive(Debug)]
pub(super) enum Account {
    /// The one that runs us.
    Ours,
    /// Another one, which only root can take on.
    Other { uid: u32, gid: u32 },
}

/// Whether we are root.
///
/// # Errors
/// When `id` cannot be asked.
pub(super) fn is_root() -> anyhow::Result<bool> {
    Ok(cfg!(unix) && id(&["-u"])? == Some(0))
}

impl Account {
    /// The account for servers.
    ///
    /// # Errors
    /// When we are root, and there is no other account.
    pub(super) fn for_servers(root: bool) -> anyhow::Result<Self> {
        if !root {
            return Ok(Self::Ours);
        }
        for name in FOR_SERVERS {
            if let (Some(uid), Some(gid)) = (id(&["-u", name])?, id(&["-g", name])?) {
                return Ok(Self::Other { uid, gid });
            }
        }
        bail!("a server does not run as root, and there is no account {}: add one", FOR_SERVERS.join(" or "))
    }

    /// Makes `command` run as this account.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "there is no root"))]
    pub(super) fn take_on(&self, command: &mut Command) {
        #[cfg(unix)]
        if let Self::Other { uid, gid } = *self {
            use std::os::unix::process::CommandExt as _;
            command.uid(uid).gid(gid);
        }
    }

    /// Gives `path` to this account.
    ///
    /// # Errors
    /// An I/O error.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "there is no root"))]
    pub(super) fn own(&self, path: &Path) -> anyhow::Result<()> {
        #[cfg(unix)]
        if let Self::Other { uid, gid } = *self {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))
                .with_context(|| format!("cannot give {} to the server's account", path.display()))?;
        }
        Ok(())
    }
}

/// A number that `id` prints; `None` where there is no such account.
fn id(args: &[&str]) -> anyhow::Result<Option<u32>> {
    let output = Command::new("id").args(args).stderr(Stdio::null()).output().context("cannot start `id`")?;
    if !output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map(Some).with_context(|| format!("`id` printed {text:?}, which is no number"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_root_needs_another_account() {
        assert!(matches!(Account::for_servers(false), Ok(Account::Ours)));
        if let Ok(Account::Other { uid, .. }) = Account::for_servers(true) {
            assert_ne!(uid, 0);
        }
    }

    #[test]
    fn an_account_that_does_not_exist_has_no_id() {
        assert_eq!(id(&["-u", "no-such-account-anywhere"]).expect("`id` is there"), None);
        assert!(id(&["-u"]).expect("`id` is there").is_some());
    }
}

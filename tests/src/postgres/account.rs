//! Whom a server runs as: PostgreSQL refuses to run as root.

use std::path::Path;
use std::process::{Command, Stdio};

/// Another account than ours, where we are root.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account(Option<(u32, u32)>);

impl Account {
    pub(super) fn for_servers() -> Self {
        if !cfg!(unix) || id(&["-u"]) != Some(0) {
            return Self(None);
        }
        let known = ["postgres", "nobody"].iter().find_map(|name| id(&["-u", name]).zip(id(&["-g", name])));
        Self(Some(known.expect("a server does not run as root: add an account `postgres`")))
    }

    #[cfg_attr(not(unix), expect(unused_variables, reason = "there is no root"))]
    pub(super) fn take_on(self, command: &mut Command) {
        #[cfg(unix)]
        if let Some((uid, gid)) = self.0 {
            use std::os::unix::process::CommandExt as _;
            command.uid(uid).gid(gid);
        }
    }

    #[cfg_attr(not(unix), expect(unused_variables, reason = "there is no root"))]
    pub(super) fn own(self, path: &Path) {
        #[cfg(unix)]
        if let Some((uid, gid)) = self.0 {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root gives files away");
        }
    }
}

/// A number that `id` prints; `None` where there is no such account.
fn id(args: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(args).stderr(Stdio::null()).output().expect("`id` is there");
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.trim().parse().expect("`id` prints a number"))
}

//! What is particular to one kind of server.

use std::{ffi::OsString, path::Path, process::Command};

use super::account::Account;

/// One kind of server.
pub(super) trait Backend: Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// The variable that names a server.
    fn url_variable(&self) -> &'static str;

    /// The variable that names the folder of the server's programs.
    fn bin_variable(&self) -> &'static str;

    /// The programs that have to be in that folder; the first one answers `--version`.
    fn programs(&self) -> &'static [&'static str];

    /// The oldest major version that is supported.
    fn oldest(&self) -> u32;

    /// Where packages put the programs besides the path; a `*` stands for any one folder.
    fn homes(&self) -> &'static [&'static str];

    /// What to do where there are none.
    fn hint(&self) -> &'static str;

    /// Debian's package.
    fn package(&self) -> &'static str;

    /// Files, with their content, that keep the package from starting a server of its own; there only while the
    /// package is being installed.
    fn install_files(&self) -> &'static [(&'static str, &'static str)];

    /// How it runs in a container.
    fn container(&self, durable: bool) -> Container;

    /// Prepares a server in `folder`, which belongs to `account`, and says how it is started and stopped.
    ///
    /// # Errors
    /// What the server's own programs say.
    fn prepare(&self, place: &Place<'_>) -> anyhow::Result<Launch>;

    /// Whether a server on this port of this machine takes commands.
    fn answers(&self, port: u16) -> bool;

    /// The address of that server.
    fn url(&self, port: u16) -> String;
}

/// Where a local server is to run.
pub(super) struct Place<'a> {
    /// The folder of the server's programs.
    pub(super) bin: &'a Path,
    /// A folder of its own; nothing else is written to.
    pub(super) folder: &'a Path,
    /// Whom the server runs as.
    pub(super) account: &'a Account,
    pub(super) port: u16,
    pub(super) durable: bool,
}

/// How a local server is started, and how it is stopped at once, whoever asks.
pub(super) struct Launch {
    pub(super) serve: Command,
    pub(super) stop: Vec<OsString>,
}

/// An image and how it is run.
pub(super) struct Container {
    pub(super) image: &'static str,
    /// The port inside.
    pub(super) port: u16,
    pub(super) env: &'static [(&'static str, &'static str)],
    /// Arguments for the server.
    pub(super) args: Vec<&'static str>,
}

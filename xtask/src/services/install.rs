//! Installing a server's package: only as root, on a system with apt, and said aloud.

use std::{
    env,
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;

use super::backend::Backend;
use crate::cargo;

/// Whether the packages of this machine come from apt.
pub(super) fn has_apt(path: &OsStr) -> bool {
    env::split_paths(path).any(|folder| folder.join("apt-get").is_file())
}

/// Installs the package of `backend`, without a server that would run from then on.
///
/// # Errors
/// What apt says.
pub(super) fn install(backend: &dyn Backend) -> anyhow::Result<()> {
    eprintln!(
        "services: {}: installing Debian's package `{}`, since there is no server here (--no-install forbids it)",
        backend.name(),
        backend.package()
    );
    let _files = backend
        .install_files()
        .iter()
        .map(|(path, content)| Temporary::write(Path::new(path), content))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if let Err(error) = cargo::run(apt_get().args(["update", "--quiet"])) {
        // One source of several may be out of order; the package may be had all the same.
        eprintln!("services: {error:#}");
    }
    cargo::run(apt_get().args(["install", "--quiet", "--yes", "--no-install-recommends", backend.package()]))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Standard output is for the variables.
    command.env("DEBIAN_FRONTEND", "noninteractive").stdout(io::stderr());
    command
}

/// A file that is removed when this is dropped, and not before: what it says is for us alone.
struct Temporary(PathBuf);

impl Temporary {
    /// `None` where there is such a file already: it is somebody's, who has decided about it. A script is executable.
    fn write(path: &Path, content: &str) -> anyhow::Result<Option<Self>> {
        let context = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(context)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if content.starts_with("#!") {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o755);
        }
        let mut file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error).with_context(context),
        };
        let this = Self(path.to_path_buf());
        file.write_all(content.as_bytes()).with_context(context)?;
        Ok(Some(this))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => eprintln!("services: remove {} yourself: {error}", self.0.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_looked_for_on_the_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(!has_apt(folder.path().as_os_str()));
        fs::write(folder.path().join("apt-get"), "").expect("a file");
        assert!(has_apt(folder.path().as_os_str()));
    }

    #[test]
    fn what_is_only_for_the_installation_is_gone_afterwards() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("new/file");
        let file = Temporary::write(&path, "content").expect("it can be written");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "content");
        assert!(Temporary::write(&path, "other").expect("it is there").is_none());
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "content", "somebody else's is kept");
        drop(file);
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_script_is_executable() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("script");
        let _script = Temporary::write(&path, "#!/bin/sh\nexit 101\n").expect("it can be written");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{mode:o}");
    }
}

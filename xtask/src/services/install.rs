//! Installing a server's package: only as root, on a system with apt, and said aloud.

use std::{
    env,
    ffi::OsStr,
    fs, io,
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
    fn write(path: &Path, content: &str) -> anyhow::Result<Self> {
        let context = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(context)?;
        }
        fs::write(path, content).with_context(context)?;
        Ok(Self(path.to_path_buf()))
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
        drop(file);
        assert!(!path.exists());
    }
}
